"""How a home's database is reached: one connection that only reads, one that writes, each opened when it is needed.

Reading needs no write permission, except where an older ptstream's tables are met. What is read is `at_rest.py`'s and
`queries.py`'s, what is written `changes.py`'s. On the fast path.
"""

from __future__ import annotations

import os
import sqlite3

from ptstream.engine.sqlite import schema
from ptstream.errors import StoreUnusable
from ptstream.settings import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self


class Database:
    """The connections of one thread to the database of one home."""

    def __init__(self, home: Home, busy_timeout: float = schema.BUSY_TIMEOUT) -> None:
        """`busy_timeout` is how many seconds a write waits for another process's; in an event loop, next to none."""
        self.home = home
        self._busy_timeout = busy_timeout
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    @property
    def exists(self) -> bool:
        """Whether there is a database at all. Raises StoreUnusable where one may not look."""
        try:
            os.stat(self.home.database)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreUnusable(f"the database {self.home.database} cannot be read: {error.strerror}") from error
        return True

    def read(self, sql: str, values: Sequence[Any] | dict[str, Any] = (), *, tables: bool = True) -> list[Any]:
        """The rows; none where there is no database. Without `tables`, of what is the same in every version.

        Raises StoreUnusable, and StoreNewer if the tables are a newer ptstream's meanwhile.
        """
        try:
            if self._reader is None:
                if not self.exists:
                    return []
                self._reader = self._connect_reader()
            try:
                return self._reader.execute(sql, values).fetchall()
            finally:  # of what failed, too: newer tables may be others
                if tables:
                    schema.check_unmigrated(self._reader, self.home)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []  # a file that its first writer is just making
            raise schema.translate(error, self.home) from error
        except sqlite3.DatabaseError as error:
            raise schema.translate(error, self.home) from error

    def _connect_reader(self) -> sqlite3.Connection:
        self.home.check()  # it may have come there since it was named
        # Whoever wrote to a single file and was killed has left a journal, which is rolled back by who may write.
        rolls_back = self.home.is_single_file and os.access(self.home.database, os.W_OK)
        connection = self._open("mode=rw" if rolls_back else "mode=ro")
        try:
            found = schema.check_version(connection, self.home)
        except StoreUnusable:
            connection.close()
            wal = self.home.database + "-wal"
            # In a read-only directory SQLite cannot make the -shm. Without a WAL the file alone is the truth.
            if os.access(os.path.dirname(self.home.database), os.W_OK) or (
                os.path.exists(wal) and os.stat(wal).st_size > 0
            ):
                raise
            connection = self._open("mode=ro&immutable=1")
            found = schema.check_version(connection, self.home)
            if 0 < found < schema.VERSION:
                raise schema.unmigratable(self.home, found, "its directory is read-only") from None
        if 0 < found < schema.VERSION:  # of an older ptstream: nothing here knows its tables
            from ptstream.engine.sqlite import migration  # late, as in `writer`

            connection.close()
            migration.prepare(self.home)
            return self._connect_reader()
        return connection

    def _open(self, query: str) -> sqlite3.Connection:
        # In an event loop too, who reads waits for whoever makes the database or, after a crash, looks through its log:
        # for moments. Nothing else is in a reader's way.
        return sqlite3.connect(
            schema.uri(self.home, query), uri=True, isolation_level=None, timeout=schema.BUSY_TIMEOUT
        )

    def writer(self) -> sqlite3.Connection:
        """The connection that may write; a database is made first, if there is none. Raises ConfigurationError."""
        if self._writer is None:
            from ptstream.engine.sqlite import migration  # late: `cat` and `ls` only read

            self._writer = migration.connect_writer(self.home, self._busy_timeout)
        return self._writer
