"""A reader is an offset: the text that is there now, from there on. Never waits, holds one page at most.

One snapshot of where the stream stands; chunks up to there, then the tail, then the end, with no gap
and nothing twice. Synchronous: `cat` and searches read by it. Waiting for more is `waiting_cursors.py`'s business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ptstream.engine.sqlite import liveness
from ptstream.engine.sqlite.at_rest import PAGE
from ptstream.engine.sqlite.queries import Standing
from ptstream.engine.sqlite.recovery import Recovered, recover_if_orphaned
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import TailReader
from ptstream.errors import OffsetBeyondEnd, StreamNotFound, UsageError
from ptstream.streams import State, Status

LONGEST_CHARACTER = 4
"""Bytes of UTF-8: what ends less than so much before the end of a page may have been cut off there."""


class TextCursor:
    """Reads one stream from `offset` (bytes). A `live` one reads the tail; else sentences out of the store alone."""

    def __init__(self, store: Store, id: str, offset: int = 0, *, live: bool = True) -> None:
        if not 0 <= offset < 2**62:
            raise UsageError("an offset is a number of bytes from 0 on")
        self._store = store
        self.id = id
        self.offset = offset
        self._live = live
        self._tail: TailReader | None = None
        self._seen: int | None = None
        self._tail_epoch = 0
        self._rest = b""
        self.standing: Standing | None = None
        self.at_tail_end = False
        """Whether the last `read` gave all that the tail had."""

    @property
    def state(self) -> State | None:
        """Where the stream stood when it was looked at last; None before the first look."""
        if (standing := self.standing) is None:
            return None
        return State(standing.status, standing.bytes, max(self.offset, self._end), standing.error, standing.note)

    @property
    def tail_path(self) -> str | None:
        """The file of the tail that is open."""
        return self._tail.path if self._tail else None

    @property
    def tail_end(self) -> int | None:
        """Where the text ends now in the tail that is open, if one is, and the stream is not known to have ended."""
        running = self.standing is not None and self.standing.status is Status.STREAMING
        return self._tail.end if self._tail and running else None

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all its text has been read."""
        return self.standing is not None and self.standing.status.ended and self.offset >= self._end

    @property
    def _end(self) -> int:
        return (self.standing.bytes if self.standing else 0) + len(self._rest)

    def read(self, *, look: bool = True) -> bytes:
        """The next run of whole characters, b"" if there is none now (see `ended`). Moves `offset`.

        With `look=False` the store is asked only if something was committed since it was asked last.
        Raises StreamNotFound when the stream is deleted, OffsetBeyondEnd.
        """
        data = self._read_tail()
        self.at_tail_end = 0 < len(data) < PAGE - LONGEST_CHARACTER
        while not data and not self.ended:
            version = self._store.version()
            if not look and version == self._seen and self._tail_known and self.offset >= self._end:
                return b""
            before = self.standing
            self.standing, self._rest = self._looked()
            self._drop_old_tail(self.standing.epoch)
            data = self._read_chunks() or self._read_rest() or self._read_tail()
            self._seen = version  # not before: a look that raised has seen nothing
            if self.standing == before:
                break
        self.offset += len(data)
        return data

    def close(self) -> None:
        """Let go of the tail."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    @property
    def _tail_known(self) -> bool:
        return (
            not self._live or self._tail is not None or self.standing is None or self.standing.status is Status.PENDING
        )

    def _looked(self) -> Recovered:
        try:
            return recover_if_orphaned(self._store, self.id)
        except StreamNotFound as error:
            if self.standing is None:
                raise
            raise StreamNotFound(f"stream {self.id} has been deleted") from error

    def _read_chunks(self) -> bytes:
        assert self.standing is not None
        if self.standing.status.ended and self.offset > self._end:
            raise OffsetBeyondEnd(f"stream {self.id} ended at byte {self._end}, before byte {self.offset}")
        if self.offset >= self.standing.bytes:
            return b""
        data = self._store.text(self.id, self.offset, self.standing.bytes)
        if not data:
            raise StreamNotFound(f"stream {self.id} has been deleted")
        return data

    def _read_rest(self) -> bytes:
        """Of a dead owner's tail that could not be brought into the store."""
        if not self._rest or self.standing is None:
            return b""
        return self._rest[self.offset - self.standing.bytes :]

    def _read_tail(self) -> bytes:
        if not self._live:
            return b""
        if self._tail is None:
            self._open_tail()
        if self._tail is None or self.offset < self._tail.begin:
            return b""
        return self._tail.read(self.offset, PAGE)

    def _open_tail(self) -> None:
        state = self.standing
        if state is None or state.status is not Status.STREAMING or state.boot != liveness.boot_id():
            return
        # Gone, not made yet, or out of reach: the next look shows.
        with contextlib.suppress(OSError):
            self._tail = TailReader(self._store.tail_path(self.id, state.epoch), state.begin)
            self._tail_epoch = state.epoch

    def _drop_old_tail(self, epoch: int) -> None:
        """Another attempt has another tail; what the one before it wrote is in the chunks."""
        if epoch != self._tail_epoch:
            self.close()


def read_now(cursor: TextCursor, end: int) -> Iterator[bytes]:
    """The runs that are there, until byte `end` is reached: a fast stream would never let its reader return."""
    try:
        while data := cursor.read():
            yield data
            if cursor.offset >= end:
                return
    finally:
        cursor.close()
