"""What anybody may change: make a stream, fill it, mark it as cancelled, remove it; a recoverer, give it its end.

Each is one short transaction. What an owner does to its own stream (claim, append, finish) is `writer.py`'s.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ptstream.engine.requests import check_fits, check_one_generator, check_same, checked, columns_of, opening_of
from ptstream.engine.rows import STREAM_COLUMNS, WHOLE, stream_of
from ptstream.engine.sqlite import prompts, statements
from ptstream.engine.sqlite.database import Database
from ptstream.engine.sqlite.queries import Queries, Standing
from ptstream.engine.sqlite.transaction import writing
from ptstream.errors import NotFinished, StreamNotFound
from ptstream.ids import new_id
from ptstream.names import as_name
from ptstream.streams import GenerationRequest, Parent, Status, Stream, merged

DELETED = -1.0
"""The time to live of a stream that is to be deleted as soon as it has ended: from its end on, no reader finds it."""


class Changes:
    """Changing the database of one home. Nothing is made before something is written."""

    def __init__(self, database: Database, queries: Queries) -> None:
        self._queries = queries
        self._read, self._writing = database.read, functools.partial(writing, database)

    def create(
        self,
        request: GenerationRequest = GenerationRequest(),  # noqa: B008 - an immutable value
        *,
        name: str | None = None,
        title: str | None = None,
        parent: Parent | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """A new pending stream; with a taken name and the same request, the one that has it.

        `ttl` is how many seconds after its end it is kept; None: until it is deleted. Raises NameTaken for a taken
        name and another request, UsageError for a name that cannot be one.
        """
        name = name if name is None else as_name(name)
        check_one_generator(request)
        with self._writing() as connection:
            row = connection.execute(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE name = ?", (name,)).fetchone()
            if row is None:
                id = self._insert(connection, request, name, title, parent, ttl)
                row = connection.execute(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE id = ?", (id,)).fetchone()
                return stream_of(row)
        return check_same(stream_of(row), request, name)

    def _insert(
        self,
        connection: sqlite3.Connection,
        request: GenerationRequest,
        name: str | None,
        title: str | None,
        parent: Parent | None,
        ttl: float | None,
    ) -> str:
        id = new_id()
        values: dict[str, Any] = {
            "id": id,
            "name": name,
            "title": checked(title, "title"),
            "created_at": time.time(),
            "parent": parent and parent.id,
            "parent_offset": parent and parent.offset,
            "seam": None if parent and parent.continued else 0,
            "ttl": ttl,
            "opening": opening_of(request),
            **columns_of(request),
        }
        marks = ", ".join(f":{column}" for column in values)
        seq = connection.execute(f"INSERT INTO streams ({', '.join(values)}) VALUES ({marks})", values).lastrowid
        prompts.insert(connection, seq, request)
        return id

    def fill(self, id: str, request: GenerationRequest) -> Stream:
        """Give a pending stream what it was created without. Raises RequestDiffers for what it has otherwise."""
        found = self._queries.get(id)
        check_fits(found, request)
        if request == GenerationRequest() or found.status is not Status.PENDING:
            return found
        check_one_generator(merged(found.request, request))
        with self._writing() as connection:
            prompts.fill(connection, id, request)
        return self._queries.get(id)

    def begin(self, id: str, text: str) -> None:
        """Decide how a pending stream begins that comes after another: with that one's text, or, if "", anew."""
        size = len(text.encode())
        with self._writing() as connection:
            begun = connection.execute(
                "UPDATE streams SET seam = :size, bytes = :size, parent_offset = :size"
                " WHERE id = :id AND status = 'pending' AND seam IS NULL RETURNING id",
                {"size": size, "id": id},
            ).fetchall()
            if begun and size:
                connection.execute(
                    "INSERT INTO chunks (stream, start, stop, epoch, at, text) VALUES (?, 0, ?, 0, ?, ?)",
                    (id, size, time.time(), text),
                )

    def cancel(self, id: str, *, drain: bool = False, delete: bool = False) -> Standing:
        """End a pending stream; mark one that is streaming, for its owner to end. What has ended stays as it is.

        With `drain`, its generator may go on to its own end without it, so that its usage becomes known; a further
        cancel ends that. With `delete`, the end of one that is streaming is the end of all reading, too.
        """
        state = self._queries.state(id)
        if state.status.ended:
            if not drain and self._queries.drains(id):
                with self._writing() as connection:
                    connection.execute("UPDATE streams SET drain = 0 WHERE id = ?", (id,))
            return state
        now = time.time()
        with self._writing() as connection:
            connection.execute(
                "UPDATE streams SET cancel_at = coalesce(cancel_at, :now),"
                " drain = min(coalesce(drain, :drain), :drain),"
                " ttl = CASE WHEN :delete THEN :deleted ELSE ttl END,"
                " status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END,"
                " ended_at = CASE status WHEN 'pending' THEN :now ELSE ended_at END"
                " WHERE id = :id AND status IN ('pending', 'streaming')",
                {"now": now, "id": id, "drain": drain, "delete": delete, "deleted": DELETED},
            )
            for statement in statements.CANCEL_HANDED_OVER:
                connection.execute(statement, {"now": now, "id": id})
        return self._queries.state(id)

    def delete(self, id: str) -> None:
        """Remove an ended or pending stream and its text. Raises NotFinished while it is streaming, StreamNotFound.

        Its bytes are overwritten in the file; `checkpoints.shrink` takes them out of the log, too.
        """
        if not self._read("SELECT 1 FROM streams WHERE id = ?", (id,)):
            raise StreamNotFound(f"no stream {id}")
        with self._writing() as connection:
            gone = connection.execute(
                "DELETE FROM streams WHERE id = ? AND status <> 'streaming' RETURNING epoch, seq", (id,)
            ).fetchall()
            if not gone:
                raise NotFinished(f"stream {id} is streaming")
            prompts.delete(connection, gone[0][1])
            connection.execute("DELETE FROM chunks WHERE stream = ?", (id,))
            connection.execute("DELETE FROM attempts WHERE stream = ?", (id,))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._queries.tail_path(id, gone[0][0]))

    def flush(self, row: Sequence[Any]) -> bool:
        """Append one row (see `statements.flush_statement`), fenced; whether the store took it."""
        with self._writing() as connection:
            return bool(connection.execute(statements.flush_statement(1), row).fetchall())
