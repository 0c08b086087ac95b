"""A drive: a claimed stream's generator is run to its end, whatever that end is.

Each piece goes whole into the tail, then its readers are woken; those of one turn of the event loop do so as one
(`burst.py`). What may be flushed goes to the store (`flusher.py`); the last chunk and the end are one commit
(`outcome.py`). Time-outs are decided in `timeouts.py`, further attempts in `resumption.py`. It knows neither SQL nor
HTTP nor who sits at which terminal, and whoever reads does not concern it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import anyio

from ptstream.attempt_report import AttemptReport
from ptstream.burst import Burst
from ptstream.config import Limits
from ptstream.engine.protocol import Tail, Writer
from ptstream.errors import ClaimLost, GeneratorDropped, GeneratorError, GeneratorTimeout, PtstreamError
from ptstream.fairness import Fairness
from ptstream.flusher import Flusher
from ptstream.generators import Event, Generation, Note, Quiet, Source, Usage
from ptstream.generators.surrogates import mend, slices
from ptstream.outcome import LastChunk, Outcome, commit_end
from ptstream.remarks import Remarks
from ptstream.resumption import Resumption
from ptstream.sentences import Cutter
from ptstream.streams import Claim, Status, TerminalSize
from ptstream.timeouts import Timeouts

PAUSED = "paused: "
"""How the note begins of what keeps a generator waiting."""

REMARKS = 1_000_000
"""How far apart the numbers of remarks begin of a stream's drives: who comes from another one has seen fewer."""


class Drive:
    """A stream being driven, in one attempt or several. `run` it once, in a task of its owner."""

    def __init__(
        self,
        claim: Claim,
        source: Source,
        tail: Tail,
        cutter: Cutter,
        writer: Writer,
        limits: Limits = Limits(),  # noqa: B008 - an immutable value
        clock: Callable[[], float] = time.monotonic,
        *,
        begun: str = "",
        resumption: Resumption | None = None,
        elapsed: float = 0.0,
    ) -> None:
        """`begun` is text that the stream has already, for a source that goes on; `resumption` lets it after a drop.

        `elapsed` is for how many seconds others have driven the stream before.
        """
        self.claim = claim
        self.pieces = 0
        self.end: Outcome | None = None
        self.ended = anyio.Event()
        """Set when the end is committed, or recovery is to give it one."""
        self.draining = False
        """Whether its stream has been ended, and its generator goes on for its usage alone."""
        self._source: Source | None = source
        self._outliving = source.survivors
        self._shows_its_text = source.shows_its_text
        self._begun = begun
        self._tail = tail
        self._writer = writer
        self._resumption = resumption
        self._report = AttemptReport((claim.epoch - 1) * REMARKS)
        limits = Limits(total=limits.total) if source.silence_is_normal else limits
        self._timeouts = Timeouts(limits, clock, elapsed)
        self._flusher = Flusher(claim, cutter, writer, self._pieces_of_attempt, clock)
        self._at_once = cutter.at_once
        # Whoever shows its text by itself shows a piece as soon as it has been taken: kept it must be by then.
        self._burst = Burst(0 if source.shows_its_text else cutter.at_once)
        self._pieces_before = 0
        self._fairness = Fairness(clock)
        self._scope = anyio.CancelScope()
        self._outcome: Outcome | None = None  # as it was decided, and is still to be written
        self._handing_over: str | None = None

    def __repr__(self) -> str:
        return f"<Drive {self.claim.id}.{self.claim.epoch} at {self.offset}, {self._outcome or 'running'}>"

    @property
    def offset(self) -> int:
        """Where its text ends, in bytes from the start of the stream."""
        return self._tail.end + len(encoded(self._burst.pieces)[0])

    @property
    def remarks(self) -> Remarks:
        """What its generator says beside the text."""
        return self._report.remarks

    @property
    def paused(self) -> bool:
        """Whether the generator waits for the disk or the store."""
        return self._timeouts.paused

    def stop(
        self, status: Status, cause: str | None, exception: BaseException | None = None, *, drain: bool = False
    ) -> None:
        """End it with this status, unless its end is decided already. Returns at once; see `ended`.

        With `drain`, only the stream ends: the generator goes on to its own end, for its usage alone; a further
        `stop` ends that, too.
        """
        if self._outcome is None:
            self._keep_burst()
            self._outcome = Outcome(status, cause, exception)
            self.draining = drain
            self._flusher.stop()
        if not drain:
            self._scope.cancel()

    def resize(self, size: TerminalSize) -> None:
        """Give the terminal of its generator this size, if it has one."""
        if self._source and self._source.resize:
            self._source.resize(size)

    @property
    def can_go_on(self) -> bool:
        """Whether another owner could go on with it: it was asked to, and has not used up its attempts."""
        return self._resumption is not None and not self._resumption.exhausted and self._outcome is None

    def hand_over(self, cause: str) -> None:
        """Leave it to another owner where its text ends, unless its end is decided already. See `ended`, as for `stop`.

        The attempt ends by `cause` ("… at byte N" is added), the stream does not.
        """
        self._handing_over = cause
        self._scope.cancel()

    async def run(self) -> None:
        """Generate, flush, end. Raises nothing that concerns the generator or the store: see `end`."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_bursts)
                tasks.start_soon(self._flush)
                tasks.start_soon(self._stop_in_time)
                await self._generate()
                await self._leave()
                tasks.cancel_scope.cancel()
        except* ClaimLost as lost:
            self._outcome = Outcome(Status.ERROR, str(lost.exceptions[0]), lost)
        except* PtstreamError as trouble:
            self._outcome = Outcome(Status.ERROR, str(trouble.exceptions[0]), trouble)
        except* Exception as fault:  # ours, not the generator's: it must not take other streams along
            self._outcome = Outcome(Status.ERROR, f"fault in ptstream: {fault.exceptions[0]!r}", fault)
        finally:
            with anyio.CancelScope(shield=True):
                if not self.ended.is_set():
                    await self._finish()
                elif self._report.usage is not None:
                    with contextlib.suppress(PtstreamError):  # the end stands without it
                        await self._writer.report_usage(self.claim, self._report.usage)

    # --- attempts

    async def _generate(self) -> None:
        with self._scope:
            try:
                await self._generate_to_the_end()
            except GeneratorTimeout as error:
                self.stop(Status.TIMEOUT, str(error), error)
            except GeneratorError as error:
                self.stop(Status.ERROR, str(error), error)
            except ClaimLost:
                raise
            except PtstreamError as error:  # an address, a key, a proxy that is none
                self.stop(Status.ERROR, str(error), error)
            except Exception as error:
                self.stop(Status.ERROR, f"{type(error).__name__}: {error}", error)
            else:
                self.stop(Status.DONE, None)

    async def _leave(self) -> None:
        """If it is to be handed over, with all of its text in chunks, and nothing has decided its end meanwhile."""
        self._keep_burst()
        if self._handing_over and self._outcome is None and await self._flusher.drain(self.offset):
            self._outcome = self._outcome or Outcome(Status.STREAMING, f"{self._handing_over} at byte {self.offset}")

    async def _generate_to_the_end(self) -> None:
        generation = self._generation(self._begun)
        while True:
            try:
                async with aclosing(generation) as events:
                    async for event in events:
                        await self._take(event)
                await self._end_burst()
                return
            except GeneratorDropped as dropped:
                await self._end_burst()
                if self._resumption is None or self._resumption.exhausted or self._outcome:
                    raise
                await self._begin_again(self._resumption, dropped)
            generation = self._generation(await self._resumption.text())

    def _generation(self, begun: str) -> Generation:
        assert self._source is not None
        return self._source.resume(begun) if begun and self._source.resume else self._source.generate()

    async def _begin_again(self, resumption: Resumption, dropped: GeneratorDropped) -> None:
        """A further attempt, with a tail of its own, where this one's text ends; all of that is committed first."""
        await self._flusher.drain(self.offset)
        await resumption.wait()
        if self._outcome:  # while it drained
            raise dropped
        with anyio.CancelScope(shield=True):
            claim = await self._writer.reclaim(self.claim, self._flusher.flushed, str(dropped))
            self.claim = self._flusher.claim = claim
            before, self._tail = self._tail, await self._writer.tail(claim)
            before.discard()
        self._pieces_before = self.pieces
        self._report.add(Note(f"{dropped}; went on at byte {self.offset}"))
        self._timeouts.progress()

    def _pieces_of_attempt(self) -> int:
        return self.pieces - self._pieces_before

    # --- pieces

    async def _take(self, event: Event) -> None:
        """What comes here for every piece is most of what a piece costs: no step of it that can be left out."""
        if isinstance(event, str):
            now = self._timeouts.progress()
            if event and self._outcome is None:
                self.pieces += 1
                if not self._burst.takes(event, now):
                    await self._take_pieces([*self._burst.take(), event], now)
        else:
            now = self._timeouts.progress(event.seconds if isinstance(event, Quiet) else 0.0)
            await self._end_burst()
            if isinstance(event, Usage):
                self._report.usage = event.counts
            elif not isinstance(event, Quiet):
                self._report.add(event)
        if self._fairness.is_over(now):
            await self._end_burst()
            await self._fairness.checkpoint()

    async def _take_pieces(self, pieces: Sequence[str], now: float) -> None:
        """Of any size: in slices, between which others have their turn, and an end may come."""
        if len(pieces[-1]) <= self._at_once:
            if not self._keep(pieces, now):
                await self._catch_up()
            return
        for part in slices(encoded(pieces)[1], self._at_once):
            if self._outcome is not None:
                return
            if not self._keep([part], self._timeouts.progress()):
                await self._catch_up()
            await self._fairness.checkpoint()

    async def _keep_bursts(self) -> None:
        """Keep each as soon as its generator waits. Runs until it is cancelled."""
        while True:
            begun = self._burst.begun.next()
            self._keep_burst()
            await begun.wait()

    async def _end_burst(self) -> None:
        """Keep what was gathered, and wait until more may come."""
        if self._burst.pieces and not self._keep_burst():
            await self._catch_up()

    def _keep_burst(self) -> bool:
        """Keep what was gathered, if anything was; whether more may come at once."""
        if not (pieces := self._burst.take()):
            return True
        if not (more := self._keep(pieces, self._burst.came)):
            self._burst.end()  # the next piece waits
        return more

    def _keep(self, pieces: Sequence[str], now: float) -> bool:
        """Into the tail, and on their way to the store; whether more may come at once.

        Both in one step: a cancellation while a disk is full must not part the store from the tail.
        """
        self._report.last = None
        self._timeouts.begun = True
        if self._resumption:
            self._resumption.got_text()
        data, text = encoded(pieces)
        more = self._tail.append(data)
        self._flusher.take(text, now)
        if not more or (self._shows_its_text and self._tail.kept < self._tail.end):
            return False
        return not self._flusher.is_full(self._tail.end)

    async def _catch_up(self) -> None:
        """Wait until more may come."""
        if self._tail.kept < self._tail.end:
            await self._pause(self._tail.caught_up, self._tail.trouble)
        while self._flusher.is_full(self._tail.end):
            await self._pause(self._flusher.progress, self._writer.trouble)

    async def _pause(self, wait: Callable[[], Awaitable[Any]], why: str | None) -> None:
        if why:
            self._report.remarks.add(Note(PAUSED + why))
        with self._timeouts.pause():
            await wait()

    # --- the end

    async def _flush(self) -> None:
        await self._flusher.run()
        if self.draining:
            with anyio.CancelScope(shield=True):
                await self._finish()
            self._flusher.forget()

    async def _stop_in_time(self) -> None:
        cause = await self._timeouts.exceeded()
        # What the generator said last is often the reason: "429, trying again".
        self.stop(Status.TIMEOUT, f"{cause} ({self._report.last})" if self._report.last else cause)

    async def _finish(self) -> None:
        self._keep_burst()
        outcome = self._outcome or Outcome(Status.ERROR, f"its program ended at byte {self.offset}")
        if outcome.cause and self._outliving:
            outcome = outcome._replace(cause=f"{outcome.cause}; still running: {', '.join(self._outliving)}")
        report, flusher = self._report, self._flusher
        last = LastChunk(flusher.flushed, flusher.rest(), self._pieces_of_attempt(), report.usage, report.note)
        try:
            outcome = await commit_end(self._writer, self.claim, self._tail, outcome, last)
        finally:
            # The prompt and the caller's environment, which a traceback of a cancelled task would keep for a while.
            self._source = None
            self.end = outcome
            self.remarks.go_on = outcome.status is Status.STREAMING
            self.ended.set()
            self.remarks.bell.ring()


def encoded(pieces: Sequence[str]) -> tuple[bytes, str]:
    """The pieces in UTF-8 and as they will be read back: what Unicode has no character for becomes U+FFFD."""
    text = "".join(pieces)
    try:
        return text.encode(), text
    except UnicodeEncodeError:
        text = "".join(map(mend, pieces))
        return text.encode(), text
