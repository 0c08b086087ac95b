"""When to look again: hints from the write-ahead log, and a slow look that covers whatever the hints miss.

A hint (`watchfiles` on the database's folder) may come too early, too often or not at all. Under
`synchronous=FULL` it comes *before* the row is visible: the log is written, then synced, then the commit counts.
So after a hint the number of commits is polled until it changes; and without any hint a look is due once a second,
which is also how a reader finds that an owner died. The truth is always what the look finds.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator

import anyio

from ptstream.errors import ungrouped
from ptstream.store.sqlite import Store
from ptstream.tail import Bell

SLOW_LOOK = 1.0
"""Seconds after which a reader looks without having been told to."""

TAIL_POLL = 0.02
"""Seconds between two looks at the tail of a stream that another process drives."""

STEP = 5
"""Milliseconds between two looks of watchfiles for changes: 5 cost half a percent of a core, 1 three times that."""

FIRST_STEP = 0.0005
FLOWING_STEP = 0.005
QUIET_STEP = 0.05
FLOWING = 2.0
"""Seconds without text of one's own after which other streams' commits are looked at more rarely."""


class Wakes:
    """Wakes the watchers of one process: one watch on the folder, however many of them. Made by `open_wakes`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bell = Bell()
        self._hinted_at = float("-inf")

    async def wait(self, version: int, *, last_text_at: float) -> None:
        """Wait until the store may have changed since `version`, or a look is due. Times are `time.monotonic`'s."""
        longest = QUIET_STEP if time.monotonic() - last_text_at > FLOWING else FLOWING_STEP
        due = time.monotonic() + SLOW_LOOK
        step = FIRST_STEP
        while (now := time.monotonic()) < due and self._store.version() == version:
            hint = self._bell.next()
            if now < self._hinted_at + SLOW_LOOK:
                await anyio.sleep(step)
                step = min(step * 1.5, longest)
            else:
                with anyio.move_on_at(anyio.current_time() + due - now):
                    await hint.wait()

    async def watch(self) -> None:
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


@contextlib.asynccontextmanager
async def open_wakes(store: Store) -> AsyncIterator[Wakes]:
    """Watch the folder for as long as the context lasts. It is made, if it is not there."""
    wakes = Wakes(store)
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wakes.watch)
            yield wakes
            tasks.cancel_scope.cancel()
