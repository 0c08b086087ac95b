"""When to look again: hints from the write-ahead log, and a slow look that covers whatever the hints miss.

A hint (`file_changes.py`) may come too early, too often or not at all. Under `synchronous=FULL` it comes *before* the
row is visible: the log is written, then synced, then the commit counts. So after a hint the number of commits is
polled until it changes; and without any hint a look is due once a second, which is also how a reader finds that an
owner died. The truth is always what the look finds.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import closing
from typing import Protocol

import anyio

from ptstream.bell import Bell
from ptstream.engine.sqlite.file_changes import FileChanges, Watch, file_changes
from ptstream.engine.sqlite.store import Store

SLOW_LOOK = 1.0
"""Seconds after which a reader looks without a hint."""

FIRST_STEP = 0.0005
FLOWING_STEP = 0.005
QUIET_STEP = 0.05
"""Seconds between two looks at the number of commits: the first, and what it grows to while text comes, and later."""

GROWTH = 1.5
"""How much longer each further one of these times is."""

FLOWING = 2.0
"""Seconds after its last text in which a watcher without hints expects more, and looks often."""


class Wakes(Protocol):
    """What wakes the watchers of one process, however many of them."""

    @property
    def hinted_at(self) -> float:
        """When the last hint came, by the monotonic clock; infinite where there are none: then a commit may be
        visible at any time."""

    async def hint(self, seconds: float) -> bool:
        """Wait for a hint, for so long at most; whether there was one."""

    async def pause(self, seconds: float) -> None:
        """Wait so long, whatever is hinted at meanwhile."""

    @property
    def tells_of_tails(self) -> bool:
        """Whether `watch` does, once it has begun."""

    def begin(self) -> None:
        """Comes before `run`: what happens from now on is told."""

    def watch(self, tail: str) -> Watch | None:
        """What tells when this tail has been written to, or is done with; None where it has to be looked at."""

    def leave(self, watch: Watch) -> None:
        """The end of that."""

    async def run(self) -> None:
        """Take hints, until cancelled."""


class Watched:
    """Wakes by one watch on the folder of the log, and one on each tail that is read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bell = Bell()
        self._changes: FileChanges | None = None
        self._hoping = self._pausing = self._tails = 0
        self._rests = False
        self.hinted_at = -math.inf

    async def hint(self, seconds: float) -> bool:
        """See `Wakes`."""
        hint = self._bell.next()
        self._hoping += 1
        self._go_on()
        try:
            with anyio.move_on_after(seconds):
                await hint.wait()
        finally:
            self._hoping -= 1
        return hint.is_set()

    async def pause(self, seconds: float) -> None:
        """See `Wakes`. While all pause, nothing is taken from the watch."""
        self._pausing += 1
        try:
            await anyio.sleep(seconds)
        finally:
            self._pausing -= 1

    def _go_on(self) -> None:
        if self._rests and self._changes:
            self._rests = False
            self._changes.go_on()

    @property
    def tells_of_tails(self) -> bool:
        """See `Wakes`."""
        return self._changes is not None and self._changes.watches_files

    def begin(self) -> None:
        """See `Wakes`. Without a watch, there are no hints."""
        folder, database = os.path.split(self._store.home.database)
        try:
            self._changes = file_changes(folder, f"{database}-wal", self._hint)
        except OSError:
            self.hinted_at = math.inf

    def _hint(self) -> None:
        self.hinted_at = time.monotonic()
        self._bell.ring()
        if self._changes and self._pausing and not (self._hoping or self._tails):
            self._rests = True
            self._changes.rest()

    def watch(self, tail: str) -> Watch | None:
        """See `Wakes`."""
        watch = self._changes.watch(tail) if self._changes else None
        if watch:
            self._tails += 1
            self._go_on()
        return watch

    def leave(self, watch: Watch) -> None:
        """See `Wakes`."""
        self._tails -= 1
        if self._changes:
            self._changes.leave(watch)

    async def run(self) -> None:
        """See `Wakes`."""
        if self._changes is None:
            return
        try:
            with closing(self._changes):
                await self._changes.run()
        except OSError:
            self.hinted_at = math.inf
            self._bell.ring()
        finally:
            self._changes = None


class Polled:
    """Wakes without a watch: the number of commits is looked at, 20 times a second, and oftener while text comes.

    For the daemon, whose readers are many and come and go.
    """

    hinted_at = math.inf

    async def hint(self, seconds: float) -> bool:
        """There is none."""
        await anyio.sleep(seconds)
        return False

    async def pause(self, seconds: float) -> None:
        """See `Wakes`."""
        await anyio.sleep(seconds)

    tells_of_tails = False

    def begin(self) -> None:
        """Nothing to be done."""

    def watch(self, tail: str) -> Watch | None:
        """None is watched."""
        return None

    def leave(self, watch: Watch) -> None:
        """Nor is one left."""

    async def run(self) -> None:
        """Nothing to be done."""


class Backoff:
    """How one watcher waits: the more commits in a row are of no use to it, the seldomer it looks at them."""

    def __init__(self, wakes: Wakes, store: Store) -> None:
        self._wakes = wakes
        self._store = store
        self._version = 0
        self._fruitless = 0
        self._found_at = -math.inf
        self._unchanged_at = -math.inf  # before the last look that found no commit
        self._answered_at = -math.inf  # of what was hinted at until then, the commit has been seen

    def found(self, version: int) -> None:
        """The look at this version found something."""
        self._version = version
        self._fruitless = 0
        self._found_at = time.monotonic()

    async def wait(self, version: int) -> None:
        """Wait until the store may have changed since `version`, which was looked at, or a look is due."""
        self._fruitless += version != self._version
        self._version = version
        slower = GROWTH ** min(self._fruitless, 64)
        longest = min(QUIET_STEP, FLOWING_STEP * slower if self._looks_often() else QUIET_STEP)
        first = step = min(longest, FIRST_STEP * slower)
        due = time.monotonic() + SLOW_LOOK
        if self._fruitless:  # hints come with every commit, so they are not waited for
            await self._wakes.pause(step)
        while (now := time.monotonic()) < due:
            if self._store.version() != version:
                self._answered_at = self._unchanged_at
                return
            self._unchanged_at = now
            hinted = await self._wakes.hint(step if self._expects(now) else due - now)
            step = first if hinted else min(step * GROWTH, longest)

    def _looks_often(self) -> bool:
        return self._wakes.hinted_at == math.inf and time.monotonic() < self._found_at + FLOWING

    def _expects(self, now: float) -> bool:
        """Whether a hint was given so lately that its commit may still become visible."""
        return self._answered_at < self._wakes.hinted_at and now < self._wakes.hinted_at + SLOW_LOOK
