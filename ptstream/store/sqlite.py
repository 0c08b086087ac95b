"""The store as anybody has it: create, look, list, cancel, delete. Synchronous, plain `sqlite3`.

What an owner does to its own stream (claim, append, finish) is `writer.py`'s; how text is read is `cursor.py`'s.
Reading needs no write permission and never waits for a writer. One `Store` belongs to one thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ptstream.errors import (
    AmbiguousId,
    NameTaken,
    NotFinished,
    StreamNotFound,
    WordsDiffer,
)
from ptstream.settings import Home
from ptstream.store import owners, schema
from ptstream.store.connections import Connections
from ptstream.store.rows import (
    ATTEMPT_COLUMNS,
    LISTED_COLUMNS,
    STREAM_COLUMNS,
    WHOLE,
    attempt_of,
    check_name,
    check_one_generator,
    check_reference,
    checked,
    columns_of,
    differences,
    merged,
    opening_of,
    prompts_of,
    stream_of,
)
from ptstream.streams import Attempt, Status, Stream, Words, new_id

PAGE = 256 * 1024
"""Bytes of text that one look takes from the database, about: a reader never holds more."""


VACUUM_PAGES = 256
"""Pages of free space that one transaction gives back: others write in between, and it fits SQLite's page cache (2 MB):
what does not is spilled into the log."""


DELETED = -1.0
"""The time to live of a stream that is to be deleted as soon as it has ended: from its end on, no reader finds it."""

LASTING = "s.ended_at IS NULL OR s.ttl IS NULL OR s.ttl >= 0"
"""Whether a stream `s` is not one of those."""


class State(NamedTuple):
    """A stream at one moment. `bytes` is where its chunks end; the last four describe its running attempt."""

    status: Status
    bytes: int
    error: str | None
    cancelling: bool
    epoch: int
    owner: str | None
    begin: int
    boot: str | None


class Parent(NamedTuple):
    """What a new stream comes after: another one's text up to `offset`, which it is to continue, or to answer."""

    id: str
    offset: int
    continued: bool


class Claim(NamedTuple):
    """The right to write a stream: valid while the store's epoch is this one. `begin` is an offset in bytes."""

    id: str
    epoch: int
    begin: int


class Store(Connections):
    """The database of one home. Nothing is opened before it is needed, nothing made before something is written."""

    # --- reading

    def version(self) -> int:
        """A number that changes whenever another connection has committed (4 µs)."""
        rows = self._read("PRAGMA data_version", tables=False)
        return int(rows[0][0]) if rows else 0

    def check(self) -> None:
        """Raises StoreNewer when a newer ptstream has migrated the database."""
        self._read("SELECT 1")

    def state(self, id: str) -> State:
        """Where the stream stands, one snapshot. Raises StreamNotFound."""
        rows = self._read(
            "SELECT s.status, s.bytes, s.error, s.cancel_at IS NOT NULL, s.epoch, a.owner,"
            " coalesce(a.begin_offset, 0), a.boot"
            " FROM streams s LEFT JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
            f" WHERE s.id = ? AND ({LASTING})",
            (id,),
        )
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        status, *rest = rows[0]
        return State(Status(status), *rest)

    def text(self, id: str, offset: int, stop: int) -> bytes:
        """Chunks' text from `offset`, inside a chunk too, to `stop` at most: the next page of it (see PAGE)."""
        first = self._read(
            "SELECT start, stop FROM chunks WHERE stream = ? AND start <= ? ORDER BY start DESC LIMIT 1", (id, offset)
        )
        if not first or first[0][1] <= offset:
            return b""
        rows = self._read(
            "SELECT start, CAST(text AS BLOB) FROM chunks WHERE stream = ? AND start >= ? AND start < ?"
            " ORDER BY start LIMIT 64",
            (id, first[0][0], min(stop, offset + PAGE)),
        )
        joined = b"".join(text for _, text in rows)
        begin = rows[0][0] if rows else offset
        return joined[offset - begin : stop - begin]

    def counts(self, id: str) -> tuple[int, int]:
        """How many pieces the stream's attempts were given, and how many chunks it has."""
        pieces, rows = self._read(
            "SELECT (SELECT coalesce(sum(pieces), 0) FROM attempts WHERE stream = :id),"
            " (SELECT count(*) FROM chunks WHERE stream = :id)",
            {"id": id},
        )[0]
        return pieces, rows

    def get(self, id: str) -> Stream:
        """The stream with exactly this id, its prompts whole. Raises StreamNotFound."""
        rows = self._read(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE id = ?", (id,))
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        return stream_of(rows[0])

    def find(self, reference: str) -> Stream:
        """The stream meant by an id, a name, `@last` or an unambiguous beginning of an id.

        Of its prompt only the opening: `get` has all. Raises StreamNotFound, AmbiguousId, and UsageError for
        what can be none of these.
        """
        if reference == "@last":
            newest = self.streams(limit=1)
            if not newest:
                raise StreamNotFound("there is no stream yet")
            return newest[0]
        check_reference(reference)
        lower = reference.lower()
        exact = f"SELECT {LISTED_COLUMNS} FROM streams WHERE id = ?1 OR name = ?2 ORDER BY id = ?1 DESC LIMIT 1"
        # A range rather than LIKE, so that the index serves it.
        begins = (
            f"SELECT {LISTED_COLUMNS} FROM streams WHERE id >= ?1 AND id < ?1 || 'zzzzzzzzzzzz' ORDER BY id LIMIT 4"
        )
        rows = self._read(exact, (lower, reference)) or self._read(begins, (lower,))
        if not rows:
            raise StreamNotFound(f"no stream {reference!r} (ptstream ls shows them)")
        if len(rows) > 1:
            some = ", ".join(row[0] for row in rows[:3])
            raise AmbiguousId(f"{reference!r} is the beginning of several ids: {some}{' …' if len(rows) > 3 else ''}")
        return stream_of(rows[0])

    def streams(self, *, limit: int | None = None, status: Status | None = None) -> list[Stream]:
        """Streams, newest first. Of their prompts only the openings: `get` has all."""
        # Not a parameter, so that the index of those that are streaming serves it.
        where = f"WHERE status = '{status.value}'" if status else ""
        rows = self._read(
            f"SELECT {LISTED_COLUMNS} FROM streams {where} ORDER BY seq DESC LIMIT ?",
            (-1 if limit is None else limit,),
        )
        return [stream_of(row) for row in rows]

    def streaming(self) -> list[str]:
        """The ids of all streams that are `streaming`."""
        return [row[0] for row in self._read("SELECT id FROM streams WHERE status = 'streaming'")]

    def expired(self, now: float) -> list[str]:
        """The ids of ended streams whose time to live is over at `now` (Unix seconds)."""
        return [
            row[0] for row in self._read("SELECT id FROM streams WHERE ended_at + ttl < ? AND ttl IS NOT NULL", (now,))
        ]

    def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """Streams that ended (or, pending, were made) before `moment`, oldest first, without the `keep` newest of all.

        With `status`, only such. None of them is `streaming`. Of their prompts only the openings.
        """
        rows = self._read(
            f"SELECT {LISTED_COLUMNS} FROM streams WHERE coalesce(ended_at, created_at) < ?1 AND status <> 'streaming'"
            " AND (?2 IS NULL OR status = ?2) AND seq NOT IN (SELECT seq FROM streams ORDER BY seq DESC LIMIT ?3)"
            " ORDER BY seq",
            (moment, status and status.value, keep),
        )
        return [stream_of(row) for row in rows]

    def tails_in_use(self) -> frozenset[str]:
        """The names that tails of `streaming` streams have."""
        rows = self._read("SELECT id, epoch FROM streams WHERE status = 'streaming'")
        return frozenset(f"{id}.{epoch}" for id, epoch in rows)

    def owners_in_use(self) -> frozenset[str]:
        """The owners that `streaming` streams name."""
        rows = self._read(
            "SELECT a.owner FROM streams s JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
            " WHERE s.status = 'streaming'"
        )
        return frozenset(row[0] for row in rows)

    def cancelling(self) -> list[tuple[str, bool]]:
        """The ids of streams that are to be cancelled and have not ended yet, and whether to drain their generators."""
        rows = self._read("SELECT id, drain FROM streams WHERE status = 'streaming' AND cancel_at IS NOT NULL")
        return [(id, bool(drain)) for id, drain in rows]

    def attempts(self, id: str) -> list[Attempt]:
        """The stream's attempts, first one first."""
        rows = self._read(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE stream = ? ORDER BY epoch",
            (id,),
        )
        return [attempt_of(*row) for row in rows]

    def tail_path(self, id: str, epoch: int) -> str:
        """Where the tail of this attempt lies."""
        return os.path.join(self.home.tails, f"{id}.{epoch}")

    # --- writing

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
        check_name(name)
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

    def drains(self, id: str) -> bool:
        """Whether the generator of the stream, which was cancelled, may go on without it."""
        return any(row[0] for row in self._read("SELECT drain FROM streams WHERE id = ?", (id,)))

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


def owner_dead(home: Home, state: State) -> bool:
    """Whether the stream is `streaming` under an owner that is no more."""
    return state.status is Status.STREAMING and (state.owner is None or not owners.alive(home, state.owner))
