"""Readers that wait for more, each in the way that suits what it reads: the tail, or the chunks.

What there is to read now is `cursor.py`'s, when a watcher of the log is woken `wakeups.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import anyio

from ptstream.engine.sqlite.cursor import TextCursor
from ptstream.engine.sqlite.file_changes import Watch
from ptstream.engine.sqlite.recovery import live_size, recover_if_orphaned
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.engine.sqlite.wakeups import GROWTH, SLOW_LOOK, Backoff, Wakes
from ptstream.streams import State

FIRST_POLL, TAIL_POLL = 0.001, 0.02
"""Seconds between two looks at a stream that another process drives, where nothing tells of its writes, or not yet: at
first, and later."""


class _Reading:
    """What the two have in common: where the reader stands, as `TextCursor` has it."""

    def __init__(self, text: TextCursor) -> None:
        self._text = text
        self.up_to_date = False

    @property
    def offset(self) -> int:
        """How far it has read."""
        return self._text.offset

    @property
    def state(self) -> State | None:
        """Where the stream stood."""
        return self._text.state

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all its text has been read."""
        return self._text.ended


class LiveCursor(_Reading):
    """Reads the tail, woken by its writer, or by the kernel if that is another process. See `protocol.Cursor`."""

    def __init__(
        self, store: Store, tails: Mapping[str, FileTail], wakes: Callable[[], Wakes], id: str, offset: int
    ) -> None:
        """`tails` are those that this process writes; `wakes` is called for what it does not."""
        super().__init__(TextCursor(store, id, offset))
        self.id = id
        self._store = store
        self._tails = tails
        self._wakes = wakes
        self._watch: Watch | None = None
        self._silent = False  # whether it was woken for the silence alone, after which a look is due
        self._untold = 0  # how often in a row that look has found text all the same
        self._looked_at = float("-inf")
        self._rung: anyio.Event | None = None
        self._poll = FIRST_POLL

    async def read(self) -> bytes:
        """Of the store only if something was committed, or an owner may have died unseen."""
        tail = self._tails.get(self.id) or self._others_tail()
        self._rung = tail.bell.next() if tail else None  # before the look, so that nothing falls between
        now = time.monotonic()
        if due := self._silent or now >= self._looked_at + SLOW_LOOK:
            self._looked_at = now
        data = self._text.read(look=due)
        if data and not self._is_deaf:
            self._untold = self._untold + 1 if self._silent and self._watch else 0
        self._silent = False
        # What comes after the look rings, the end as well: no need to look again for it.
        self.up_to_date = not data or (self._rung is not None and self._text.at_tail_end)
        return data

    async def wait(self) -> None:
        """Until the bell rings, or as long as a poll takes."""
        self.up_to_date = False
        if self._rung is None:
            await anyio.sleep(self._poll)
            self._poll = min(self._poll * GROWTH, TAIL_POLL)
        else:  # a tail of this process tells of all; any other rings for its silence, too
            await self._rung.wait()
            self._silent = self._watch is not None and self._watch.is_silent

    async def size(self) -> int:
        """Where the tail ends now."""
        if (end := self._text.tail_end) is not None:
            return end
        standing = self._text.standing or recover_if_orphaned(self._store, self.id).standing
        return live_size(self._store.home, self.id, standing)

    def _others_tail(self) -> Watch | None:
        """What watches the tail that is open, if anything does."""
        path = self._text.tail_path
        if self._watch and (self._watch.path != path or self._watch.is_over):
            self._leave()
        if self._is_deaf:
            self._leave()
        elif path and not self._watch:
            self._watch = self._wakes().watch(path)
        return self._watch

    @property
    def _is_deaf(self) -> bool:
        """Whether this is a file system that tells of nothing. Once is no proof: the process may have been stopped."""
        return self._untold > 1

    def _leave(self) -> None:
        if self._watch:
            self._wakes().leave(self._watch)
        self._watch = None

    def close(self) -> None:
        """Let go of the tail."""
        self._leave()
        self._text.close()


class StoredCursor(_Reading):
    """Reads chunks alone, woken by commits. See `protocol.Cursor`."""

    def __init__(self, store: Store, backoff: Backoff, id: str, offset: int) -> None:
        super().__init__(TextCursor(store, id, offset, live=False))
        self.id = id
        self._store = store
        self._backoff = backoff
        self._version = 0

    async def read(self) -> bytes:
        """One look at the store."""
        version = self._version = self._store.version()
        if data := self._text.read():
            self._backoff.found(version)
        self.up_to_date = not data
        return data

    async def wait(self) -> None:
        """Until there may be another commit."""
        self.up_to_date = False
        await self._backoff.wait(self._version)

    async def size(self) -> int:
        """Where the chunks end now."""
        return (self._text.standing or recover_if_orphaned(self._store, self.id).standing).bytes

    def close(self) -> None:
        """Nothing is held open."""
