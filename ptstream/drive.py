"""One attempt: a claimed stream's generator is run to its end, whatever that end is.

Each piece goes whole into the tail, then its readers are woken; text that may be flushed goes to the store, one
flush in flight at a time, while pieces go on; the last chunk and the end are one transaction. It knows neither
SQL nor HTTP nor a terminal, and whoever reads does not concern it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import anyio

from ptstream.asides import Asides
from ptstream.config import Limits
from ptstream.errors import ClaimLost, GeneratorDropped, GeneratorError, GeneratorTimeout, PtstreamError, StoreUnusable
from ptstream.generators import Event, Generation, Note, Quiet, Reasoning, Source, Usage
from ptstream.generators.surrogates import mend, slices
from ptstream.sentences import Cutter
from ptstream.store.sqlite import Claim
from ptstream.streams import Status
from ptstream.tail import Bell, Tail
from ptstream.turns import Turns

MAX_PENDING = 1024 * 1024
"""Bytes that may wait for the store before the generator is paused."""

DISK_RETRY = 0.25
"""Seconds between two tries to write the tail on a full disk."""

STOPPED = 0.5
"""Seconds by which this process wakes up late when it was stopped, and not only busy."""

STORE_RETRY = 0.25
LONGEST_STORE_RETRY = 5.0
"""Seconds between two tries to write an end that the store does not take: at first, and at most."""

PAUSED = "paused: "
"""How the note begins of what keeps a generator waiting."""

CAUSE = 1000
"""Characters of what a generator said last that fit into the cause of its end."""

BACKOFF = 0.5
"""Seconds before the first further attempt; twice as many before each one after it."""


class Commits(Protocol):
    """What an attempt needs of the store: see `store.writer.Writer`."""

    trouble: str | None
    closing: bool

    async def append(self, claim: Claim, start: int, text: str, pieces: int) -> None: ...

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim: ...

    def is_over(self, claim: Claim) -> bool: ...

    async def tell_usage(self, claim: Claim, usage: Mapping[str, Any]) -> None: ...

    async def finish(
        self,
        claim: Claim,
        start: int,
        text: str,
        pieces: int,
        status: Status,
        cause: str | None,
        usage: Mapping[str, Any] | None,
        note: str | None,
    ) -> None: ...


class End(NamedTuple):
    """How an attempt ended: what the store was told, and the exception that brought it about, if one did."""

    status: Status
    cause: str | None
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Seams:
    """How a stream goes on in a further attempt, when its provider broke off.

    `tail` makes the new attempt's tail, `text` gives all of the stream's text; it happens at most `most` times.
    """

    tail: Callable[[Claim], Tail]
    text: Callable[[], str]
    most: int = 10


class Attempt:
    """A stream being driven. `run` it once, in a task of its owner."""

    def __init__(
        self,
        claim: Claim,
        source: Source,
        tail: Tail,
        cutter: Cutter,
        commits: Commits,
        limits: Limits = Limits(),  # noqa: B008 - an immutable value
        clock: Callable[[], float] = time.monotonic,
        *,
        begun: str = "",
        seams: Seams | None = None,
    ) -> None:
        """`begun` is text that the stream has already, for a source that goes on; `seams` let it do so after a drop."""
        self.claim = claim
        self._source: Source | None = source
        self._outliving = source.survivors
        self.asides = Asides()
        self.pieces = 0
        self._pieces_before = 0
        self.end: End | None = None
        self.ended = anyio.Event()
        """Set when the end is committed, or is left to recovery."""
        self._tail = tail
        self._cutter = cutter
        self._commits = commits
        self._limits = Limits(total=limits.total) if source.silence_is_normal else limits
        self._clock = clock
        self._scope = anyio.CancelScope()
        self._verdict: End | None = None
        self._draining = False
        self._usage: Mapping[str, Any] | None = None
        self._said: str | None = None
        self._notes: list[str] = []
        self._flushed = claim.begin
        self._cut: list[str] = []
        self._timed = False  # whether the flusher knows when to look again, without being told
        self._cut_bell = Bell()
        self._flushed_bell = Bell()
        self._began = self._progress = clock()
        self._turns = Turns(clock)
        self._paused = False
        self._quiet = 0.0
        self._begun = begun
        self._seams = seams
        self._left = seams.most if seams else 0
        self._dropped = 0  # since the last piece

    def __repr__(self) -> str:
        return f"<Attempt {self.claim.id}.{self.claim.epoch} at {self.offset}, {self._verdict or 'running'}>"

    @property
    def offset(self) -> int:
        """Where its text ends, in bytes from the start of the stream."""
        return self._tail.end

    @property
    def bell(self) -> Bell:
        """Rung for each piece, and once when it has ended."""
        return self._tail.bell

    @property
    def paused(self) -> bool:
        """Whether the generator waits for the disk or the store."""
        return self._paused

    @property
    def draining(self) -> bool:
        """Whether its stream has been ended, and its generator goes on for its usage alone."""
        return self._draining

    def stop(
        self, status: Status, cause: str | None, exception: BaseException | None = None, *, drain: bool = False
    ) -> None:
        """End it with this status, unless its end is decided already. Returns at once; see `ended`.

        With `drain`, only the stream ends: the generator goes on to its own end, for its usage alone; a further
        `stop` ends that, too.
        """
        if self._verdict is None:
            self._verdict = End(status, cause, exception)
            self._draining = drain
            self._cut_bell.ring()
        if not drain:
            self._scope.cancel()

    async def run(self) -> None:
        """Generate, flush, end. Raises nothing that concerns the generator or the store: see `end`."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._flush)
                tasks.start_soon(self._watch_the_clock)
                await self._generate()
                tasks.cancel_scope.cancel()
        except* ClaimLost as lost:
            self._verdict = End(Status.ERROR, str(lost.exceptions[0]), lost)
        except* PtstreamError as trouble:
            self._verdict = End(Status.ERROR, str(trouble.exceptions[0]), trouble)
        except* Exception as fault:  # ours, not the generator's: it must not take other streams along
            self._verdict = End(Status.ERROR, f"fault in ptstream: {fault.exceptions[0]!r}", fault)
        finally:
            with anyio.CancelScope(shield=True):
                if not self.ended.is_set():
                    await self._finish()
                elif self._usage is not None:
                    with contextlib.suppress(PtstreamError):  # the end stands without it
                        await self._commits.tell_usage(self.claim, self._usage)

    # --- pieces

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

    async def _generate_to_the_end(self) -> None:
        generation = self._generation(self._begun)
        while True:
            try:
                async with aclosing(generation) as events:
                    async for event in events:
                        await self._take(event)
                return
            except GeneratorDropped as dropped:
                if self._seams is None or self._left == 0 or self._verdict:
                    raise
                await self._begin_again(self._seams, dropped)
            generation = self._generation(self._seams.text())

    def _generation(self, begun: str) -> Generation:
        assert self._source is not None
        return self._source.resume(begun) if begun and self._source.resume else self._source.generate()

    async def _begin_again(self, seams: Seams, dropped: GeneratorDropped) -> None:
        """A further attempt, with a tail of its own, where this one's text ends; all of that is committed first."""
        self._let_go(self._cutter.rest())
        self._cut_bell.ring()
        while self._flushed < self.offset and self._verdict is None:
            await self._flushed_bell.next().wait()
        await anyio.sleep(BACKOFF * 2**self._dropped)
        if self._verdict:  # while it drained
            raise dropped
        self._left -= 1
        self._dropped += 1
        with anyio.CancelScope(shield=True):
            self.claim = await self._commits.reclaim(self.claim, self._flushed, str(dropped))
            before, self._tail = self._tail, seams.tail(self.claim)
            before.discard()
        self._pieces_before = self.pieces
        self._said = f"{dropped}; went on at byte {self.offset}"
        self.asides.add(Note(self._said))
        self._progress = self._clock()

    async def _take(self, event: Event) -> None:
        self._progress, self._quiet = self._clock(), 0.0
        if isinstance(event, str):
            self._said = None if event else self._said
            if self._verdict is None:
                await self._take_piece(event)
        elif isinstance(event, Usage):
            self._usage = event.counts
        elif isinstance(event, Quiet):
            self._quiet = event.seconds
        elif isinstance(event, Note) and event.kept:
            self._notes.append(event.text)
        else:
            self._said = None if isinstance(event, Reasoning) else _last_line(event.text) or self._said
            self.asides.add(event)
        await self._turns.give()

    async def _take_piece(self, piece: str) -> None:
        """Of any size: in slices, between which others have their turn, and an end may come."""
        if not piece:
            return
        self.pieces += 1
        self._dropped = 0
        for part in slices(piece, self._cutter.at_once):
            if self._verdict is not None:
                return
            await self._take_slice(part)
            await self._turns.give()
            self._progress = self._clock()

    async def _take_slice(self, part: str) -> None:
        data, part = encoded(part)
        # First into the cutter: a cancellation while the disk is full must not part the store from the tail.
        self._cutter.push(part, self._progress)
        await self._keep(data)
        cut = self._cutter.take(self._progress)
        self._let_go(cut)
        if cut or not self._timed:
            self._cut_bell.ring()
        while self._tail.end - self._flushed > MAX_PENDING and self._cut:
            await self._pause(self._flushed_bell.next().wait, self._commits.trouble)

    async def _keep(self, data: bytes) -> None:
        try:
            self._tail.append(data)
        except OSError as error:
            await self._pause(self._keep_retrying, f"the tail cannot be written: {error.strerror}")

    async def _keep_retrying(self) -> None:
        kept = False
        while not (kept or self.ended.is_set()):
            await anyio.sleep(DISK_RETRY)
            with contextlib.suppress(OSError):
                self._tail.retry()
                kept = True

    async def _pause(self, wait: Callable[[], Any], why: str | None) -> None:
        if why:
            self.asides.add(Note(PAUSED + why))
        self._paused = True
        try:
            await wait()
        finally:
            self._paused = False
            self._progress = self._clock()

    # --- flushes

    async def _flush(self) -> None:
        while not self._draining:
            rung = self._cut_bell.next()
            if not self._cut:
                await self._wait_for_text(rung)
                continue
            text = "".join(self._cut)
            self._cut = [text]  # until it is in the store: what is refused belongs to the end
            # Handed over is handed over: whether it was committed must be known before the end is written.
            with anyio.CancelScope(shield=True):
                await self._commits.append(self.claim, self._flushed, text, self.pieces - self._pieces_before)
            del self._cut[0]
            self._flushed += len(text.encode())
            self._flushed_bell.ring()
        with anyio.CancelScope(shield=True):
            await self._finish()
        self._cut = []  # nothing waits for it any more
        self._flushed_bell.ring()

    async def _wait_for_text(self, rung: anyio.Event) -> None:
        deadline = self._cutter.deadline()
        self._timed = deadline is not None
        with anyio.move_on_after(None if deadline is None else max(0.0, deadline - self._clock())):
            await rung.wait()
        self._let_go(self._cutter.take(self._clock()))

    def _let_go(self, cut: str) -> None:
        """To the store, in its turn: what has left the cutter, if that is anything."""
        if cut:
            self._cut.append(cut)

    # --- time

    async def _watch_the_clock(self) -> None:
        if self._limits == Limits():
            return
        while True:
            deadline, cause = self._next_deadline()
            if deadline <= self._clock() and not self._paused:
                # What the generator said last is often the reason: "429, trying again".
                self.stop(Status.TIMEOUT, f"{cause} ({self._said})" if self._said else cause)
                return
            asked = min(1.0, max(0.05, deadline - self._clock()))
            before = anyio.current_time()
            await anyio.sleep(asked)
            # What was stopped, or slept, has not been idle: what came meanwhile is still to be read.
            if (late := anyio.current_time() - before - asked) > STOPPED:
                self._progress += late
                self._began += late

    def _next_deadline(self) -> tuple[float, str]:
        """The monotonic clock stands still while the machine sleeps, so sleeping is not idling."""
        first, idle, total = self._limits.first, self._limits.idle, self._limits.total
        name, silent = ("idle", idle) if self.pieces else ("first", first)
        borne = (silent or math.inf) + self._quiet
        what = f"nothing more came for {borne:g} s" if self.pieces else f"nothing came within {borne:g} s"
        return min(
            (self._began + (total or math.inf), f"not finished within {total or 0:g} s (total_timeout)"),
            (self._progress + borne, f"{what} ({name}_timeout)"),
        )

    # --- the end

    async def _finish(self) -> None:
        end = self._verdict or End(Status.ERROR, f"its program ended at byte {self.offset}")
        if end.cause and self._outliving:
            end = end._replace(cause=f"{end.cause}; still running: {', '.join(self._outliving)}")
        text = "".join([*self._cut, self._cutter.rest()])
        try:
            end = await self._written(end, text)
        finally:
            # The prompt and the caller's environment, which a traceback of a cancelled task would keep for a while.
            self._source = None
            self.end = end
            self.ended.set()
            self.asides.bell.ring()

    async def _written(self, end: End, text: str) -> End:
        """The end, once it is in the store. A living owner's stream is nobody else's to end, so it does not give up.

        Only when its owner goes, whoever meets the stream next may recover it.
        """
        wait = STORE_RETRY
        while True:
            try:
                return await self._commit(end, text)
            except Exception as trouble:
                if self._commits.closing:
                    return self._left_to_recovery(trouble)
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_STORE_RETRY)

    async def _commit(self, end: End, text: str) -> End:
        """Write the end as it is; or, where the store does not take its cause or its usage, plainly."""
        pieces = self.pieces - self._pieces_before
        try:
            known = (end.cause, self._usage, "; ".join(self._notes) or None)
            await self._commits.finish(self.claim, self._flushed, text, pieces, end.status, *known)
        except ClaimLost as lost:
            if not self._commits.is_over(self.claim):
                return self._left_to_recovery(lost)
        except StoreUnusable as trouble:
            end = End(Status.ERROR, "its end could not be written as it was", trouble)
            await self._commits.finish(self.claim, self._flushed, text, 0, end.status, end.cause, None, None)
        self._tail.discard()  # also of one that was ended by a recoverer, or deleted
        return end

    def _left_to_recovery(self, trouble: Exception) -> End:
        """The tail stays where it is: whoever meets the stream when this owner is gone ends it."""
        self._tail.close()
        return End(Status.ERROR, f"the end could not be written: {trouble}", trouble)


def _last_line(text: str) -> str:
    """The end of it, as far as it fits into a cause."""
    return text[-CAUSE:].strip().rpartition("\n")[2]


def encoded(piece: str) -> tuple[bytes, str]:
    """The piece in UTF-8 and as it will be read back: what Unicode has no character for becomes U+FFFD."""
    try:
        return piece.encode(), piece
    except UnicodeEncodeError:
        data = mend(piece).encode()
        return data, data.decode()
