"""Follow a stream from an offset until its end: look, give what is there, wait for more.

Everything that reads and waits, reads through here. It only reads: leaving it changes nothing for anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from ptstream.rate_limit import RateLimit
from ptstream.store.cursor import Cursor
from ptstream.store.reading import State
from ptstream.store.recover import settle
from ptstream.store.sqlite import Store
from ptstream.store.wake import SLOW_LOOK, TAIL_POLL, Wakes, open_wakes
from ptstream.tail import Bell

READ = 0.0002
"""Seconds that a reader's look keeps the event loop, about twice: so readers take half of its time at most."""

BURST = 0.005
"""Seconds of looks that may come at once."""


class Audience:
    """What the followers in one event loop share: the bells of the streams that it drives, and its time.

    A generator runs there too, and must not be slowed by a crowd: where there are many, each looks seldomer, and gets
    more at once. Who does not look, since its reader is slow, takes no time from the others.
    """

    def __init__(self, bell: Callable[[str], Bell | None] = lambda _: None) -> None:
        """`bell` gives the bell of a stream that is driven here, None for any other."""
        self.bell = bell
        self._looks = RateLimit(1 / READ, round(BURST / READ))

    async def turn(self) -> None:
        """Wait, after one look, for one's turn to take the next."""
        if (late := self._looks.reserve(time.monotonic())) > 0:
            await anyio.sleep(late)


class Follow:
    """The cursor's runs of whole characters as they come, until the stream has ended and all of it was given.

    An async iterator of bytes. With `wakes`, out of the database alone and woken by its log; without, live: at once
    for a stream of this process, within 20 ms for another's. Afterwards `cursor.state` tells the end. Raises what
    `Cursor.read` raises. A plain object: a loop that is left leaves nothing running.
    """

    def __init__(
        self, store: Store, cursor: Cursor, *, wakes: Wakes | None = None, audience: Audience | None = None
    ) -> None:
        self.cursor = cursor
        self._store = store
        self._turn = wakes.turn() if wakes else None
        self._audience = audience or Audience()
        self._looked_at = float("-inf")
        self._given = cursor.offset

    def __aiter__(self) -> Follow:
        return self

    async def __anext__(self) -> bytes:
        if self.cursor.offset > self._given:  # before the bell is waited for, whose ring wakes all at once
            self._given = self.cursor.offset
            await self._audience.turn()
        while True:
            bell = None if self._turn else self._audience.bell(self.cursor.id)
            rung = bell.next() if bell else None  # taken before the look, so that nothing falls between
            version = self._store.version()
            if data := self._look():
                if self._turn:
                    self._turn.found(version)
                return data
            if self.cursor.ended:
                self.cursor.close()
                raise StopAsyncIteration
            await self._wait(version, rung)

    def _look(self) -> bytes:
        """At the store only when something was committed, or when an owner may have died unseen."""
        due = time.monotonic() >= self._looked_at + SLOW_LOOK
        if due:
            self._looked_at = time.monotonic()
        return self.cursor.read(look=due or self._turn is not None)

    async def _wait(self, version: int, rung: anyio.Event | None) -> None:
        if self._turn:
            await self._turn.wait(version)
        elif rung:
            with anyio.move_on_after(SLOW_LOOK):
                await rung.wait()
        else:
            await anyio.sleep(TAIL_POLL)


async def wait_for_end(store: Store, id: str) -> State:
    """The stream's end, when it has one; a dead owner's stream is given its. Raises StreamNotFound."""
    if (state := settle(store, id, store.state(id)).state).status.ended:
        return state
    async with open_wakes(store) as wakes:
        turn = wakes.turn()
        while True:
            version = store.version()
            if (state := settle(store, id, store.state(id)).state).status.ended:
                return state
            await turn.wait(version)
