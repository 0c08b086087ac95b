"""A reader: an offset in one stream. See `protocol.Cursor`.

What this process drives itself is read out of its tail's memory, as far as it is kept, and woken by its bell; all else
by looks that the readers of this process take together (`looks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from ptstream.engine.postgres.liveness import KNOWN
from ptstream.engine.postgres.looks import Asked, Look, Looks
from ptstream.engine.postgres.queries import PAGE, Standing
from ptstream.engine.postgres.recovery import Recovery
from ptstream.engine.postgres.tail import KeptTail
from ptstream.errors import OffsetBeyondEnd, StreamNotFound, UsageError
from ptstream.streams import State

LONGEST = 4
"""Bytes of a character at most: so many may be missing of a page that is full."""


class TextCursor:
    """Reads from `offset` (bytes): pieces as they are kept if `live`, else chunks alone."""

    def __init__(
        self, looks: Looks, recovery: Recovery, tails: Mapping[str, KeptTail], id: str, offset: int, *, live: bool
    ) -> None:
        """`tails` are those of this process. Raises UsageError for what is no offset."""
        if not 0 <= offset < 2**62:
            raise UsageError("an offset is a number of bytes from 0 on")
        self.id = id
        self.offset = offset
        self._live = live
        self._looks = looks
        self._recovery = recovery
        self._tails = tails
        self._standing: Standing | None = None
        self._looked_at = float("-inf")
        self.up_to_date = False
        self._rung: anyio.Event | None = None
        self._news: Look | None = None

    @property
    def state(self) -> State | None:
        """Where the stream stood when it was looked at last; None before the first look."""
        if (standing := self._standing) is None:
            return None
        return standing._replace(size=max(self.offset, standing.bytes)).state

    @property
    def ended(self) -> bool:
        """Whether the stream has ended and all its text has been read."""
        return self._standing is not None and self._standing.status.ended and self.offset >= self._standing.bytes

    async def read(self) -> bytes:
        """The next run of whole characters, b"" if there is none now."""
        data = b"" if self.ended else await self._read()
        self.up_to_date = len(data) < PAGE - LONGEST
        return data

    async def _read(self) -> bytes:
        tail = self._tails.get(self.id) if self._live else None
        self._rung = tail.bell.next() if tail else None  # before the look, so that nothing falls between
        if data := tail.read(self.offset, PAGE) if tail and self._standing else b"":
            self._news = None
            self.offset += len(data)
            return data
        here = tail is not None and self.offset >= tail.kept and anyio.current_time() < self._looked_at + KNOWN
        return b"" if here else await self._looked()

    async def _looked(self) -> bytes:
        look, self._news = self._news, None
        if look is None:
            look = await self._looks.look(Asked(self.id, self.offset, self._live))
        self._looked_at = anyio.current_time()
        if look.standing is None:
            raise StreamNotFound(
                f"no stream {self.id}" if self._standing is None else f"stream {self.id} has been deleted"
            )
        self._standing = look.standing
        if look.standing.status.ended and self.offset > look.standing.bytes:
            raise OffsetBeyondEnd(f"stream {self.id} ended at byte {look.standing.bytes}, before byte {self.offset}")
        self.offset += len(look.text)
        return look.text

    async def wait(self) -> None:
        """Until the tail's bell rings, or a poll has something."""
        self.up_to_date = False
        if self._rung is not None:
            with anyio.move_on_after(KNOWN):
                await self._rung.wait()
        else:
            news = await self._looks.wait(Asked(self.id, self.offset, self._live))
            # What has nothing to say is not kept: the next read looks anew.
            self._news = news if news and (news.text or not news.standing or news.standing.status.ended) else None

    async def size(self) -> int:
        """Where the text ends now."""
        standing = await self._recovery.standing(self.id)
        return standing.size if self._live else standing.bytes

    def close(self) -> None:
        """Nothing is held open."""
