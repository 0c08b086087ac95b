"""Follow a stream from an offset until its end: look, give what is there, wait for more.

Everything that reads and waits, reads through here. It only reads: leaving it changes nothing for anybody. How an
engine looks and waits is its cursors' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import anyio

from ptstream.engine.protocol import Cursor

SHARE = 0.5
"""How much of the event loop's time all who follow may take."""

BURST = 0.004
"""Seconds of turns that may come at once."""

FIRST_TURN = 0.0001
"""Seconds that a turn is thought to take before one has been measured."""

SMOOTHING = 32
"""Over how many turns, about, their time is averaged. What one takes that another process has interrupted is so paid
back by the next ones."""


class Turns:
    """How long a turn takes: what a reader's look, and all that is made of its text at once, keeps the event loop.

    It is measured where a reader that was given text asks for more without having waited for anything. Of those that
    wait, for their client for instance, nobody can tell how long they worked: they count as the others do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._whose: object | None = None
        self._began = 0.0
        self._marked = False
        self.seconds = FIRST_TURN
        """What one takes."""

    def begin(self, whose: object) -> None:
        """From here on the event loop works for this reader; if it did already, from then on."""
        if self._whose is not whose:
            self._whose, self._began = whose, self._clock()
            if not self._marked:
                self._marked = True
                asyncio.get_running_loop().call_soon(self._others_ran)

    def end(self, whose: object) -> None:
        """It asks for more."""
        if self._whose is whose:
            self.seconds += (self._clock() - self._began - self.seconds) / SMOOTHING
            self._whose = None

    def _others_ran(self) -> None:
        """Since the loop was left, as it is by whoever waits."""
        self._whose, self._marked = None, False


class Audience:
    """What the followers in one event loop share: its time, and that it is over.

    A generator runs there too, and must not be slowed by a crowd: where there are many, each looks seldomer, and gets
    more at once. Who does not look, since its reader is slow, takes no time from the others.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.turns = Turns()
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
        self._taken = max(self._taken, now) + self.turns.seconds / SHARE
        if (late := self._taken - now - BURST / SHARE) > 0:
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
        turns = self._audience.turns
        if self.cursor.offset > self._given:  # before it is waited for more, which wakes all at once
            self._given = self.cursor.offset
            turns.end(self)
            await self._audience.turn()
        while True:
            # Where a look asks a server, one for each text is enough: to wait is to be told of what came since.
            if not self.cursor.up_to_date or self._audience.is_over:
                turns.begin(self)
                if data := await self.cursor.read():
                    turns.begin(self)  # anew, if that has waited for a server
                    return data
            if self.cursor.ended or self._audience.is_over:
                self.cursor.close()
                raise StopAsyncIteration
            self.waits = True
            try:
                await self.cursor.wait()
            finally:
                self.waits = False
