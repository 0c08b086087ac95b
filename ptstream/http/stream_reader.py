"""One stream from an offset on: all that reading over HTTP needs of an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from ptstream.engine.protocol import Engine
from ptstream.follow import Audience, Follow
from ptstream.streams import State


class StreamReader:
    """An async iterator of the text's runs of bytes, from byte `offset` until the stream has ended and all was given.

    Made by `open`. A `stored` one reads whole sentences out of the database alone. `begin` is where it began.
    """

    def __init__(
        self, engine: Engine, id: str, begin: int, state: State, *, stored: bool, audience: Audience | None
    ) -> None:
        self.id = id
        self.begin = begin
        self._first_state = state
        self._cursor = engine.cursor(id, begin, live=not stored)
        self._follow = Follow(self._cursor, audience=audience)

    @classmethod
    async def open(
        cls, engine: Engine, id: str, offset: int | None = 0, *, stored: bool = False, audience: Audience | None = None
    ) -> StreamReader:
        """From byte `offset` on, or None: from where the text ends now.

        Raises StreamNotFound, and UsageError for what is no offset.
        """
        state = await engine.recovered(id)
        size = state.bytes if stored else state.size
        return cls(engine, id, size if offset is None else offset, state, stored=stored, audience=audience)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._follow

    async def __anext__(self) -> bytes:
        return await anext(self._follow)

    def seat(self) -> AbstractContextManager[None]:
        """Around what waits for its next run: cancelled when nothing is to wait any more."""
        return self._follow.seat()

    async def read(self) -> bytes:
        """The next run that is there now, b"" if there is none. Raises OffsetBeyondEnd, StreamNotFound."""
        return await self._cursor.read()

    @property
    def offset(self) -> int:
        """Where the text that was given ends, in bytes."""
        return self._cursor.offset

    @property
    def state(self) -> State:
        """Where the stream stood when it was looked at last."""
        return self._cursor.state or self._first_state

    @property
    def ended(self) -> bool:
        """Whether the stream has ended, and all of its text was given."""
        return self._cursor.ended or (self._cursor.state is None and self._first_state.status.ended)

    async def size(self) -> int:
        """Where the text ends now, in bytes, as far as it is asked for."""
        return await self._cursor.size()
