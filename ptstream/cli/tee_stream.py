"""Keeping what passes through a pipe as a stream, beside the pipe: `tee`'s other half.

Whoever passes bytes on hands them over here first, and waits until they are kept; but not for long, and not at all
once keeping has failed. It knows nothing of standard input and output.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import anyio

from ptstream import owner
from ptstream.bell import Bell
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import say_end
from ptstream.config import Settings, load
from ptstream.drive import PAUSED, Drive
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.errors import GeneratorError, NameTaken, PtstreamError, StreamFailed
from ptstream.generators import Event, Note, Source
from ptstream.generators.utf8 import Decoder
from ptstream.owner import Owner, open_owner
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, Status, Stream
from ptstream.ungrouped import ungrouped

HOLD = 2.0
"""Seconds that bytes wait for their keeping before they are passed on all the same."""

LATE = 4 * 1024 * 1024
"""Bytes that may wait for their keeping then. With more, keeping is given up."""

STORE_WAIT = 10.0
"""Seconds after the end of the input that a store or a disk which takes nothing is waited for."""


class Feed:
    """Bytes on their way into a stream, from the one who passes them on (`put`) to the stream's generator (`take`)."""

    def __init__(self) -> None:
        self.failure: GeneratorError | None = None
        self.overrun = anyio.Event()
        """Set when more waits than may."""
        self._waiting = bytearray()
        self._kept = self._late = self._over = self._closed = False
        self._put = Bell()
        self._asked = Bell()

    async def put(self, data: bytes) -> None:
        """Returns when `data` is kept; after HOLD seconds without; at once while earlier bytes are late already."""
        if self._closed:
            return
        self._waiting += data
        self._kept = False
        self._put.ring()
        if len(self._waiting) > LATE:
            self.overrun.set()
            self.close()
        elif not self._late:
            with anyio.move_on_after(HOLD):
                while not (self._kept or self._closed):
                    await self._asked.next().wait()
                return
            self._late = True

    def end(self, failure: GeneratorError | None = None) -> None:
        """Nothing more comes, because of `failure` if there is one. What has ended has ended."""
        if not self._over:
            self._over, self.failure = True, failure
            self._put.ring()

    def close(self) -> None:
        """Nothing is kept any more: nobody waits for it."""
        self._closed = True
        self._waiting.clear()
        self._asked.ring()

    async def take(self) -> bytes:
        """What comes next, b"" at the end. To ask is to say that all that was taken is kept."""
        while True:
            rung = self._put.next()
            if self._waiting:
                data = bytes(self._waiting)
                self._waiting.clear()
                return data
            self._kept, self._late = True, False
            self._asked.ring()
            if self._over:
                return b""
            await rung.wait()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The stream that is to be made."""

    home: Home
    name: str | None
    title: str
    flush: Flush | None
    ttl: float | None


class Keeping:
    """Keeps what its feed is given, as far as that can be done; says what stands in the way, once.

    `wanted` says what to make; what it raises is such an obstacle, too.
    """

    def __init__(self, screen: Screen, wanted: Callable[[], Wanted]) -> None:
        self.feed = Feed()
        self.code = 0
        """The exit code of its end."""
        self.cancelled = False
        """Whether the stream was cancelled or deleted: that is meant for whoever feeds it, too."""
        self.ended = anyio.Event()
        self._screen = screen
        self._wanted = wanted
        self._owner: Owner | None = None
        self._attempt: Drive | None = None
        self._seen = 0
        self._trouble: str | None = None
        self._wait = STORE_WAIT

    async def run(self) -> None:
        """Until the end of the feed, or until it cannot be kept any more. Raises nothing."""
        try:
            await self._run()
        except PtstreamError as error:
            self._tell(error)
        except Exception as fault:  # it must not take the pipe along
            self._tell(PtstreamError(f"fault in ptstream: {fault!r}"))
        finally:
            self.feed.close()
            self.ended.set()

    async def _run(self) -> None:
        wanted = self._wanted()
        settings = load(wanted.home)
        async with open_engine(wanted.home) as engine:
            stream = await _made(engine, wanted)
            self._screen.note(stream.id)
            with ungrouped():
                async with open_owner(engine) as self._owner:
                    await self._keep(self._owner, stream, settings)
            await self._tell_end(engine, stream.id)

    async def _keep(self, keeper: Owner, stream: Stream, settings: Settings) -> None:
        self._attempt = attempt = await keeper.start(stream.id, self._source(), settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_notes, attempt)
            tasks.start_soon(self._give_up_when_overrun, attempt)
            await attempt.ended.wait()
            tasks.cancel_scope.cancel()
        self._say_notes(attempt)
        self.cancelled = attempt.end is not None and attempt.end.status is Status.CANCELLED

    async def _tell_end(self, engine: Engine, id: str) -> None:
        """As the store has it; where it takes no end, whoever reads next writes one, but the cause is known here."""
        end = self._attempt and self._attempt.end
        if end and not (await engine.get(id)).status.ended:
            self._trouble = self._trouble or end.cause
            self.code = StreamFailed.exit_code
            self._screen.error(StreamFailed(f"stream {id} is not kept whole: {self._trouble}"))
        else:
            self.code = say_end(self._screen, await engine.as_it_is(await engine.get(id)))

    def _tell(self, error: PtstreamError) -> None:
        self.code = error.exit_code
        self._screen.error(error if self.cancelled else type(error)(f"{error} · what comes is passed on, not kept"))

    def stop(self, cause: str) -> None:
        """End the stream in error, with what was kept, and soon."""
        self._wait = owner.END_WAIT
        if self._attempt:
            self._attempt.stop(Status.ERROR, f"{cause} at byte {self._attempt.offset}")

    async def finish(self) -> None:
        """Wait for the end. What cannot be written is left to recovery after a while."""
        while not self.ended.is_set():
            with anyio.move_on_after(self._wait):
                await self.ended.wait()
            if not self.ended.is_set() and self._owner and (self._owner.trouble or self._paused):
                await self._owner.stop("what was left could not be kept", seconds=0)

    @property
    def _paused(self) -> bool:
        return self._attempt is not None and self._attempt.paused

    async def _give_up_when_overrun(self, attempt: Drive) -> None:
        await self.feed.overrun.wait()
        why = self._trouble or (self._owner and self._owner.trouble)
        attempt.stop(Status.ERROR, f"not kept from byte {attempt.offset} on: {why or 'keeping it took too long'}")

    async def _show_notes(self, attempt: Drive) -> None:
        while True:
            rung = attempt.remarks.bell.next()
            self._say_notes(attempt)
            await rung.wait()

    def _say_notes(self, attempt: Drive) -> None:
        entries, self._seen = attempt.remarks.since(self._seen)
        for entry in entries:
            if entry.text.startswith(PAUSED):  # reported at the end, unless it has passed by then
                self._trouble = entry.text.removeprefix(PAUSED)
            else:
                self._screen.note(entry.text)

    def _source(self) -> Source:
        return Source(
            model="standard input",
            place="this terminal",
            flush=Flush.LINES,
            generate=self._generate,
            silence_is_normal=True,
            shows_its_text=True,
        )

    async def _generate(self) -> AsyncGenerator[Event, None]:
        decoder = Decoder()
        while data := await self.feed.take():
            yield decoder.feed(data)
        yield decoder.feed(b"", final=True)
        if decoder.replaced:
            yield Note(f"{decoder.replaced} bytes that are not UTF-8 were passed on, and kept as U+FFFD")
        if self.feed.failure:
            raise self.feed.failure


async def _made(engine: Engine, wanted: Wanted) -> Stream:
    """A pending stream. Raises NameTaken, UsageError for what can be no name, StoreBusy."""
    stream = await engine.create(
        GenerationRequest(flush=wanted.flush), name=wanted.name, title=wanted.title, ttl=wanted.ttl
    )
    if stream.status is not Status.PENDING or stream.request._replace(flush=None) != GenerationRequest():
        raise NameTaken(f"the name {wanted.name!r} is taken by stream {stream.id}, which is {stream.status}")
    return stream
