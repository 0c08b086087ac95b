"""What the kernel tells of writes to a home's files: on Linux inotify, as they happen; elsewhere watchfiles.

watchfiles waits in a thread and looks for events in steps: ones short enough to be in time cost a percent of a core
while nothing happens. inotify's descriptor is one of those that the event loop waits for all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import Protocol

import anyio

from ptstream.bell import Bell

STEP = 5
"""Milliseconds between two looks of watchfiles: 5 cost half a percent of a core, 1 three times that."""

READ = 64 * 1024
"""Bytes of events that are taken at once."""

SILENCE = 1.0
"""Seconds after which whoever waits for a file is woken without an event: one timer for all, not one for each wait."""


class Watch:
    """One file that is watched, by however many. `bell` is rung when it has been written to, closed or unlinked.

    And now and then without any of these.
    """

    def __init__(self, path: str, number: int) -> None:
        self.path = path
        self.bell = Bell()
        self.number = number
        self.users = 0
        self.is_silent = False
        """Whether it was rung for the silence alone."""
        self.is_over = False
        """Whether no more will be told of it."""

    def ring(self) -> None:
        """Something has happened to it."""
        self.is_silent = False
        self.bell.ring()

    def ring_for_silence(self) -> None:
        """Nothing is known to have happened; who has been woken already is to know that something has."""
        if self.bell.is_awaited:
            self.is_silent = True
            self.bell.ring()


class FileChanges(Protocol):
    """Tells of changes until it is closed. Making one raises OSError where there is no watch: a user has 128 or so."""

    async def run(self) -> None:
        """Tell of what has happened since it was made, until cancelled. Raises OSError when no more can be told."""

    def rest(self) -> None:
        """Tell of nothing until it is to `go_on`: what has happened meanwhile is told then, if it can be, as one."""

    def go_on(self) -> None:
        """The end of that."""

    watches_files: bool
    """Whether it watches anything but the log."""

    def watch(self, path: str) -> Watch | None:
        """Begin to watch a single file; None where that cannot be. Its bell is rung while `run` runs."""

    def leave(self, watch: Watch) -> None:
        """The end of that."""

    def close(self) -> None:
        """Tell of nothing any more."""


def file_changes(folder: str, log: str, log_written: Callable[[], None]) -> FileChanges:
    """Of the file `log` in this folder, and of others that are named later.

    `log_written` is called when the log, which comes and goes, has been written to: once for several writes. Raises
    OSError.
    """
    made = ByInotify if sys.platform == "linux" else ByWatchfiles
    return made(folder, log, log_written)


class ByInotify:
    """See `FileChanges` and inotify(7)."""

    watches_files = True

    def __init__(self, folder: str, log: str, log_written: Callable[[], None]) -> None:
        import ctypes

        import inotify_simple
        from inotify_simple import INotify, flags, parse_events

        # The C library that Python has loaded: to look for one, it would start ldconfig, which takes 20 ms.
        inotify_simple._libc = inotify_simple._libc or ctypes.CDLL(None, use_errno=True)
        self._log = log
        self._log_written = log_written
        self._watches: dict[int, Watch] = {}
        self._flags = flags
        self._parsed = parse_events
        self._failure: OSError | None = None
        self._stirred = Bell()  # rung when it fails, and when there is a file to watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inotify = INotify(nonblocking=True)
        try:
            self._folder = self._inotify.add_watch(folder, flags.CREATE | flags.MODIFY)
        except OSError:
            self.close()
            raise

    async def run(self) -> None:
        """See `FileChanges`."""
        # Not waited for anew after each event, which took as long as all the rest of a live reader's turn.
        self._loop = asyncio.get_running_loop()
        self.go_on()
        try:
            while not self._failure:
                stirred = self._stirred.next()
                with anyio.move_on_after(SILENCE if self._watches else None) as silence:
                    await stirred.wait()
                if silence.cancelled_caught:
                    self._take()  # a process that was stopped meets its timers first
                    for watch in self._watches.values():
                        watch.ring_for_silence()
        finally:
            self.rest()
            self._loop = None
        raise self._failure

    def rest(self) -> None:
        """See `FileChanges`. The kernel keeps one event of several that are the same."""
        if self._loop:
            self._loop.remove_reader(self._inotify.fileno())

    def go_on(self) -> None:
        """See `FileChanges`."""
        if self._loop:
            self._loop.add_reader(self._inotify.fileno(), self._take)

    def _take(self) -> None:
        try:
            events = self._parsed(os.read(self._inotify.fileno(), READ))
        except BlockingIOError:
            return
        except OSError as error:
            self._failure = error
            self._stirred.ring()
            return
        written = False
        for event in events:
            if watch := self._watches.get(event.wd):
                watch.ring()
            elif event.mask & self._flags.Q_OVERFLOW:  # what was lost may have been anything
                written = True
                for each in self._watches.values():
                    each.ring()
            else:
                written = written or event.name == self._log
        if written:
            self._log_written()

    def watch(self, path: str) -> Watch | None:
        """See `FileChanges`. A process that dies closes what it has open, and an end unlinks it."""
        try:
            number = self._inotify.add_watch(path, self._flags.MODIFY | self._flags.CLOSE_WRITE | self._flags.ATTRIB)
        except OSError:
            return None
        watch = self._watches.setdefault(number, Watch(path, number))
        watch.users += 1
        if len(self._watches) == 1:
            self._stirred.ring()
        return watch

    def leave(self, watch: Watch) -> None:
        """See `FileChanges`."""
        watch.users -= 1
        if not watch.users:
            self._watches.pop(watch.number, None)
            with contextlib.suppress(OSError, ValueError):  # it went with its file, or all have been closed
                self._inotify.rm_watch(watch.number)

    def close(self) -> None:
        """See `FileChanges`."""
        self._inotify.close()
        for watch in self._watches.values():
            watch.is_over = True
            watch.ring()


class ByWatchfiles:
    """See `FileChanges`."""

    watches_files = False

    def __init__(self, folder: str, log: str, log_written: Callable[[], None]) -> None:
        if not os.path.isdir(folder):
            raise FileNotFoundError(folder)
        self._folder = folder
        self._log = log
        self._log_written = log_written
        self._stop = anyio.Event()

    async def run(self) -> None:
        """See `FileChanges`."""
        import watchfiles

        changes = watchfiles.awatch(
            self._folder,
            # The default filter hides some paths.
            watch_filter=lambda _, path: os.path.basename(path) == self._log,
            recursive=False,
            step=STEP,
            debounce=2 * STEP,
            rust_timeout=60_000,
            stop_event=self._stop,
        )
        try:
            async for _ in changes:
                self._log_written()
        # Its own error for a watch that is not to be had is a RuntimeError; it takes no path that is not UTF-8.
        except (RuntimeError, ValueError) as error:
            raise OSError(f"no watch on {self._folder}: {error}") from error
        finally:
            self.close()  # the thread that waits for changes cannot be cancelled

    def rest(self) -> None:
        """See `FileChanges`."""

    def go_on(self) -> None:
        """See `FileChanges`."""

    def watch(self, path: str) -> Watch | None:
        """See `FileChanges`."""
        return None

    def leave(self, watch: Watch) -> None:
        """See `FileChanges`."""

    def close(self) -> None:
        """See `FileChanges`."""
        self._stop.set()
