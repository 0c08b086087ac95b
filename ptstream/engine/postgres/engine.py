"""The engine beyond one machine: PostgreSQL. See `protocol.Engine`.

What is done stands in the modules beside; here it is put together. All statements run in tasks of this engine's.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from anyio import create_task_group
from anyio.abc import TaskGroup

from ptstream import text_search
from ptstream.engine.handover import HandedOver
from ptstream.engine.postgres import database_search
from ptstream.engine.postgres.changes import Changes
from ptstream.engine.postgres.connections import Connections
from ptstream.engine.postgres.cursor import TextCursor
from ptstream.engine.postgres.liveness import Lease, Liveness
from ptstream.engine.postgres.looks import FOREVER, Asked, Looks
from ptstream.engine.postgres.queries import Queries
from ptstream.engine.postgres.recovery import Recovery
from ptstream.engine.postgres.server import Server
from ptstream.engine.postgres.tail import KeptTail
from ptstream.engine.postgres.transfer import PostgresArchive, PostgresIntake
from ptstream.engine.postgres.writer import PostgresWriter
from ptstream.engine.protocol import Hit
from ptstream.engine.roll_call import Told
from ptstream.settings import Home
from ptstream.streams import Attempt, GenerationRequest, History, Kept, Parent, State, Status, Stream
from ptstream.ungrouped import ungrouped


class PostgresEngine:
    """The streams of one database. Made by `opened`."""

    def __init__(self, server: Server, tasks: TaskGroup) -> None:
        self._server = server
        self._connections = Connections(server, tasks)
        self._queries = Queries(self._connections)
        self._changes = Changes(self._connections, self._queries)
        self._liveness = Liveness(self._connections)
        self._recovery = Recovery(self._connections, self._queries, self._liveness)
        self._looks = Looks(self._connections, self._liveness, self._recovery, tasks)
        self._tails: dict[str, KeptTail] = {}

    @property
    def location(self) -> str:
        """The URL without its password."""
        return self._server.location

    @property
    def lost(self) -> str | None:
        """Nothing: the server keeps what it has, or is not reached."""
        return None

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
        return await self._changes.create(request, name=name, title=title, parent=parent, ttl=ttl)

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        """See `protocol.Engine`."""
        return await self._changes.fill(id, request)

    async def begin(self, id: str, text: str) -> None:
        """See `protocol.Engine`."""
        await self._changes.begin(id, text)

    # --- to look

    async def get(self, id: str) -> Stream:
        """See `protocol.Engine`."""
        return await self._queries.get(id)

    async def find(self, reference: str) -> Stream:
        """See `protocol.Engine`."""
        return await self._queries.find(reference)

    async def recovered(self, id: str) -> State:
        """See `protocol.Engine`."""
        return (await self._recovery.standing(id)).state

    async def as_it_is(self, stream: Stream) -> Stream:
        """See `protocol.Engine`."""
        now = await self.recovered(stream.id)
        return stream.replaced(status=now.status, error=now.error, note=now.note, bytes=now.size)

    async def listed(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> list[Stream]:
        """See `protocol.Engine`."""
        return await self._recovery.listed(limit, status, since)

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> list[Kept]:
        """See `protocol.Engine`."""
        return await self._queries.chunks(id, offset, since)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """See `protocol.Engine`."""
        return await self._queries.idle_since(moment, status=status, keep=keep)

    async def attempts(self, id: str) -> list[Attempt]:
        """See `protocol.Engine`."""
        return await self._queries.attempts(id)

    async def histories(self, ids: Sequence[str]) -> list[History]:
        """See `protocol.Engine`."""
        return await self._queries.histories(ids)

    async def text(self, id: str, offset: int = 0, stop: int | None = None) -> bytes:
        """See `protocol.Engine`."""
        cursor = self.cursor(id, offset)
        runs = [await cursor.read()]
        end = stop if stop is not None else 2**62
        if not cursor.ended:  # as far as it has come by now
            end = min(end, (await self.recovered(id)).size)
        while cursor.offset < end and runs[-1]:
            runs.append(await cursor.read())
        return b"".join(runs)[: max(0, end - offset)]

    @contextlib.asynccontextmanager
    async def search(self, query: str) -> AsyncIterator[AsyncIterator[Hit]]:
        """See `protocol.Engine`."""
        text_search.check(query)
        await self._recovery.end_all(await self._liveness.dead(await self._liveness.all()))
        hits = database_search.search(self._connections, query, self.cursor)
        try:
            yield hits
        finally:
            await hits.aclose()

    # --- to read on, and to wait

    wakes_live_readers = False

    def cursor(self, id: str, offset: int = 0, *, live: bool = True) -> TextCursor:
        """See `protocol.Engine`."""
        return TextCursor(self._looks, self._recovery, self._tails, id, offset, live=live)

    async def ended(self, id: str) -> State:
        """See `protocol.Engine`."""
        while not (state := await self.recovered(id)).status.ended:
            await self._looks.wait(Asked(id, FOREVER, live=False))
        return state

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
        await self._recovery.standing(id)
        await self._changes.cancel(id, drain=drain, delete=delete, otherwise=otherwise)
        self._looks.wake([id])
        return await self.recovered(id)

    async def drains(self, id: str) -> bool:
        """See `protocol.Engine`."""
        return await self._queries.drains(id)

    async def delete(self, id: str) -> None:
        """See `protocol.Engine`."""
        await self._changes.delete(id)
        self._looks.wake([id])

    async def delete_expired(self) -> int:
        """See `protocol.Engine`."""
        return await self._changes.delete_expired()

    async def shrink(self) -> bool:
        """See `protocol.Engine`. The server's vacuum does so, in its own time."""
        return True

    # --- to own

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[PostgresWriter]:
        """See `protocol.Engine`."""
        lease = Lease(self._connections)
        try:
            await lease.take()
            self._liveness.is_mine(lease.id, mine=True)
            writer = PostgresWriter(self._connections, self._queries, lease, self._looks, self._tails)
            with ungrouped():
                async with writer.open():
                    await self.recover()
                    yield writer
        finally:
            self._liveness.is_mine(lease.id, mine=False)
            await lease.release()

    async def recover(self) -> None:
        """See `protocol.Engine`."""
        await self._recovery.all()

    async def handed_over(self) -> list[HandedOver]:
        """See `protocol.Engine`."""
        return await self._queries.handed_over()

    async def told(self) -> list[Told]:
        """See `protocol.Engine`."""
        return await self._liveness.told()

    async def migrate(self) -> None:
        """See `protocol.Engine`."""
        await (await self._server.connect()).close()

    async def migration(self) -> str:
        """See `protocol.Engine`."""
        return await self._server.migration()

    async def check(self) -> None:
        """See `protocol.Engine`."""
        await self._queries.check()

    # --- to be copied

    @property
    def archive(self) -> PostgresArchive:
        """See `protocol.Engine`."""
        return PostgresArchive(self._connections)

    @contextlib.asynccontextmanager
    async def intake(self) -> AsyncIterator[PostgresIntake]:
        """See `protocol.Engine`."""
        intake = PostgresIntake(self._connections)
        async with intake.open():
            yield intake

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connections.close()


@contextlib.asynccontextmanager
async def opened(home: Home, url: str, *, many_readers: bool = False) -> AsyncIterator[PostgresEngine]:
    """See `open_engine`. Many readers or few: all of one process look together."""
    with ungrouped():
        async with create_task_group() as tasks:
            engine = PostgresEngine(Server(url), tasks)
            try:
                yield engine
            finally:
                await engine.close()
                tasks.cancel_scope.cancel()
