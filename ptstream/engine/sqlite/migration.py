"""How a file becomes a database of this version's: made by whoever writes first, or migrated from an older one's.

One process at a time, in one transaction, and never beneath a running stream: its owner knows the older tables alone.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import nullcontext

from ptstream.engine.handover import is_nobody
from ptstream.engine.sqlite import liveness, schema
from ptstream.errors import StoreUnusable
from ptstream.lock_files import locked
from ptstream.settings import Home

NAMED = 8
"""Running streams that are named, where they keep a database from being migrated."""


def connect_writer(home: Home, busy_timeout: float = schema.BUSY_TIMEOUT) -> sqlite3.Connection:
    """A connection that may write, to a database that is ours: made first, if there is none.

    Raises ConfigurationError (StoreUnusable) where that cannot be.
    """
    prepare(home)
    connection = sqlite3.connect(
        schema.uri(home, "mode=rw"), uri=True, isolation_level=None, timeout=busy_timeout, cached_statements=64
    )
    schema.set_up_writer(connection)
    return connection


def prepare(home: Home) -> None:
    """Make the home, the database file and its tables, or migrate those of an older ptstream.

    Raises ConfigurationError.
    """
    if sqlite3.sqlite_version_info < (3, 35, 0):
        raise StoreUnusable(f"SQLite {sqlite3.sqlite_version} is too old: ptstream needs 3.35 or newer")
    home.make()
    # Never opened by us when it exists: closing it would drop SQLite's own locks on it.
    try:
        os.close(os.open(home.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreUnusable(f"the database {home.database} cannot be made: {error.strerror}") from error
    try:
        connection = sqlite3.connect(
            schema.uri(home, "mode=rw"), uri=True, isolation_level=None, timeout=schema.BUSY_TIMEOUT
        )
    except sqlite3.Error as error:
        raise schema.translate(error, home) from error
    try:
        if (found := schema.check_version(connection, home)) != schema.VERSION:
            # Only a copy makes a single file, and one at a time; what migrates it has SQLite's own lock.
            with nullcontext() if home.is_single_file else locked(home.lock("schema")):
                _make(connection, home)
    except (sqlite3.Error, OSError) as error:
        raise (schema.unmigratable(home, found, error) if found else schema.translate(error, home)) from error
    finally:
        connection.close()


def _make(connection: sqlite3.Connection, home: Home) -> None:
    """With the lock held, whose holders, whatever their version, are alone in doing this."""
    found = schema.check_version(connection, home)
    if found == 0:
        _create(connection, "DELETE" if home.is_single_file else "WAL")
    elif found < schema.VERSION:  # else another process was faster
        _migrate(connection, home)


def _create(connection: sqlite3.Connection, journal: str) -> None:
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # ignored once the file is in WAL mode
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.executescript(
        f"BEGIN IMMEDIATE; PRAGMA application_id={schema.APPLICATION_ID}; {schema.TABLES} {'; '.join(schema.FLUSHES)};"
        f" PRAGMA user_version={schema.VERSION}; COMMIT;"
    )


def _migrate(connection: sqlite3.Connection, home: Home) -> None:
    """All steps or none. Raises StoreUnusable while an owner drives: it knows the older tables alone.

    Streams of dead owners stay `streaming`, and is recovered by whoever meets it.
    """
    schema.set_up_writer(connection)
    connection.execute("BEGIN IMMEDIATE")  # ended by the connection's, where it is not committed
    found = schema.check_version(connection, home)
    if driven := _driven(connection, home):
        raise StoreUnusable(
            f"{home.database} is of an older ptstream (schema {found}, this one needs {schema.VERSION}), and streams"
            f" are still running: {', '.join(driven[:NAMED])}{' …' if len(driven) > NAMED else ''}; wait for their"
            " ends, or end them, text kept ('ptstream daemon stop' ends the daemon's), and try again"
        )
    for version in range(found, schema.VERSION):
        for statement in schema.STEPS[version]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={schema.VERSION}")
    connection.execute("COMMIT")


def _driven(connection: sqlite3.Connection, home: Home) -> list[str]:
    """The ids of `streaming` streams whose owners live. What waits to be taken is nobody's."""
    rows = connection.execute(
        "SELECT s.id, a.owner FROM streams s JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
        " WHERE s.status = 'streaming' ORDER BY s.seq"
    )
    return [id for id, owner in rows if not is_nobody(owner) and liveness.alive(home, owner)]
