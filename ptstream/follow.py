"""Follow a stream from an offset until its end: look, give what is there, wait for more.

Everything that reads and waits, reads through here. It only reads: leaving it changes nothing for anybody. How an
engine looks and waits is its cursors' business.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import anyio

from ptstream.engine.protocol import Cursor

READ = 0.0002
"""Seconds that a reader's look keeps the event loop, about twice: so readers take half of its time at most."""

BURST = 0.005
"""Seconds of looks that may come at once."""


class Audience:
    """What the followers in one event loop share: its time, and that it is over.

    A generator runs there too, and must not be slowed by a crowd: where there are many, each looks seldomer, and gets
    more at once. Who does not look, since its reader is slow, takes no time from the others.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._taken = 0.0
        self._seats: dict[Follow, anyio.CancelScope] = {}

    def end(self) -> None:
        """From now on nobody waits here: whoever has been given all that there is goes without its stream's end."""
        self.is_over = True
        for follow, scope in list(self._seats.items()):
            if follow.waits:
                scope.cancel()

    @contextlib.contextmanager
    def seat(self, follow: Follow) -> Iterator[None]:
        """Where it may wait: the context is cancelled at the audience's end, if it does then."""
        with anyio.CancelScope() as scope:
            self._seats[follow] = scope
            try:
                yield
            finally:
                del self._seats[follow]

    async def turn(self) -> None:
        """Wait, after one look, for one's turn to take the next (the generic cell rate algorithm, ITU-T I.371)."""
        now = time.monotonic()
        self._taken = max(self._taken, now) + READ
        if (late := self._taken - now - BURST) > 0:
            await anyio.sleep(late)


class Follow:
    """The cursor's runs of whole characters as they come, until the stream has ended and all of it was given.

    Or, if the audience's end comes first, until all was given that there is: then `cursor.ended` is false.

    An async iterator of bytes. Afterwards `cursor.state` has the end. Raises what `Cursor.read` raises. A plain
    object: a loop that ends early leaves nothing running.
    """

    def __init__(self, cursor: Cursor, *, audience: Audience | None = None) -> None:
        """With an `audience`, it takes its turn among all who follow in this process."""
        self.cursor = cursor
        self._audience = audience or Audience()
        self._given = cursor.offset
        self.waits = False
        """Whether it has given all that there is, and waits for more."""

    def seat(self) -> AbstractContextManager[None]:
        """See `Audience.seat`."""
        return self._audience.seat(self)

    def __aiter__(self) -> Follow:
        return self

    async def __anext__(self) -> bytes:
        if self.cursor.offset > self._given:  # before it is waited for more, which wakes all at once
            self._given = self.cursor.offset
            await self._audience.turn()
        while True:
            # Where a look asks a server, one for each text is enough: to wait is to be told of what came since.
            if (not self.cursor.up_to_date or self._audience.is_over) and (data := await self.cursor.read()):
                return data
            if self.cursor.ended or self._audience.is_over:
                self.cursor.close()
                raise StopAsyncIteration
            self.waits = True
            try:
                await self.cursor.wait()
            finally:
                self.waits = False
