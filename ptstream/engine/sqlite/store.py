"""The store as anybody has it: create, cancel, delete, and all that `reading.py` sees. Synchronous, plain `sqlite3`.

What an owner does to its own stream (claim, append, finish) is `writer.py`'s. One `Store` belongs to one thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ptstream.engine.sqlite import schema
from ptstream.engine.sqlite.reader import Reading
from ptstream.engine.sqlite.rows import (
    STREAM_COLUMNS,
    WHOLE,
    check_one_generator,
    checked,
    columns_of,
    differences,
    merged,
    opening_of,
    prompts_of,
    stream_of,
)
from ptstream.errors import (
    NameTaken,
    NotFinished,
    StreamNotFound,
    WordsDiffer,
)
from ptstream.names import as_name
from ptstream.streams import Parent, State, Status, Stream, Words, new_id

VACUUM_PAGES = 256
"""Pages of free space that one transaction gives back: others write in between, and it fits SQLite's page cache (2 MB):
what does not is spilled into the log."""


DELETED = -1.0
"""The time to live of a stream that is to be deleted as soon as it has ended: from its end on, no reader finds it."""


class Store(Reading):
    """The database of one home. Nothing is opened before it is needed, nothing made before something is written."""

    def create(
        self,
        words: Words = Words(),  # noqa: B008 - an immutable value
        *,
        name: str | None = None,
        title: str | None = None,
        parent: Parent | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """A new pending stream; with a taken name and the same words, the one that has it.

        `ttl` is how many seconds after its end it is kept; None: until it is deleted. Raises NameTaken for a taken
        name and other words, UsageError for a name that cannot be one.
        """
        name = name if name is None else as_name(name)
        check_one_generator(words)
        with self._writing() as connection:
            row = connection.execute(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE name = ?", (name,)).fetchone()
            if row is None:
                id = self._insert(connection, words, name, title, parent, ttl)
                row = connection.execute(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE id = ?", (id,)).fetchone()
                return stream_of(row)
        found = stream_of(row)
        if differences(found.words, words):
            raise NameTaken(
                f"the name {name!r} is taken by stream {found.id}, which has another"
                f" {' and another '.join(differences(found.words, words))}"
            )
        return found

    def _insert(
        self,
        connection: sqlite3.Connection,
        words: Words,
        name: str | None,
        title: str | None,
        parent: Parent | None,
        ttl: float | None,
    ) -> str:
        id, prompts = new_id(), prompts_of(words)
        values: dict[str, Any] = {
            "id": id,
            "name": name,
            "title": checked(title, "title"),
            "created_at": time.time(),
            "parent": parent and parent.id,
            "parent_offset": parent and parent.offset,
            "seam": None if parent and parent.continued else 0,
            "ttl": ttl,
            "opening": opening_of(words),
            **columns_of(words),
        }
        marks = ", ".join(f":{column}" for column in values)
        seq = connection.execute(f"INSERT INTO streams ({', '.join(values)}) VALUES ({marks})", values).lastrowid
        connection.execute(f"INSERT INTO prompts VALUES ({seq}, :prompt, :system)", prompts)
        return id

    def fill(self, id: str, words: Words) -> Stream:
        """Give a pending stream what it was created without. Raises WordsDiffer for what it has otherwise."""
        found = self.get(id)
        if not (different := differences(found.words, words, open_is_free=found.status is Status.PENDING)):
            if words != Words() and found.status is Status.PENDING:
                check_one_generator(merged(found.words, words))
                with self._writing() as connection:
                    _fill(connection, "streams", columns_of(words) | {"opening": opening_of(words)}, id)
                    _fill(connection, "prompts", prompts_of(words), id)
                return self.get(id)
            return found
        raise WordsDiffer(
            f"stream {id} was given another {' and another '.join(different)}:"
            " a stream says one thing (make a new one for another)"
        )

    def begin(self, id: str, text: str) -> None:
        """Decide how a pending stream begins that comes after another: with that one's text, or, if "", anew."""
        size = len(text.encode())
        with self._writing() as connection:
            begun = connection.execute(
                "UPDATE streams SET seam = ?1, bytes = ?1, parent_offset = ?1"
                " WHERE id = ?2 AND status = 'pending' AND seam IS NULL RETURNING id",
                (size, id),
            ).fetchall()
            if begun and size:
                connection.execute(
                    "INSERT INTO chunks (stream, start, stop, epoch, at, text) VALUES (?, 0, ?, 0, ?, ?)",
                    (id, size, time.time(), text),
                )

    def cancel(self, id: str, *, drain: bool = False, delete: bool = False) -> State:
        """End a pending stream; mark one that is streaming, for its owner to end. What has ended stays as it is.

        With `drain`, its generator may go on to its own end without it, so that its usage becomes known; a further
        cancel ends that. With `delete`, the end of one that is streaming is the end of all reading, too.
        """
        state = self.state(id)
        if state.status.ended:
            if not drain and self.drains(id):
                with self._writing() as connection:
                    connection.execute("UPDATE streams SET drain = 0 WHERE id = ?", (id,))
            return state
        now = time.time()
        with self._writing() as connection:
            connection.execute(
                "UPDATE streams SET cancel_at = coalesce(cancel_at, ?1), drain = min(coalesce(drain, ?3), ?3),"
                " ttl = CASE WHEN ?4 THEN ?5 ELSE ttl END,"
                " status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END,"
                " ended_at = CASE status WHEN 'pending' THEN ?1 ELSE ended_at END"
                " WHERE id = ?2 AND status IN ('pending', 'streaming')",
                (now, id, drain, delete, DELETED),
            )
        return self.state(id)

    def delete(self, id: str) -> None:
        """Remove an ended or pending stream and its text. Raises NotFinished while it is streaming, StreamNotFound.

        Its bytes are overwritten in the file; `shrink` takes them out of the log, too.
        """
        if not self._read("SELECT 1 FROM streams WHERE id = ?", (id,)):
            raise StreamNotFound(f"no stream {id}")
        with self._writing() as connection:
            gone = connection.execute(
                "DELETE FROM streams WHERE id = ? AND status <> 'streaming' RETURNING epoch, seq", (id,)
            ).fetchall()
            if not gone:
                raise NotFinished(f"stream {id} is streaming")
            connection.execute("DELETE FROM prompts WHERE seq = ?", (gone[0][1],))
            connection.execute("DELETE FROM chunks WHERE stream = ?", (id,))
            connection.execute("DELETE FROM attempts WHERE stream = ?", (id,))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.tail_path(id, gone[0][0]))

    def shrink(self) -> bool:
        """Give deleted streams' space back in short steps, and empty the log, where their text still stands.

        False if a reader that holds on to an old state did not let the log be emptied: the next one does it.
        """
        connection = self._connection()
        try:
            # Before the steps' own commits: see `Writer`. Held until the log is empty.
            with schema.locked(self.home.lock("checkpoint")):
                # A commit of our own, also when there is no space to give back: no checkpoint without one.
                connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
                while connection.execute("PRAGMA freelist_count").fetchone()[0] > 0:
                    _give_back(connection)
                return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except (sqlite3.OperationalError, OSError):
            return False

    def flush(self, row: Sequence[Any]) -> bool:
        """Append one row (see `schema.flush_statement`), fenced; whether the store took it."""
        with self._writing() as connection:
            return bool(connection.execute(schema.flush_statement(1), row).fetchall())


def _give_back(connection: sqlite3.Connection) -> None:
    """One step, and then as long a pause: others wait for the lock by looking now and then, and would miss a moment."""
    began = time.monotonic()
    # It gives a row a page, without columns, so that `execute` would stop at the first one and commit it alone.
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    time.sleep(time.monotonic() - began)


def _fill(connection: sqlite3.Connection, table: str, values: dict[str, str | None], id: str) -> None:
    """Set what is open of a pending stream's row."""
    changes = ", ".join(f"{column} = coalesce({column}, :{column})" for column in values)
    pending = "SELECT seq FROM streams WHERE id = :id AND status = 'pending'"
    connection.execute(f"UPDATE {table} SET {changes} WHERE seq = ({pending})", {**values, "id": id})
