"""The streams of an engine in this process: all of `streams_protocol.Streams` that asks nobody to drive.

The daemon's routes and programs have theirs so; `here.Here` adds the driving.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from ptstream import cancellation
from ptstream.conversation import going_on
from ptstream.engine.protocol import Engine
from ptstream.errors import PtstreamError
from ptstream.follow import Follow
from ptstream.roll_call import RunningDaemon, heard_of
from ptstream.stream_json import title as title_of
from ptstream.streams import GenerationRequest, Status, Stream
from ptstream.streams_protocol import Chunks, DetailedListing, Details, Listing, Match

NOT_SHRUNK = "a reader holds on to the log: what was deleted leaves it with the next rm, or when all have ended"


class EngineStreams:
    """The streams of one engine. What each method does stands in `streams_protocol.Streams`.

    `say` is called with what a person is to know.
    """

    def __init__(self, engine: Engine, say: Callable[[str], None] = lambda _: None) -> None:
        self._engine = engine
        self._say = say

    # --- what there is

    async def find(self, reference: str) -> Stream:
        return await self._engine.as_it_is(await self._engine.find(reference))

    async def get(self, id: str) -> Stream:
        return await self._engine.as_it_is(await self._engine.get(id))

    async def details(self, id: str) -> Details:
        (details,) = await self.detailed([await self.get(id)])
        return details

    async def list(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing:
        return Listing(await self._engine.listed(limit, status, since), complete=True)

    async def list_details(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> DetailedListing:
        listing = await self.list(limit, status, since)
        return DetailedListing([*await self.detailed(listing.streams)], listing.complete)

    async def detailed(self, streams: Sequence[Stream]) -> Sequence[Details]:
        """What is known of these, as they are given."""
        histories = await self._engine.histories([stream.id for stream in streams])
        return [Details(stream, *history) for stream, history in zip(streams, histories, strict=True)]

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> Chunks:
        end = (await self._engine.recovered(id)).bytes  # before they are read: what is behind it is newer
        return Chunks(await self._engine.chunks(id, offset, since), end)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        return await self._engine.idle_since(moment, status=status, keep=keep)

    async def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]:
        count = 0
        async with self._engine.search(query) as hits:
            async for hit in hits:
                yield Match(hit.stream.id, title_of(hit.stream), hit.offset, hit.line, hit.where)
                count += 1
                if count == limit:
                    return

    async def daemons(self) -> Sequence[RunningDaemon]:
        return heard_of(await self._engine.told())

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
        check: Callable[[GenerationRequest], None] = lambda _: None,
    ) -> Stream:
        """`check` is given what would be asked, with what comes from its parent, and raises for what may not be."""
        before = None
        if parent is not None:
            request, before = await going_on(self._engine, await self._engine.get(parent), parent_offset, request)
        check(request)
        return await self._engine.create(request, name=name, title=title, parent=before, ttl=ttl)

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        return await self._engine.fill(id, request)

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        failures: list[PtstreamError] = []
        for id in ids:
            try:
                await cancellation.delete(self._engine, id)
            except PtstreamError as error:
                failures.append(error)
        if len(failures) < len(ids) and not await self._engine.shrink():
            self._say(NOT_SHRUNK)
        return failures

    async def cancel(
        self, id: str, *, drain: bool = False, otherwise: Callable[[], Awaitable[object]] | None = None
    ) -> Stream:
        """`otherwise` is awaited when the engine does not take the mark at once; see `Engine.cancel`."""
        await cancellation.cancel(self._engine, id, drain=drain, otherwise=otherwise)
        return await self.get(id)

    # --- reading

    async def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        cursor = self._engine.cursor(id, offset, live=live)
        try:
            async for data in Follow(cursor):
                yield data
        finally:
            cursor.close()

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
