"""The streams of a home on this machine: its engine in this process, and its daemon for what must outlive it.

What each method does stands in `streams_protocol.Streams`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing

from ptstream import cancellation, wire
from ptstream.client.caller import own_context
from ptstream.client.daemon_client import Client
from ptstream.client.launch import connect_or_start
from ptstream.client.there import check_ended
from ptstream.client.unix_socket import connect
from ptstream.config import load
from ptstream.conversation import going_on
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.errors import DaemonUnreachable, PtstreamError, StoreBusy
from ptstream.follow import Follow
from ptstream.generators import Caller
from ptstream.generators.models.resolve import check as check_model
from ptstream.generators.models.resolve import doubt
from ptstream.settings import Home
from ptstream.stream_json import title as title_of
from ptstream.streams import GenerationRequest, Status, Stream
from ptstream.streams_protocol import Details, Driven, Listing, Match, NumberedRemark

NOT_SHRUNK = "a reader holds on to the log: what was deleted leaves it with the next rm, or when all have ended"


class Here:
    """The streams of one home. Made by `opened`. `say` is called with what a person is to know."""

    def __init__(self, home: Home, engine: Engine, stack: AsyncExitStack, say: Callable[[str], None]) -> None:
        self._home = home
        self._engine = engine
        self._stack = stack
        self._say = say
        self._client: Client | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, home: Home, say: Callable[[str], None]) -> AsyncIterator[Here]:
        """For as long as the context lasts."""
        async with open_engine(home) as engine, AsyncExitStack() as stack:
            yield cls(home, engine, stack, say)

    # --- what there is

    async def find(self, reference: str) -> Stream:
        return await self._engine.as_it_is(await self._engine.find(reference))

    async def get(self, id: str) -> Stream:
        return await self._engine.as_it_is(await self._engine.get(id))

    async def details(self, id: str) -> Details:
        return Details(await self.get(id), await self._engine.attempts(id), *await self._engine.counts(id))

    async def list(self, limit: int | None = None, status: Status | None = None) -> Listing:
        return Listing(await self._engine.listed(limit, status), complete=True)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        await self._engine.recover()
        return await self._engine.idle_since(moment, status=status, keep=keep)

    async def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]:
        count = 0
        async with self._engine.search(query) as hits:
            async for hit in hits:
                yield Match(hit.stream.id, title_of(hit.stream), hit.offset, hit.line)
                count += 1
                if count == limit:
                    return

    # --- what is made, and removed

    async def create(
        self,
        request: GenerationRequest,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: str | None = None,
        parent_offset: int | None = None,
        ttl: float | None = None,
    ) -> Stream:
        before = None
        if parent is not None:
            request, before = await going_on(self._engine, await self._engine.get(parent), parent_offset, request)
        return await self._engine.create(request, name=name, title=title, parent=before, ttl=ttl)

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        return await self._engine.fill(id, request)

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        await self._engine.recover()
        failures: list[PtstreamError] = []
        for id in ids:
            try:
                await cancellation.delete(self._engine, id)
            except PtstreamError as error:
                failures.append(error)
        if len(failures) < len(ids) and not await self._engine.shrink():
            self._say(NOT_SHRUNK)
        return failures

    async def cancel(self, id: str, *, drain: bool = False) -> Stream:
        async def ask_the_daemon() -> None:
            """Where the store takes no mark, so that a full disk keeps no model running."""
            await self._stopped_by_daemon(id)

        await cancellation.cancel(self._engine, id, drain=drain, otherwise=None if drain else ask_the_daemon)
        return await self.get(id)

    # --- driving

    async def check(self, request: GenerationRequest) -> str | None:
        caller, settings = Caller(**own_context()), load(self._home)
        check_model(request, caller, settings, self._home)
        return await doubt(request, caller, settings, self._home)

    async def drive(self, id: str, *, stderr: bool = False, on_drop: bool = False) -> Driven:
        """A stream that was begun by another one is left to that, if the daemon cannot be reached: the text is read.

        So it is if a daemon dies before it answers: it may have begun.
        """
        fields = {**own_context(), "stderr": stderr, "on_drop": on_drop}
        try:
            self._client = await self._stack.enter_async_context(connect_or_start(self._home))
            answer = await self._client.ask("POST", wire.DRIVE.format(id=id), fields)
        except DaemonUnreachable:
            if not await self.begun(id):
                raise
            return Driven(attached=True, model=None, place=None)
        return Driven(answer["attached"], answer["model"], answer["place"])

    async def begun(self, id: str) -> bool:
        with contextlib.suppress(PtstreamError):
            return (await self._engine.recovered(id)).status is not Status.PENDING
        return True

    async def remarks(self, id: str, after: int = 0) -> AsyncGenerator[NumberedRemark, None]:
        if self._client is None:
            return
        with contextlib.suppress(DaemonUnreachable):  # the text is read on without it
            async with aclosing(self._client.remarks(id, after)) as entries:
                async for entry in entries:
                    yield entry

    # --- reading

    async def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        """What is driven from here is read from the daemon, else from one that came after it, else from the engine."""
        if live and self._client is not None:
            async with aclosing(self._from_daemons(self._client, id, offset)) as runs:
                async for data in runs:
                    if data is None:
                        return
                    offset += len(data)
                    yield data
        async for data in Follow(self._engine.cursor(id, offset, live=live)):
            yield data

    async def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        end = (await self.get(id)).bytes
        cursor = self._engine.cursor(id, offset)
        try:
            while data := await cursor.read():
                yield data
                if cursor.offset >= end:  # a fast stream would never let its reader return
                    return
        finally:
            cursor.close()

    async def wait(self, id: str) -> Stream:
        await self._engine.ended(id)
        return await self.get(id)

    # --- within

    async def _from_daemons(self, client: Client, id: str, offset: int) -> AsyncGenerator[bytes | None, None]:
        """The text as the daemon has it, then as one that came after it has; None where its end was reached."""
        with contextlib.suppress(DaemonUnreachable):
            async for data in client.text(id, offset):
                offset += len(data)
                yield data
            yield None
            return
        with contextlib.suppress(DaemonUnreachable):
            self._client = await self._stack.enter_async_context(connect(self._home))
            async for data in self._client.text(id, offset):
                yield data
            yield None

    async def _stopped_by_daemon(self, id: str) -> None:
        """Raises NotFinished when the daemon has stopped the stream's generator, and the store takes no end either."""
        try:
            async with connect(self._home) as daemon:
                answer = await daemon.ask("POST", wire.CANCEL.format(id=id), {"drain": False})
        except (DaemonUnreachable, StoreBusy):  # the stream is not the daemon's: there is only the mark
            return
        check_ended(id, Status(answer["status"]))
