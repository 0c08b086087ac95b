"""One stream from an offset on: all that reading over HTTP needs of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ptstream.follow import Audience, Follow
from ptstream.store.cursor import Cursor
from ptstream.store.reading import State
from ptstream.store.recover import live_size, settle
from ptstream.store.sqlite import Store
from ptstream.store.wake import Polled


class StreamReader:
    """An async iterator of the text's runs of bytes, from byte `offset` until the stream has ended and all was given.

    Made by `open`. A `stored` one reads whole sentences out of the database alone. `begin` is where it began.
    """

    def __init__(
        self, store: Store, id: str, begin: int, state: State, *, stored: bool, audience: Audience | None
    ) -> None:
        self.id = id
        self.begin = begin
        self._store = store
        self._stored = stored
        self._first_state = state
        self._cursor = Cursor(store, id, begin, live=not stored)
        self._follow = Follow(store, self._cursor, wakes=Polled(store) if stored else None, audience=audience)

    @classmethod
    async def open(
        cls, store: Store, id: str, offset: int | None = 0, *, stored: bool = False, audience: Audience | None = None
    ) -> StreamReader:
        """From byte `offset` on, or None: from where the text ends now.

        Raises StreamNotFound, and UsageError for what is no offset.
        """
        state = settle(store, id, store.state(id)).state
        begin = _size(store, id, state, stored=stored) if offset is None else offset
        return cls(store, id, begin, state, stored=stored, audience=audience)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._follow

    async def __anext__(self) -> bytes:
        return await anext(self._follow)

    async def read(self) -> bytes:
        """The next run that is there now, b"" if there is none. Raises OffsetBeyondEnd, StreamNotFound."""
        return self._cursor.read()

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
        return _size(self._store, self.id, self.state, stored=self._stored)


def _size(store: Store, id: str, state: State, *, stored: bool) -> int:
    return state.bytes if stored else live_size(store.home, id, state)
