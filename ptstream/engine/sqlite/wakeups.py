"""When to look again: hints from the write-ahead log, and a slow look that covers whatever the hints miss.

A hint (`watchfiles` on the database's folder) may come too early, too often or not at all. Under
`synchronous=FULL` it comes *before* the row is visible: the log is written, then synced, then the commit counts.
So after a hint the number of commits is polled until it changes; and without any hint a look is due once a second,
which is also how a reader finds that an owner died. The truth is always what the look finds.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

import anyio

from ptstream.bell import Bell
from ptstream.engine.sqlite.store import Store

SLOW_LOOK = 1.0
"""Seconds after which a reader looks without a hint."""

STEP = 5
"""Milliseconds between two looks of watchfiles for changes: 5 cost half a percent of a core, 1 three times that."""

FIRST_STEP = 0.0005
FLOWING_STEP = 0.005
QUIET_STEP = 0.05
"""Seconds between two looks at the number of commits: the first, and what it grows to while text comes, and later."""

GROWTH = 1.5
"""How much longer each further one of these times is."""

FLOWING = 2.0
"""Seconds after its last text in which a watcher expects more: looking often, it is sooner than the hints."""


class Wakes(Protocol):
    """What wakes the watchers of one process, however many of them."""

    @property
    def expecting(self) -> bool:
        """Whether a commit may become visible just now."""

    async def hint(self, seconds: float) -> bool:
        """Wait for a hint, for so long at most; whether there was one."""

    async def run(self) -> None:
        """Take hints, until cancelled."""


class Watched:
    """Wakes by one watch on the folder, in a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bell = Bell()
        self._hinted_at = float("-inf")

    async def hint(self, seconds: float) -> bool:
        """Wait for a hint, for so long at most; whether there was one."""
        hint = self._bell.next()
        with anyio.move_on_after(seconds):
            await hint.wait()
        return hint.is_set()

    @property
    def expecting(self) -> bool:
        """Whether a hint was given so lately that its commit may still become visible."""
        return time.monotonic() < self._hinted_at + SLOW_LOOK

    async def run(self) -> None:
        """Take hints from the folder, until cancelled."""
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._take_hints, stop)
            try:
                await anyio.sleep_forever()
            finally:
                stop.set()  # the thread that waits for changes cannot be cancelled

    async def _take_hints(self, stop: anyio.Event) -> None:
        import watchfiles

        folder = os.path.dirname(self._store.home.database)
        log = os.path.basename(self._store.home.database) + "-wal"
        try:
            async for _ in watchfiles.awatch(
                folder,
                # The log comes and goes, so it is its folder that is watched; the default filter hides some paths.
                watch_filter=lambda _, path: os.path.basename(path) == log,
                recursive=False,
                step=STEP,
                debounce=2 * STEP,
                rust_timeout=60_000,
                stop_event=stop,
            ):
                self._hint()
        # watchfiles' own error for an exhausted inotify is a RuntimeError; it takes no path that is not UTF-8.
        except (OSError, RuntimeError, ValueError):
            await self._poll_instead()

    async def _poll_instead(self) -> None:
        """Without a watch (a user has 128 of them) the number of commits itself is polled."""
        seen = self._store.version()
        while True:
            await anyio.sleep(QUIET_STEP)
            if (version := self._store.version()) != seen:
                seen = version
                self._hint()

    def _hint(self) -> None:
        self._hinted_at = time.monotonic()
        self._bell.ring()


class Polled:
    """Wakes without a watch: the number of commits is looked at, 20 times a second, and oftener while text comes.

    For the daemon, whose readers are many and come and go: a watch costs a thread, and is always there.
    """

    expecting = True  # any commit may become visible at any time

    async def hint(self, seconds: float) -> bool:
        """There is none."""
        await anyio.sleep(seconds)
        return False

    async def run(self) -> None:
        """Nothing to be done."""


class Backoff:
    """How one watcher waits: the more commits in a row are of no use to it, the seldomer it looks at them."""

    def __init__(self, wakes: Wakes, store: Store) -> None:
        self._wakes = wakes
        self._store = store
        self._version = 0
        self._fruitless = 0
        self._found_at = float("-inf")

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
        flowing = time.monotonic() < self._found_at + FLOWING
        longest = min(QUIET_STEP, FLOWING_STEP * slower if flowing else QUIET_STEP)
        first = step = min(longest, FIRST_STEP * slower)
        due = time.monotonic() + SLOW_LOOK
        if self._fruitless:  # hints come with every commit, so they are not waited for
            await anyio.sleep(step)
        while (now := time.monotonic()) < due and self._store.version() == version:
            hinted = await self._wakes.hint(step if self._wakes.expecting else due - now)
            step = first if hinted else min(step * GROWTH, longest)
