"""The streams of a home here, for a command that neither drives nor waits: SQLite alone, and no event loop.

`show`, `create`, `search`, and the lines of `cat` and `ls` that `entry` does not know load no event loop so. Of
`streams_protocol.Streams` it has what they call; no method suspends.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from ptstream.engine.sqlite.cursor import TextCursor, read_now
from ptstream.engine.sqlite.recovery import as_it_is, listed, state
from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status, Stream
from ptstream.streams_protocol import Chunks, DetailedListing, Details, Listing, Match

T = TypeVar("T")


class Asked(Protocol):
    """The part of `Streams` that neither drives nor waits."""

    async def find(self, reference: str) -> Stream: ...
    async def get(self, id: str) -> Stream: ...
    async def details(self, id: str) -> Details: ...
    async def list(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing: ...
    async def list_details(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> DetailedListing: ...
    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> Chunks: ...
    async def create(
        self, request: GenerationRequest, *, name: str | None = None, title: str | None = None, ttl: float | None = None
    ) -> Stream: ...
    def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]: ...
    def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]: ...


class AtOnce:
    """The streams of one home. Made by `opened`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    @contextlib.contextmanager
    def opened(cls, home: Home) -> Iterator[AtOnce]:
        """For as long as the context lasts."""
        with Store(home) as store:
            yield cls(store)

    async def find(self, reference: str) -> Stream:
        return as_it_is(self._store, self._store.find(reference))

    async def get(self, id: str) -> Stream:
        return as_it_is(self._store, self._store.get(id))

    async def details(self, id: str) -> Details:
        stream = as_it_is(self._store, self._store.get(id))
        return Details(stream, *self._store.history(id))

    async def list(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing:
        return Listing(listed(self._store, limit, status, since), complete=True)

    async def list_details(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> DetailedListing:
        streams = listed(self._store, limit, status, since)
        details = [Details(stream, *self._store.history(stream.id)) for stream in streams]
        return DetailedListing(details, complete=True)

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> Chunks:
        end = state(self._store, id).bytes
        return Chunks(self._store.chunks(id, offset, since), end)

    async def create(
        self, request: GenerationRequest, *, name: str | None = None, title: str | None = None, ttl: float | None = None
    ) -> Stream:
        return self._store.create(request, name=name, title=title, ttl=ttl)

    async def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        end = as_it_is(self._store, self._store.get(id)).bytes
        for data in read_now(TextCursor(self._store, id, offset), end):
            yield data

    async def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]:
        # Loaded for a search alone: what `show` and `create` need not load.
        from ptstream.engine.sqlite.database_search import search
        from ptstream.stream_json import title as title_of

        for hit in islice(search(self._store, query), limit):
            yield Match(hit.stream.id, title_of(hit.stream), hit.offset, hit.line, hit.where)


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a command that was to be done at once waits")
