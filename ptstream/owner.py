"""An owner: a process that drives streams. Its lease, its writer, its running attempts, and how they stop.

The daemon has one, a program that uses the library has one, `tee` has one. What one drive does is `drive.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import TaskGroup

from ptstream.bell import Bell
from ptstream.config import Settings
from ptstream.conversation import text_before
from ptstream.drive import Drive
from ptstream.engine.handover import HandedOver
from ptstream.engine.protocol import Engine, Tail, Writer
from ptstream.errors import PtstreamError, StoreBusy
from ptstream.follow import Audience
from ptstream.generators import Source
from ptstream.resumption import MOST, Resumption
from ptstream.sentences import Cutter
from ptstream.streams import Claim, Status

END_WAIT = 3.0
"""Seconds that the ends of stopped streams wait for a store that takes no write."""

CANCEL_POLL = 0.05
"""Seconds between two looks for a stream that somebody cancelled."""


@dataclass(slots=True, eq=False)
class Owner:
    """Drives streams in this process. Made by `open_owner`."""

    engine: Engine
    _writer: Writer
    _tasks: TaskGroup
    running: dict[str, Drive] = field(default_factory=dict)
    audience: Audience = field(default_factory=Audience)
    """Of all who follow in this process."""
    _begun: Bell = field(default_factory=Bell)

    @property
    def trouble(self) -> str | None:
        """Why nothing is written just now, or what else is wrong with the engine; None when all is well."""
        return self._writer.trouble or self._writer.warning

    def tell(self, text: str) -> None:
        """Have others who use the same engine's place know this of its process."""
        self._writer.tell(text)

    async def start(
        self,
        id: str,
        source: Source,
        settings: Settings = Settings(),  # noqa: B008 - an immutable value
        *,
        on_drop: bool = False,
    ) -> Drive:
        """Claim the stream and begin to drive it; returns when its first piece is awaited.

        With `on_drop`, it goes on in a further attempt when its provider breaks off, if its source can. Raises
        ClaimLost when the stream is not pending, StreamNotFound, StoreBusy.
        """
        claiming = partial(self._writer.claim, id, source.model, source.place)
        return await self._start(id, source, settings, claiming, on_drop)

    async def take(self, handed: HandedOver, source: Source, settings: Settings) -> Drive:
        """Go on with a stream that another owner has handed over, by a source that can. Raises as `start` does."""
        taking = partial(self._writer.take, handed, source.model, source.place)
        return await self._start(handed.id, source, settings, taking, True, handed.elapsed)

    async def _start(
        self,
        id: str,
        source: Source,
        settings: Settings,
        claiming: Callable[[], Awaitable[Claim]],
        on_drop: bool,
        elapsed: float = 0.0,
    ) -> Drive:
        stream = await self.engine.get(id)
        begun = await text_before(self.engine, id, stream.bytes) if stream.bytes else ""
        claim = await claiming()
        tail = await self._made_tail(claim)
        flush = stream.request.flush or source.flush
        cutter = Cutter(flush, max_delay=settings.max_delay, max_bytes=settings.max_bytes)
        goes_on = on_drop and source.resume
        resumption = Resumption(partial(text_before, self.engine, id), MOST + 1 - claim.epoch) if goes_on else None
        limits = source.limits or settings.limits
        drive = Drive(
            claim, source, tail, cutter, self._writer, limits, begun=begun, resumption=resumption, elapsed=elapsed
        )
        self.running[id] = drive
        self._begun.ring()
        self._tasks.start_soon(self._run, drive, name=f"drive {id}")
        with contextlib.suppress(PtstreamError):  # it is looked for again and again
            await self._stop_cancelled()  # since the claim, when nobody here knew the stream yet
        return drive

    async def _made_tail(self, claim: Claim) -> Tail:
        """Raises StoreBusy when there can be none; the stream has ended then."""
        try:
            return await self._writer.tail(claim)
        except StoreBusy as error:
            with anyio.CancelScope(shield=True):
                await self._writer.finish(claim, claim.begin, "", 0, Status.ERROR, str(error), None)
            raise

    async def _run(self, drive: Drive) -> None:
        try:
            await drive.run()
        finally:
            self.running.pop(drive.claim.id, None)

    async def stop(self, cause: str, seconds: float = END_WAIT) -> None:
        """End every running stream with `cause` ("… at byte N" is added) and wait until that is committed.

        What can go on, and was asked to, does not end: it is handed over to whoever takes it.

        A store that takes no write for so many seconds is not waited for: those streams are left to recovery.
        """
        running = list(self.running.values())
        for drive in running:
            if drive.can_go_on:
                drive.hand_over(cause)
            else:
                drive.stop(Status.ERROR, f"{cause} at byte {drive.offset}")
        with anyio.move_on_after(seconds):
            for drive in running:
                await drive.ended.wait()
        self._writer.close()
        for drive in running:
            await drive.ended.wait()

    async def _watch_for_cancels(self) -> None:
        while True:
            if not self.running:
                await self._begun.next().wait()
            await anyio.sleep(CANCEL_POLL)
            with contextlib.suppress(PtstreamError):  # a store that cannot be read now is looked at again
                await self._stop_cancelled()

    async def _stop_cancelled(self) -> None:
        for id, drain in await self._writer.cancelling():
            if drive := self.running.get(id):
                drive.stop(Status.CANCELLED, f"cancelled at byte {drive.offset}", drain=drain)
        for id in [id for id, drive in self.running.items() if drive.draining]:
            if not await self.engine.drains(id) and (drive := self.running.get(id)):
                drive.stop(Status.CANCELLED, None)


@contextlib.asynccontextmanager
async def open_owner(engine: Engine) -> AsyncIterator[Owner]:
    """An owner for as long as the context lasts. Leaving it ends what still runs.

    Raises ConfigurationError when the engine cannot be used.
    """
    async with engine.writer() as writer, anyio.create_task_group() as tasks:
        owner = Owner(engine, writer, tasks)
        tasks.start_soon(owner._watch_for_cancels)
        try:
            yield owner
        finally:
            with anyio.CancelScope(shield=True):
                await owner.stop("its program ended")
            tasks.cancel_scope.cancel()
