"""What the kernel tells of writes to the write-ahead log: on Linux inotify, as they happen; elsewhere watchfiles.

watchfiles waits in a thread and looks for events in steps: ones short enough to be in time cost a percent of a core
while nothing happens. inotify's descriptor is waited for by the event loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator

import anyio

STEP = 5
"""Milliseconds between two looks of watchfiles: 5 cost half a percent of a core, 1 three times that."""

READ = 64 * 1024
"""Bytes of events that are taken at once."""


def log_changes(folder: str, log: str) -> AsyncGenerator[None, None]:
    """Yields when the file `log` of this folder, which comes and goes, has been written to: once for several writes.

    Raises OSError where there is no watch: a user has 128 of them.
    """
    return by_inotify(folder, log) if sys.platform == "linux" else by_watchfiles(folder, log)


async def by_inotify(folder: str, log: str) -> AsyncGenerator[None, None]:
    """See `log_changes` (inotify(7))."""
    import ctypes

    import inotify_simple
    from inotify_simple import INotify, flags, parse_events

    # The C library that Python has loaded: to look for one, it would start ldconfig, which takes 20 ms.
    inotify_simple._libc = inotify_simple._libc or ctypes.CDLL(None, use_errno=True)
    with INotify(nonblocking=True) as inotify:
        inotify.add_watch(folder, flags.CREATE | flags.MODIFY)
        while True:
            await anyio.wait_readable(inotify)
            events = parse_events(os.read(inotify.fileno(), READ))
            # What has overflowed the queue has no name, and may have been anything.
            if any(event.name == log or event.mask & flags.Q_OVERFLOW for event in events):
                yield


async def by_watchfiles(folder: str, log: str) -> AsyncGenerator[None, None]:
    """See `log_changes`."""
    import watchfiles

    stop = anyio.Event()
    changes = watchfiles.awatch(
        folder,
        # The default filter hides some paths.
        watch_filter=lambda _, path: os.path.basename(path) == log,
        recursive=False,
        step=STEP,
        debounce=2 * STEP,
        rust_timeout=60_000,
        stop_event=stop,
    )
    try:
        async for _ in changes:
            yield
    # Its own error for a watch that is not to be had is a RuntimeError; it takes no path that is not UTF-8.
    except (RuntimeError, ValueError) as error:
        raise OSError(f"no watch on {folder}: {error}") from error
    finally:
        stop.set()  # the thread that waits for changes cannot be cancelled
