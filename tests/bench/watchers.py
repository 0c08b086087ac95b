"""`python -m tests.bench.watchers WAY HOME ID`: watches a stream of times; says at its end how late each one came.

WAY is `as it is` (ptstream's own watcher), or `raw inotify`: no library, no event loop, one `select` over the folder's
events and one SELECT over the rows.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import sqlite3
import sys
import time

import anyio

from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.follow import Follow
from ptstream.settings import Home

FIRST_POLL, LAST_POLL = 0.0005, 0.02
"""Seconds between two looks at the number of commits after an event: the event comes before the commit counts."""

POLLED = 1.0
"""Seconds after an event in which it is polled."""

_IN_MODIFY, _IN_CREATE = 0x2, 0x100


class Lateness:
    """Takes text when it comes: each word is the time when it was written, in nanoseconds."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def take(self, text: bytes) -> None:
        """Text that has just come."""
        now = time.monotonic_ns()
        self.found += [now - int(word) for word in text.split()]


async def watch(home: Home, id: str, lateness: Lateness) -> None:
    """ptstream's watcher."""
    with Store(home) as store:
        async with attached(store) as engine:
            _ready()
            async for data in Follow(engine.cursor(id, live=False)):
                lateness.take(data)


class Inotify:
    """The events of one folder."""

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MODIFY | _IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def wait(self, seconds: float | None) -> bool:
        """Whether something happened before so many seconds were over."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        os.read(self._fd, 65536)
        return True


def watch_raw(home: Home, id: str, lateness: Lateness) -> None:
    """The least that does the same work."""
    inotify = Inotify(os.path.dirname(home.database))
    connection = sqlite3.connect(f"file:{home.database}?mode=ro", uri=True, isolation_level=None)
    offset, seen, poll, hinted_at = 0, -1, FIRST_POLL, time.monotonic()
    _ready()
    while True:
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != seen:
            seen = version
            rows = connection.execute(
                "SELECT stop, CAST(text AS BLOB) FROM chunks WHERE stream = ? AND start >= ? ORDER BY start",
                (id, offset),
            ).fetchall()
            for offset, text in rows:  # noqa: B007 - where the last one ends
                lateness.take(text)
            if connection.execute("SELECT ended_at FROM streams WHERE id = ?", (id,)).fetchone()[0] is not None:
                break
        polling = time.monotonic() - hinted_at < POLLED
        if inotify.wait(poll if polling else None):
            poll, hinted_at = FIRST_POLL, time.monotonic()
        else:
            poll = min(poll * 1.5, LAST_POLL)
    connection.close()


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """Watch, then tell."""
    way, path, id = sys.argv[1:]
    lateness = Lateness()
    if way == "raw inotify":
        watch_raw(Home(path), id, lateness)
    else:
        anyio.run(watch, Home(path), id, lateness)
    sys.stdout.write(json.dumps(lateness.found))


if __name__ == "__main__":
    main()
