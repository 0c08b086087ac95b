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

SHARE = 0.4
"""How much of the event loop's time all who follow may take."""

BURST = 0.004
"""Seconds of turns that may come at once."""

FIRST_TURN = 0.0001
"""Seconds that a turn is thought to take before one has been measured."""

TIMER = 0.001
"""Seconds by which a timer is late in an event loop that has nothing else to do."""

LONGEST = 0.1
"""Seconds that count at most, of a turn or of how late one came: a process that was stopped does not pay for that."""

SMOOTHING = 16
"""Over how many rounds of the event loop, about, a turn's time is averaged. What one takes that is cut short by another
process is so paid back by the next ones."""


class Turns:
    """How long a turn takes: what a reader's look, and all that is made of its text at once, keeps the event loop.

    Nobody can see the end of one, which is wherever the reader waits next. So what is measured is from the first turn
    of a round of the loop to the end of that round. What else runs there counts as well: a loop that has much to do
    has less time for readers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: float | None = None
        self._count = 0
        self.seconds = FIRST_TURN
        """What one takes."""

    @property
    def are_many(self) -> bool:
        """Whether those of this round have taken as long as may be at once."""
        return self._began is not None and self._clock() - self._began > BURST

    def begin(self) -> None:
        """From here on it is some reader's, until the end of this round."""
        if self._began is None:
            self._began = self._clock()
            asyncio.get_running_loop().call_soon(self._end_round)

    def count(self) -> None:
        """One of them gave text."""
        self.begin()  # of its own, if it has waited for a server since
        self._count += 1

    def _end_round(self) -> None:
        assert self._began is not None
        if self._count:
            seconds = min(LONGEST, self._clock() - self._began) / self._count
            self.seconds += (seconds - self.seconds) / SMOOTHING
        self._began, self._count = None, 0


class Audience:
    """What the followers in one event loop share: its time, and that it is over.

    A generator runs there too, and must not be slowed by a crowd: where there are many, each looks seldomer, and gets
    more at once. Who does not look, since its reader is slow, takes no time from the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_over = False
        self.turns = Turns(clock)
        self._clock = clock
        self._taken = self._made_up = 0.0
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
        now = self._clock()
        self._taken = max(self._taken, now) + self.turns.seconds / SHARE
        if (late := self._taken - now - BURST / SHARE) > 0:
            await anyio.sleep(late)
            self._make_up_for(now + late + TIMER)

    def _make_up_for(self, due: float) -> None:
        """A turn that was due then has come only now: so long the loop had no time, and so long it is let alone."""
        now = self._clock()
        self._taken += min(LONGEST, max(0.0, now - max(due, self._made_up)))
        self._made_up = now


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
        self._ahead = False
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
            await self._take_turn()
        turns = self._audience.turns
        while True:
            # Where a look asks a server, one for each text is enough: to wait is to be told of what came since.
            if not self.cursor.up_to_date or self._audience.is_over:
                turns.begin()
                if data := await self.cursor.read():
                    turns.count()
                    return data
            if self.cursor.ended or self._audience.is_over:
                self.cursor.close()
                raise StopAsyncIteration
            self.waits = True
            try:
                await self.cursor.wait()
            finally:
                self.waits = False
            if turns.are_many:  # all have been woken at once: a generator comes first
                await self._take_turn()
                self._ahead = True

    async def _take_turn(self) -> None:
        """Unless it has been taken already, ahead of the look."""
        if not self._ahead:
            await self._audience.turn()
        self._ahead = False
