"""An owner: a process that drives streams. Its proof of life, its writer, its running attempts, and how they stop.

The daemon has one, a program that uses the library has one, `tee` has one. What one attempt does is `drive.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from ptstream.config import Settings
from ptstream.drive import Attempt, Seams
from ptstream.errors import PtstreamError, StoreBusy
from ptstream.follow import Audience
from ptstream.generators import Source
from ptstream.lineage import text_before
from ptstream.sentences import Cutter
from ptstream.store.owners import Lease
from ptstream.store.patience import apart
from ptstream.store.recover import settle_all
from ptstream.store.sqlite import Claim, Store
from ptstream.store.writer import Writer
from ptstream.streams import Status
from ptstream.tail import Bell, Tail

PATIENCE = 3.0
"""Seconds that the ends of stopped streams wait for a store that takes no write."""

CANCEL_POLL = 0.05
"""Seconds between two looks for a stream that somebody cancelled (4 µs each)."""


@dataclass(slots=True, eq=False)
class Owner:
    """Drives streams in this process. Made by `open_owner`."""

    store: Store
    _lease: Lease
    _writer: Writer
    _tasks: TaskGroup
    running: dict[str, Attempt] = field(default_factory=dict)
    audience: Audience = field(init=False)
    """Of all who follow in this process."""

    def __post_init__(self) -> None:
        self.audience = Audience(self.bell)

    @property
    def trouble(self) -> str | None:
        """Why nothing is written just now, or why the log grows; None when all is well."""
        return self._writer.trouble or self._writer.log_trouble

    def bell(self, id: str) -> Bell | None:
        """The bell of a stream that is driven here."""
        attempt = self.running.get(id)
        return attempt.bell if attempt else None

    async def start(
        self,
        id: str,
        source: Source,
        settings: Settings = Settings(),  # noqa: B008 - an immutable value
        *,
        on_drop: bool = False,
    ) -> Attempt:
        """Claim the stream and begin to drive it; returns when its first piece is awaited.

        With `on_drop`, it goes on in a further attempt when its provider breaks off, if its source can. Raises
        ClaimLost when the stream is not pending, StreamNotFound, StoreBusy.
        """
        stream = self.store.get(id)
        begun = ""
        if stream.bytes:
            begun = await apart(self.store.home, lambda store: text_before(store, id, stream.bytes))
        claim = await self._writer.claim(id, source.model, source.place)
        tail = await self._made_tail(claim)
        words = stream.words
        cutter = Cutter(words.flush or source.flush, max_delay=settings.max_delay, max_bytes=settings.max_bytes)
        seams = Seams(self._tail, lambda: text_before(self.store, id)) if on_drop and source.resume else None
        limits = source.limits or settings.limits
        attempt = Attempt(claim, source, tail, cutter, self._writer, limits, begun=begun, seams=seams)
        self.running[id] = attempt
        self._tasks.start_soon(self._run, attempt, name=f"drive {id}")
        with contextlib.suppress(PtstreamError):  # it is looked for again and again
            self._stop_cancelled()  # since the claim, when nobody here knew the stream yet
        return attempt

    async def _made_tail(self, claim: Claim) -> Tail:
        """Raises StoreBusy when there is no room for one; the stream has ended then."""
        try:
            return self._tail(claim)
        except OSError as error:
            cause = f"no tail could be made: {error.strerror}"
            with anyio.CancelScope(shield=True):
                await self._writer.finish(claim, claim.begin, "", 0, Status.ERROR, cause, None)
            raise StoreBusy(cause) from error

    def _tail(self, claim: Claim) -> Tail:
        return Tail(self.store.tail_path(claim.id, claim.epoch), claim.begin)

    async def _run(self, attempt: Attempt) -> None:
        try:
            await attempt.run()
        finally:
            self.running.pop(attempt.claim.id, None)
            attempt.bell.ring()

    async def stop(self, cause: str, patience: float = PATIENCE) -> None:
        """End every running stream with `cause` ("… at byte N" is added) and wait until that is committed.

        A store that takes no write for `patience` seconds is not waited for: those streams are left to recovery.
        """
        attempts = list(self.running.values())
        for attempt in attempts:
            attempt.stop(Status.ERROR, f"{cause} at byte {attempt.offset}")
        with anyio.move_on_after(patience):
            for attempt in attempts:
                await attempt.ended.wait()
        self._writer.close()
        for attempt in attempts:
            await attempt.ended.wait()

    async def _watch_for_cancels(self) -> None:
        seen = -1
        while True:
            await anyio.sleep(CANCEL_POLL)
            with contextlib.suppress(PtstreamError):  # a store that cannot be read now is looked at again
                if self.running and (version := self.store.version()) != seen:
                    self._stop_cancelled()
                    seen = version

    def _stop_cancelled(self) -> None:
        for id, drain in self.store.cancelling():
            if attempt := self.running.get(id):
                attempt.stop(Status.CANCELLED, f"cancelled at byte {attempt.offset}", drain=drain)
        for id, attempt in self.running.items():
            if attempt.draining and not self.store.drains(id):
                attempt.stop(Status.CANCELLED, None)


@contextlib.asynccontextmanager
async def open_owner(store: Store) -> AsyncIterator[Owner]:
    """An owner for as long as the context lasts. Leaving it ends what still runs.

    Raises ConfigurationError when the home or the database cannot be used.
    """
    store.home.make()
    store.home.try_out()
    lease = Lease(store.home)
    try:
        writer = Writer(store, lease.id)
        async with writer.open():
            settle_all(store)
            async with anyio.create_task_group() as tasks:
                owner = Owner(store, lease, writer, tasks)
                tasks.start_soon(owner._watch_for_cancels)
                try:
                    yield owner
                finally:
                    with anyio.CancelScope(shield=True):
                        await owner.stop("its program ended")
                    tasks.cancel_scope.cancel()
    finally:
        lease.release()
