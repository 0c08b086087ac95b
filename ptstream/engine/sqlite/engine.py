"""The engine on one machine: SQLite, tail files, and locks, in the home. See `protocol.Engine`.

What is done stands in the modules beside; here it is put to work in an event loop, which is not held up by it. A
database that another process has locked is asked again, not waited for; what may be long is done in a thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from ptstream import text_search
from ptstream.engine.handover import HandedOver
from ptstream.engine.protocol import Hit
from ptstream.engine.roll_call import Told
from ptstream.engine.sqlite import database_search, liveness, migration, recovery
from ptstream.engine.sqlite.cursor import TextCursor, read_now
from ptstream.engine.sqlite.liveness import Lease
from ptstream.engine.sqlite.schema import BUSY_TIMEOUT
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.engine.sqlite.waiting_cursors import LiveCursor, StoredCursor
from ptstream.engine.sqlite.wakeups import Backoff, Polled, Wakes, Watched
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.errors import StoreBusy, StreamNotFound, UsageError
from ptstream.settings import Home
from ptstream.streams import Attempt, GenerationRequest, History, Kept, Parent, State, Status, Stream
from ptstream.ungrouped import ungrouped

if TYPE_CHECKING:
    from ptstream.engine.sqlite.archive import SqliteArchive
    from ptstream.engine.sqlite.intake import SqliteIntake

BRIEFLY = 0.05
"""Seconds that a write may keep the event loop waiting (see `Store`), and between two tries."""

LARGE = 256 * 1024
"""Characters, or bytes, that are written or read in a thread: below that it takes a few milliseconds."""

T = TypeVar("T")


class SqliteEngine:
    """The streams of one home. Made by `opened`, or by `attached` for a store that is open already."""

    def __init__(self, store: Store, wakes: Wakes, tasks: TaskGroup) -> None:
        self._store = store
        self._home = store.home
        self._wakes = wakes
        self._woken = False
        self._tasks = tasks
        self._tails: dict[str, FileTail] = {}
        self._searches = anyio.CapacityLimiter(1)  # each takes the interpreter's lock from all else
        self._inode = _inode(store.home)

    @property
    def location(self) -> str:
        """The database's path."""
        return self._home.database

    @property
    def lost(self) -> str | None:
        """The database, when it is gone or another file. What cannot be seen just now is not lost."""
        try:
            now = _inode(self._home)
        except OSError:
            return None
        return self.location if self._inode and now != self._inode else None

    # --- to make, and to change what has not begun

    async def create(
        self,
        request: GenerationRequest = GenerationRequest(),  # noqa: B008 - an immutable value
        *,
        name: str | None = None,
        title: str | None = None,
        parent: Parent | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """See `protocol.Engine`."""
        return await self._written(
            request, lambda store: store.create(request, name=name, title=title, parent=parent, ttl=ttl)
        )

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        """See `protocol.Engine`."""
        return await self._written(request, lambda store: store.fill(id, request))

    async def begin(self, id: str, text: str) -> None:
        """See `protocol.Engine`."""
        await self._in_turn(lambda: self._store.begin(id, text))

    # --- to look

    async def get(self, id: str) -> Stream:
        """See `protocol.Engine`."""
        return self._store.get(id)

    async def find(self, reference: str) -> Stream:
        """See `protocol.Engine`."""
        return self._store.find(reference)

    async def recovered(self, id: str) -> State:
        """See `protocol.Engine`."""
        return recovery.state(self._store, id)

    async def as_it_is(self, stream: Stream) -> Stream:
        """See `protocol.Engine`."""
        return recovery.as_it_is(self._store, stream)

    async def listed(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> list[Stream]:
        """See `protocol.Engine`."""
        return recovery.listed(self._store, limit, status, since)

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> list[Kept]:
        """See `protocol.Engine`."""
        return self._store.chunks(id, offset, since)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """See `protocol.Engine`."""
        return self._store.idle_since(moment, status=status, keep=keep)

    async def attempts(self, id: str) -> list[Attempt]:
        """See `protocol.Engine`."""
        return self._store.attempts(id)

    async def histories(self, ids: Sequence[str]) -> list[History]:
        """See `protocol.Engine`."""
        return [self._store.history(id) for id in ids]

    async def text(self, id: str, offset: int = 0, stop: int | None = None) -> bytes:
        """See `protocol.Engine`."""
        size = recovery.state(self._store, id).size
        end = size if stop is None else min(stop, size)

        def read(store: Store) -> bytes:
            return b"".join(read_now(TextCursor(store, id, offset), end))[: max(0, end - offset)]

        return await self._in_thread(read) if end - offset > LARGE else read(self._store)

    @contextlib.asynccontextmanager
    async def search(self, query: str) -> AsyncIterator[AsyncIterator[Hit]]:
        """See `protocol.Engine`. One at a time, in a thread."""
        text_search.check(query)
        over = threading.Event()
        send, receive = anyio.create_memory_object_stream[Hit](0)
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._search, query, send, over)
                try:
                    with receive:
                        yield receive
                finally:
                    over.set()
                    tasks.cancel_scope.cancel()

    async def _search(self, query: str, send: MemoryObjectSendStream[Hit], over: threading.Event) -> None:
        def work() -> None:
            # Whoever asked is gone: nothing takes the next hit.
            gone = contextlib.suppress(anyio.BrokenResourceError, CancelledError)
            with Store(self._home) as store, gone:
                for hit in database_search.search(store, query, over.is_set):
                    anyio.from_thread.run(send.send, hit)

        async with send:
            await anyio.to_thread.run_sync(work, limiter=self._searches)

    # --- to read on, and to wait

    @property
    def wakes_live_readers(self) -> bool:
        """See `protocol.Engine`."""
        return self._woken_by().tells_of_tails

    def cursor(self, id: str, offset: int = 0, *, live: bool = True) -> LiveCursor | StoredCursor:
        """See `protocol.Engine`."""
        if live:
            return LiveCursor(self._store, self._tails, self._woken_by, id, offset)
        return StoredCursor(self._store, self._backoff(), id, offset)

    async def ended(self, id: str) -> State:
        """See `protocol.Engine`."""
        backoff: Backoff | None = None
        while True:
            version = self._store.version()
            if (state := recovery.state(self._store, id)).status.ended:
                return state
            backoff = backoff or self._backoff()
            await backoff.wait(version)

    def _backoff(self) -> Backoff:
        return Backoff(self._woken_by(), self._store)

    def _woken_by(self) -> Wakes:
        if not self._woken:
            self._woken = True
            self._wakes.begin()
            self._tasks.start_soon(self._wakes.run)
        return self._wakes

    # --- to end, and to remove

    async def cancel(
        self,
        id: str,
        *,
        drain: bool = False,
        delete: bool = False,
        otherwise: Callable[[], Awaitable[object]] | None = None,
    ) -> State:
        """See `protocol.Engine`."""
        recovery.recover_if_orphaned(self._store, id)
        await self._in_turn(lambda: self._store.cancel(id, drain=drain, delete=delete), otherwise)
        return recovery.state(self._store, id)

    async def drains(self, id: str) -> bool:
        """See `protocol.Engine`."""
        return self._store.drains(id)

    async def delete(self, id: str) -> None:
        """See `protocol.Engine`. In a thread: a large one takes seconds."""
        await self._in_thread(lambda store: store.delete(id))

    async def delete_expired(self) -> int:
        """See `protocol.Engine`."""

        def work(store: Store) -> int:
            expired = store.expired(time.time())
            for id in expired:
                with contextlib.suppress(StreamNotFound):  # another one was faster
                    store.delete(id)
            if expired:
                store.shrink()
            return len(expired)

        return await self._in_thread(work)

    async def shrink(self) -> bool:
        """See `protocol.Engine`."""
        return await self._in_thread(lambda store: store.shrink())

    # --- to own

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[SqliteWriter]:
        """See `protocol.Engine`."""
        self._home.make()
        self._home.try_out()
        lease = Lease(self._home)
        try:
            writer = SqliteWriter(self._store, lease.id, self._tails, lease.tell)
            async with writer.open():
                self._inode = _inode(self._home)  # it may just have been made
                await self.recover()
                yield writer
        finally:
            lease.release()

    async def recover(self) -> None:
        """See `protocol.Engine`."""
        recovery.recover_all(self._store)

    async def handed_over(self) -> list[HandedOver]:
        """See `protocol.Engine`."""
        return self._store.handed_over()

    async def told(self) -> list[Told]:
        """See `protocol.Engine`."""
        return liveness.told(self._home)

    async def migrate(self) -> None:
        """See `protocol.Engine`."""
        await anyio.to_thread.run_sync(migration.prepare, self._home)

    async def migration(self) -> str:
        """See `protocol.Engine`."""
        raise UsageError("the database in a home is its user's alone: ptstream store migrate makes its tables itself")

    async def check(self) -> None:
        """See `protocol.Engine`."""
        self._store.check()

    # --- to be copied

    @property
    def archive(self) -> SqliteArchive:
        """See `protocol.Engine`."""
        from ptstream.engine.sqlite.archive import SqliteArchive  # late: of all commands one copies

        return SqliteArchive(self._store.database)

    @contextlib.asynccontextmanager
    async def intake(self) -> AsyncIterator[SqliteIntake]:
        """See `protocol.Engine`."""
        from ptstream.engine.sqlite.intake import SqliteIntake  # late, and with it aiosqlite

        intake = SqliteIntake(self._home)
        async with intake.open():
            yield intake

    # --- in an event loop

    async def _written(self, request: GenerationRequest, write: Callable[[Store], T]) -> T:
        """What `write` makes of a request: in a thread, if that is large."""
        if len(request.prompt or "") + len(request.system or "") > LARGE:
            return await self._in_thread(write)
        return await self._in_turn(lambda: write(self._store))

    async def _in_turn(self, write: Callable[[], T], otherwise: Callable[[], Awaitable[object]] | None = None) -> T:
        """What `write` gives, tried for as long as a store in a thread would wait. Raises StoreBusy.

        `otherwise` is awaited, once, when the first try was in vain; what it raises ends the trying.
        """
        deadline = anyio.current_time() + BUSY_TIMEOUT
        while True:
            try:
                return write()
            except StoreBusy:
                if anyio.current_time() > deadline:
                    raise
            if otherwise:
                await otherwise()
                otherwise = None
            await anyio.sleep(BRIEFLY)

    async def _in_thread(self, work: Callable[[Store], T]) -> T:
        """What `work` does with a store of its own: one belongs to one thread."""

        def done() -> T:
            with Store(self._home) as store:
                return work(store)

        return await anyio.to_thread.run_sync(done)


def _inode(home: Home) -> tuple[int, int] | None:
    """Which file the database is, without opening it; None if there is none."""
    try:
        found = os.stat(home.database)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


@contextlib.asynccontextmanager
async def opened(home: Home, url: str = "sqlite:", *, many_readers: bool = False) -> AsyncIterator[SqliteEngine]:
    """See `open_engine`."""
    with Store(home, busy_timeout=BRIEFLY) as store:
        async with attached(store, many_readers=many_readers) as engine:
            yield engine


@contextlib.asynccontextmanager
async def attached(store: Store, *, many_readers: bool = False) -> AsyncIterator[SqliteEngine]:
    """An engine over a store that is open already, in the thread that opened it."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            yield SqliteEngine(store, Polled() if many_readers else Watched(store), tasks)
            tasks.cancel_scope.cancel()
