"""An owner's writes: claim, append, finish, grouped over all its streams into one durable commit.

One task owns the write connection; callers wait for their row. A group is one statement in autocommit, so no
transaction can stay open behind a cancelled caller. A store that takes no write just now (locked, full) delays
its callers and is named in `trouble`; nothing is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import anyio

from ptstream.errors import ClaimLost, StoreBusy, StreamNotFound
from ptstream.settings import Home
from ptstream.store import owners, schema
from ptstream.store.sqlite import Claim, Store
from ptstream.streams import Status
from ptstream.tail import Bell

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""The size of the write-ahead log from which on a writer brings it back into the database."""

CHECKPOINT_PAUSE = 30.0
"""Seconds without another attempt after a checkpoint that a long reader did not let finish."""


@dataclass(slots=True, eq=False)
class _Flush:
    row: tuple[Any, ...]
    settled: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None


class Writer:
    """The write connection of one owner. `trouble` says in one sentence why nothing is written just now."""

    def __init__(self, store: Store, owner: str) -> None:
        self._home: Home = store.home
        self._store = store
        self._owner = owner
        self._connection: aiosqlite.Connection | None = None
        self._lock = anyio.Lock()
        self._waiting: list[_Flush] = []
        self._bell = Bell()
        self._committing = anyio.CancelScope(shield=True)
        self._closing = False
        self._no_checkpoint_before = 0.0
        self.trouble: str | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The connection and the task that commits, for as long as the context lasts. Raises ConfigurationError."""
        schema.prepare(self._home)
        self._connection = await aiosqlite.connect(
            schema.uri(self._home, "mode=rw"), uri=True, isolation_level=None, timeout=schema.BUSY_TIMEOUT
        )
        try:
            for pragma in schema.WRITER_PRAGMAS:
                await self._connection.execute_fetchall(pragma)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._commit_groups)
                try:
                    yield
                finally:
                    self._committing.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._connection.close()  # an open one keeps the process from exiting

    def close(self) -> None:
        """From now on, a commit that does not succeed at once is given back as StoreBusy instead of waited for."""
        self._closing = True

    async def claim(self, id: str, model: str | None = None, place: str | None = None) -> Claim:
        """Claim a pending stream for a generator called `model` at `place`.

        Raises ClaimLost when it is not pending (any more), StreamNotFound, StoreBusy.
        """
        values = {
            "id": id,
            "owner": self._owner,
            "boot": owners.boot_id(),
            "at": time.time(),
            "model": model,
            "place": place,
        }
        with anyio.CancelScope(shield=True):  # a claim that happened must not be forgotten
            try:
                rows = list(await self._execute(schema.CLAIM, values))
            except sqlite3.OperationalError as error:
                raise StoreBusy(f"the store takes no write: {error}") from error
        if rows:
            return Claim(id, rows[0][0], rows[0][1])
        raise ClaimLost(f"stream {id} is {self._store.state(id).status}, not pending")

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim:
        """A further attempt at a stream that is ours, where the text of the one before ends: at byte `begin`.

        Raises ClaimLost, StoreBusy.
        """
        values = {"id": claim.id, "epoch": claim.epoch, "owner": self._owner, "begin": begin, "at": time.time()}
        ended = "UPDATE attempts SET ended_at = ?, cause = ? WHERE stream = ? AND epoch = ?"
        with anyio.CancelScope(shield=True):
            try:
                rows = list(await self._execute(schema.RECLAIM, values))
                if rows:
                    await self._execute(ended, (values["at"], cause, claim.id, claim.epoch))
            except sqlite3.OperationalError as error:
                raise StoreBusy(f"the store takes no write: {error}") from error
        if rows:
            return Claim(claim.id, *rows[0])
        raise ClaimLost(f"stream {claim.id} is not this owner's any more")

    async def append(self, claim: Claim, start: int, text: str, pieces: int) -> None:
        """Make `text` a chunk that begins at byte `start`; returns when it is durable.

        Raises ClaimLost, and StoreBusy when the writer closes before the store took it.
        """
        stop = start + len(text.encode())
        await self._commit((claim.id, claim.epoch, start, stop, text, time.time(), pieces, None, None, None))

    async def finish(
        self,
        claim: Claim,
        start: int,
        text: str,
        pieces: int,
        status: Status,
        cause: str | None,
        usage: Mapping[str, Any] | None,
    ) -> None:
        """The last chunk and the end in one transaction. Raises as `append` does."""
        stop = start + len(text.encode())
        counts = None if usage is None else json.dumps(usage)
        await self._commit((claim.id, claim.epoch, start, stop, text, time.time(), pieces, status.value, cause, counts))

    async def _commit(self, row: tuple[Any, ...]) -> None:
        flush = _Flush(row)
        self._waiting.append(flush)
        self._bell.ring()
        await flush.settled.wait()
        if flush.error is not None:
            raise flush.error

    async def _commit_groups(self) -> None:
        # Shielded: when its owner is cancelled, the ends of its streams are still to be written.
        with self._committing:
            while True:
                rung = self._bell.next()
                if self._waiting:
                    group, self._waiting = self._waiting[: schema.MAX_GROUP], self._waiting[schema.MAX_GROUP :]
                    with anyio.CancelScope(shield=True):
                        await self._commit_group(group)
                else:
                    await rung.wait()

    async def _commit_group(self, group: list[_Flush]) -> None:
        wait = 0.05
        while True:
            try:
                with self._checkpointing() as due:
                    taken = {row[0] for row in await self._execute(*_statement(group))}
                    self.trouble = None
                    if due:
                        await self._checkpoint()
                return _settle(group, taken)
            except sqlite3.OperationalError as error:  # locked, full, read-only: it may pass
                self.trouble = f"the store takes no write: {error}"
                if self._closing:
                    return _refuse(group, StoreBusy(self.trouble))
            except sqlite3.DatabaseError as error:  # not a database any more: it will not
                return _refuse(group, schema.translate(error, self._home))
            await anyio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def _execute(self, sql: str, values: Any) -> Any:
        assert self._connection is not None
        async with self._lock:
            return await self._connection.execute_fetchall(sql, values)

    @contextlib.contextmanager
    def _checkpointing(self) -> Iterator[bool]:
        """Whether a checkpoint is due and ours to make: then its lock is held, since before our own commit.

        Two processes that checkpoint while a third commits is what SQLite's WAL-reset bug needs.
        """
        if not self._checkpoint_due():
            yield False
            return
        descriptor = os.open(
            self._home.lock("checkpoint"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            yield _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def _checkpoint_due(self) -> bool:
        try:
            size = os.stat(self._home.database + "-wal").st_size
        except FileNotFoundError:
            return False
        return size > CHECKPOINT_BYTES and time.monotonic() >= self._no_checkpoint_before

    async def _checkpoint(self) -> None:
        ((busy, *_),) = await self._execute("PRAGMA wal_checkpoint(TRUNCATE)", ())
        if busy:
            self._no_checkpoint_before = time.monotonic() + CHECKPOINT_PAUSE


def _statement(group: list[_Flush]) -> tuple[str, list[Any]]:
    return schema.flush_statement(len(group)), [value for flush in group for value in flush.row]


def _settle(group: list[_Flush], taken: set[str]) -> None:
    for flush in group:
        if flush.row[0] not in taken:
            flush.error = ClaimLost(f"stream {flush.row[0]} is not this owner's any more")
        flush.settled.set()


def _refuse(group: list[_Flush], error: Exception) -> None:
    for flush in group:
        flush.error = error
        flush.settled.set()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


__all__ = ["Claim", "ClaimLost", "StreamNotFound", "Writer"]
