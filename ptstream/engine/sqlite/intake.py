"""The way into a database for streams of another place; see `transfer.Intake`.

Chunks whose stream has no row are seen by no reader: so they are staged where they will stay. Its lock is that of the
folder in which the database lies, which leaves nothing beside the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import aiosqlite
import anyio
import anyio.to_thread

from ptstream.engine.copied_rows import columns_of_attempts, columns_of_record
from ptstream.engine.requests import prompts_of
from ptstream.engine.sqlite import migration, schema
from ptstream.engine.sqlite.checkpoints import Checkpoints
from ptstream.engine.transfer import Record, Runs
from ptstream.errors import StoreBusy, StoreNewer
from ptstream.lock_files import taken
from ptstream.settings import Home

Statement = tuple[str, Iterable[Any]]
"""SQL, and the values of each time that it is to be run."""

CACHE = "PRAGMA cache_size=-32768"
"""KiB of the index that are at hand: ids are random, so each row comes between others."""

STAGE = (
    "INSERT INTO chunks (stream, start, stop, epoch, at, text) VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))"
    " ON CONFLICT DO NOTHING"
)

FORGET = "DELETE FROM chunks WHERE stream = ? AND NOT EXISTS (SELECT 1 FROM streams WHERE id = chunks.stream)"

STAGED = """
WITH RECURSIVE staged (stream) AS (
  SELECT min(stream) FROM chunks
  UNION ALL SELECT (SELECT min(c.stream) FROM chunks c WHERE c.stream > staged.stream) FROM staged
    WHERE stream IS NOT NULL
)
SELECT stream FROM staged WHERE stream IS NOT NULL AND stream NOT IN (SELECT id FROM streams)
"""
"""The streams that have chunks and no row, each found by one look into the index."""

ATTEMPT = (
    "INSERT INTO attempts (stream, epoch, owner, begin_offset, boot, started_at, pieces, usage, model, place)"
    " VALUES (:stream, :epoch, :owner, :begin_offset, '', :started_at, :pieces, :usage, :model, :place)"
)

# What the trigger of a claim has set otherwise.
END_OF_ATTEMPT = "UPDATE attempts SET ended_at = :ended_at, cause = :cause WHERE stream = :stream AND epoch = :epoch"

NO_ATTEMPT = "DELETE FROM attempts WHERE stream = ? AND NOT EXISTS (SELECT 1 FROM streams WHERE id = attempts.stream)"
"""Of a stream whose name was given to another one just now."""

USAGE = "UPDATE attempts SET usage = :usage WHERE stream = :stream AND epoch = :epoch"

PROMPTS = "INSERT INTO prompts (seq, prompt, system) SELECT seq, :prompt, :system FROM streams WHERE id = :id"


class SqliteIntake:
    """A connection of its own, for one copy at a time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._connection: aiosqlite.Connection | None = None
        self._lock = anyio.Lock()
        self._checkpoints = Checkpoints(home, self._execute, schema.BUSY_TIMEOUT)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """For as long as the context lasts. Raises StoreBusy, ConfigurationError."""
        self._home.make()
        with _alone(self._home):
            await anyio.to_thread.run_sync(migration.prepare, self._home)
            connection = aiosqlite.connect(
                schema.uri(self._home, "mode=rw"), uri=True, isolation_level=None, timeout=schema.BUSY_TIMEOUT
            )
            # What keeps the connection from being closed must not keep the process from exiting.
            connection._thread.daemon = True
            self._connection = await connection
            try:
                for pragma in (*schema.WRITER_PRAGMAS, CACHE):
                    await self._rows(pragma, ())
                await self.discard([id for (id,) in await self._rows(STAGED, ())])
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._connection.close()  # an open one keeps the process from exiting

    async def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `transfer.Intake`."""
        marks = ",".join("?" * len(names))
        return dict(await self._rows(f"SELECT name, id FROM streams WHERE name IN ({marks})", names))

    async def stage(self, runs: Runs) -> None:
        """See `transfer.Intake`."""
        rows = [(id, chunk.start, chunk.stop, chunk.epoch, chunk.at, chunk.text) for id, chunk in runs]
        await self._commit((STAGE, rows))

    async def publish(self, records: Sequence[Record]) -> set[str]:
        """See `transfer.Intake`. Attempts come first: a claim's trigger is to find no stream."""
        if not records:
            return set()
        rows = [columns_of_record(record) for record in records]
        attempts = columns_of_attempts(records)
        prompts = [prompts_of(each.stream.request) | {"id": each.stream.id} for each in records]
        marks = ", ".join(f":{column}" for column in rows[0])
        await self._commit(
            (ATTEMPT, attempts),
            (END_OF_ATTEMPT, attempts),
            (f"INSERT INTO streams ({', '.join(rows[0])}) VALUES ({marks}) ON CONFLICT (name) DO NOTHING", rows),
            (PROMPTS, prompts),
            (NO_ATTEMPT, [(row["id"],) for row in rows]),
        )
        ids = [row["id"] for row in rows]
        marks = ",".join("?" * len(ids))
        return {id for (id,) in await self._rows(f"SELECT id FROM streams WHERE id IN ({marks})", ids)}

    async def set_usage(self, records: Sequence[Record]) -> None:
        """See `transfer.Intake`."""
        await self._commit((USAGE, columns_of_attempts(records)))

    async def discard(self, ids: Sequence[str]) -> None:
        """See `transfer.Intake`. Each by itself: a large one takes seconds."""
        for id in ids:
            await self._commit((FORGET, [(id,)]))

    async def _commit(self, *statements: Statement) -> None:
        """All of them, or none. Shielded: no transaction stays open behind a cancelled caller. Raises StoreBusy."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                with self._checkpoints.due() as due:
                    await self._transaction(statements)
                    if due:
                        await self._checkpoints.make()

    async def _transaction(self, statements: Sequence[Statement]) -> None:
        assert self._connection is not None
        with self._told():
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                ((found,),) = await self._connection.execute_fetchall("PRAGMA user_version")
                if found > schema.VERSION:
                    raise StoreNewer(f"{self._home.database} was migrated by a newer ptstream in the meantime")
                for sql, values in statements:
                    await self._connection.executemany(sql, values)
                await self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    await self._connection.execute("ROLLBACK")

    async def _rows(self, sql: str, values: Any) -> Any:
        with self._told():
            return await self._execute(sql, values)

    async def _execute(self, sql: str, values: Any) -> Any:
        assert self._connection is not None
        return await self._connection.execute_fetchall(sql, values)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreBusy(f"{self._home.database} takes no write: {error}") from error
        except sqlite3.DatabaseError as error:
            raise schema.translate(error, self._home) from error


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Raises StoreBusy while another copy is under way into the same folder."""
    folder = os.path.dirname(home.database)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks for folders
            if not taken(descriptor):
                raise StoreBusy(f"another copy into {folder} is under way: wait for its end")
        yield
    finally:
        os.close(descriptor)
