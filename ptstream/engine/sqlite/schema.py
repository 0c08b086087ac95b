"""The database as it lies on disk: its tables, and their version. On the fast path.

How a file becomes this version's is `migration.py`'s. Write-ahead log, `synchronous=FULL`. Everything can be read with
the plain `sqlite3` shell.
"""

from __future__ import annotations

import sqlite3

from ptstream.errors import StoreNewer, StoreUnusable
from ptstream.settings import Home

VERSION = 3
APPLICATION_ID = 0x70747331  # "pts1", so that `file` and we can distinguish our database from another's

BUSY_TIMEOUT = 5.0
"""Seconds a statement waits for another process's transaction."""

TABLES = """
CREATE TABLE streams (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, title TEXT,
  status TEXT NOT NULL DEFAULT 'pending', bytes INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0,
  error TEXT, note TEXT, created_at REAL NOT NULL, ended_at REAL, cancel_at REAL,
  drain INTEGER,
  model TEXT, command TEXT, generator TEXT, flush TEXT, options TEXT,
  parent TEXT, parent_offset INTEGER, seam INTEGER DEFAULT 0, ttl REAL, opening TEXT
);
-- Apart, because they may be large: a row of `streams`, which has the prompt's opening, is written with every flush.
CREATE TABLE prompts (seq INTEGER PRIMARY KEY REFERENCES streams, prompt TEXT, system TEXT);
CREATE INDEX expiring ON streams (ended_at + ttl) WHERE ttl IS NOT NULL;
CREATE INDEX streaming ON streams (status) WHERE status = 'streaming';
CREATE TABLE attempts (
  stream TEXT NOT NULL, epoch INTEGER NOT NULL, owner TEXT NOT NULL, begin_offset INTEGER NOT NULL, boot TEXT NOT NULL,
  started_at REAL NOT NULL, ended_at REAL, pieces INTEGER NOT NULL DEFAULT 0, cause TEXT, usage TEXT,
  model TEXT, place TEXT,
  PRIMARY KEY (stream, epoch)
) WITHOUT ROWID;
CREATE TABLE chunks (
  stream TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, epoch INTEGER NOT NULL, at REAL NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (stream, start)
);
CREATE TRIGGER claimed AFTER INSERT ON attempts BEGIN
  -- A further attempt brings the cause for which the one before it ended.
  UPDATE attempts SET ended_at = NEW.started_at, cause = NEW.cause WHERE stream = NEW.stream AND epoch = NEW.epoch - 1;
  UPDATE attempts SET cause = NULL WHERE stream = NEW.stream AND epoch = NEW.epoch;
  UPDATE streams SET status = 'streaming', epoch = NEW.epoch,
    model = CASE WHEN command IS NULL AND generator IS NULL THEN coalesce(model, NEW.model) END
    WHERE id = NEW.stream;
END;
"""

FLUSHES = (
    """
CREATE VIEW flushes AS
  SELECT stream, epoch, start, stop, text, at, 0 AS pieces, NULL AS status, NULL AS cause, NULL AS usage,
    NULL AS note FROM chunks
""",
    """
CREATE TRIGGER flushed INSTEAD OF INSERT ON flushes BEGIN
  INSERT INTO chunks (stream, start, stop, epoch, at, text)
    SELECT NEW.stream, NEW.start, NEW.stop, NEW.epoch, NEW.at, NEW.text WHERE NEW.stop > NEW.start;
  UPDATE streams SET bytes = NEW.stop WHERE id = NEW.stream;
  UPDATE attempts SET pieces = max(pieces, NEW.pieces) WHERE stream = NEW.stream AND epoch = NEW.epoch;
END
""",
    """
CREATE TRIGGER ended INSTEAD OF INSERT ON flushes WHEN NEW.status IS NOT NULL BEGIN
  UPDATE streams SET bytes = NEW.stop, status = NEW.status, error = NEW.cause, note = NEW.note,
    ended_at = NEW.at WHERE id = NEW.stream;
  UPDATE attempts SET cause = NEW.cause, usage = NEW.usage, ended_at = NEW.at
    WHERE stream = NEW.stream AND epoch = NEW.epoch;
END
""",
)
"""What takes a flush: the rows of this view go where they belong."""

STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE streams ADD COLUMN note TEXT",
        "DROP TRIGGER flushed",
        "DROP TRIGGER ended",
        "DROP VIEW flushes",
        *FLUSHES,
    ),
    2: ("ALTER TABLE streams ADD COLUMN options TEXT",),
}
"""Version N → the statements that make of its tables those of N + 1. What TABLES says anew stands here, too.

`migration.py` reads the tables of every older version, and recovery the rows of its owners.
"""


def uri(home: Home, query: str) -> str:
    """The database's URI; a path may hold any character (https://sqlite.org/uri.html, 3.1)."""
    path = home.database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{path}?{query}"


def translate(error: sqlite3.Error | OSError, home: Home) -> StoreUnusable:
    """What an unusable database means for a person: of one that was moved, perhaps, where it cannot be used."""
    return StoreUnusable(home.why_unfit() or f"the database {home.database} cannot be used: {error}")


def unmigratable(home: Home, found: int, why: object) -> StoreUnusable:
    """What it means that an older ptstream's database stays as it is."""
    return StoreUnusable(
        f"{home.database} is of an older ptstream (schema {found}) and could not be migrated to this one's"
        f" ({VERSION}): {why}; run a command of this one where it can be written"
    )


def check_version(connection: sqlite3.Connection, home: Home) -> int:
    """The schema's version in the file, 0 for an empty one.

    Raises StoreUnusable for a database that is not ours, StoreNewer for one that a newer ptstream wrote.
    """
    try:
        # One statement, one snapshot: another process may be making the tables just now.
        found, mark, tables = connection.execute(
            "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_user_version, pragma_application_id"
        ).fetchone()
    except sqlite3.DatabaseError as error:
        raise translate(error, home) from error
    if mark != APPLICATION_ID and tables:
        raise StoreUnusable(f"{home.database} is not a ptstream database; name another home with --home")
    if found > VERSION:
        raise StoreNewer(
            f"{home.database} was written by a newer ptstream (schema {found}, this one knows {VERSION}):"
            " upgrade ptstream, or name another home with --home"
        )
    return int(found)


def check_unmigrated(connection: sqlite3.Connection, home: Home) -> None:
    """Raises StoreNewer if a newer ptstream has migrated the database since it was opened (4 µs).

    Versions only grow: asked in a transaction it holds for that, asked after a read for what was read.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StoreNewer(
            f"{home.database} was migrated by a newer ptstream in the meantime (schema {found}, this one knows"
            f" {VERSION}); nothing is lost: go on with the newer one"
        )


WRITER_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    # Only `checkpoints.py` does, under a lock.
    "PRAGMA wal_autocheckpoint=0",
    # Deleted text leaves the file.
    "PRAGMA secure_delete=ON",
)


def set_up_writer(connection: sqlite3.Connection) -> None:
    """What every writing connection needs."""
    for pragma in WRITER_PRAGMAS:
        connection.execute(pragma)
