"""Bringing the write-ahead log back into the database, and giving back the space of what was deleted.

Only here, and only by whoever has held the checkpoint lock since before its own commit: two processes that checkpoint
while a third commits is what SQLite's WAL-reset bug needs (before 3.51.3). What is committed is `writer.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ptstream.engine.sqlite import schema
from ptstream.engine.sqlite.database import Database
from ptstream.lock_files import locked, locked_if_free
from ptstream.settings import Home

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""The size of the write-ahead log from which on a writer brings it back into the database."""

CHECKPOINT_WAIT = 1.0
"""Seconds that a checkpoint waits for other writers and for readers. Others' writes wait as long."""

CHECKPOINT_PAUSE = 30.0
"""Seconds without another attempt after a checkpoint that a long reader did not let finish."""

VACUUM_PAGES = 256
"""Pages of free space that one transaction gives back: others write in between, and it fits SQLite's page cache (2 MB):
what does not is spilled into the log."""


class Checkpoints:
    """When a writer is to checkpoint, and how. `execute` is its connection's, which waits `busy_timeout` seconds."""

    def __init__(self, home: Home, execute: Callable[[str, Any], Awaitable[Any]], busy_timeout: float) -> None:
        self._home = home
        self._execute = execute
        self._busy_timeout = busy_timeout
        self._not_before = 0.0
        self._log_is_held = False

    @contextlib.contextmanager
    def due(self) -> Iterator[bool]:
        """Around a commit: whether a checkpoint is due after it and ours to make. Then its lock is held."""
        if self._log_size() <= CHECKPOINT_BYTES or time.monotonic() < self._not_before:
            yield False
            return
        with locked_if_free(self._home.lock("checkpoint")) as ours:
            yield ours

    async def make(self) -> None:
        """Bring the log back into the file and empty it. That it fails harms nobody: it is tried again later."""
        try:
            # Without the writer's lock TRUNCATE would go on as PASSIVE, beside a second writer: so it is waited for.
            await self._execute(f"PRAGMA busy_timeout={int(CHECKPOINT_WAIT * 1000)}", ())
            ((busy, *_),) = await self._execute("PRAGMA wal_checkpoint(TRUNCATE)", ())
        except sqlite3.Error:
            busy = 1
        with contextlib.suppress(sqlite3.Error):
            await self._execute(f"PRAGMA busy_timeout={int(self._busy_timeout * 1000)}", ())
        self._log_is_held = bool(busy)
        if busy:
            self._not_before = time.monotonic() + CHECKPOINT_PAUSE

    @property
    def warning(self) -> str | None:
        """Why the write-ahead log grows, in one sentence, if a reader keeps it from being emptied."""
        if self._log_is_held and (size := self._log_size()) > CHECKPOINT_BYTES:
            return f"the log is {size / 2**20:.0f} MiB: a program that reads the database holds on to an old state"
        return None

    def _log_size(self) -> int:
        try:
            return os.stat(self._home.database + "-wal").st_size
        except OSError:  # there is none, or it may not be looked at just now
            return 0


def shrink(database: Database) -> bool:
    """Give deleted streams' space back in short steps, and empty the log, where their text still stands.

    False if a reader that holds on to an old state did not let the log be emptied: the next one does it.
    """
    connection = database.writer()
    try:
        # Before the steps' own commits, and held until the log is empty.
        with locked(database.home.lock("checkpoint")):
            # A commit of our own, also when there is no space to give back: no checkpoint without one.
            connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            while connection.execute("PRAGMA freelist_count").fetchone()[0] > 0:
                _give_back(connection)
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except (sqlite3.OperationalError, OSError):
        return False


def _give_back(connection: sqlite3.Connection) -> None:
    """One step, and then as long a pause: others wait for the lock by looking now and then, and would miss a moment."""
    began = time.monotonic()
    # It gives a row a page, without columns, so that `execute` would stop at the first one and commit it alone.
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    time.sleep(time.monotonic() - began)
