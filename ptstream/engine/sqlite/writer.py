"""An owner's writes: claim, append, finish, grouped over all its streams into one durable commit.

One task owns the write connection; callers wait for their row. A group is one statement in autocommit, so no
transaction can stay open behind a cancelled caller. A store that takes no write just now (locked, full) delays
its callers and is named in `trouble`; nothing is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import anyio

from ptstream import strict_json
from ptstream.bell import Bell
from ptstream.engine.sqlite import liveness, schema
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ClaimLost, PtstreamError, StoreBusy, StoreUnusable, StreamNotFound
from ptstream.settings import Home
from ptstream.streams import Claim, Status

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""The size of the write-ahead log from which on a writer brings it back into the database."""

BRIEFLY = 0.25
"""Seconds that one try waits for another process's transaction: `close` must not have to wait for more."""

CHECKPOINT_WAIT = 1.0
"""Seconds that a checkpoint waits for other writers and for readers. Others' writes wait as long."""

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
        self.closing = False
        self._no_checkpoint_before = 0.0
        self._log_is_held = False
        self.trouble: str | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The connection and the task that commits, for as long as the context lasts. Raises ConfigurationError."""
        schema.prepare(self._home)
        connection = aiosqlite.connect(
            schema.uri(self._home, "mode=rw"), uri=True, isolation_level=None, timeout=BRIEFLY
        )
        # What keeps the connection from being closed must not keep the process from exiting.
        connection._thread.daemon = True
        self._connection = await connection
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
        self.closing = True

    async def claim(self, id: str, model: str | None = None, place: str | None = None) -> Claim:
        """Claim a pending stream for a generator called `model` at `place`.

        Raises ClaimLost when it is not pending (any more), StreamNotFound, StoreBusy.
        """
        values = {
            "id": id,
            "owner": self._owner,
            "boot": liveness.boot_id(),
            "at": time.time(),
            "model": _storable(model),
            "place": _storable(place),
        }
        rows = await self._persistently(schema.CLAIM, values)
        if rows:
            return Claim(id, rows[0][0], rows[0][1])
        raise ClaimLost(f"stream {id} is {self._store.state(id).status}, not pending")

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim:
        """A further attempt at a stream that is ours, where the text of the one before ends: at byte `begin`.

        Raises ClaimLost, StoreBusy.
        """
        values = {
            "id": claim.id,
            "epoch": claim.epoch,
            "owner": self._owner,
            "begin": begin,
            "at": time.time(),
            "cause": _storable(cause),
        }
        rows = await self._persistently(schema.RECLAIM, values)
        if rows:
            return Claim(claim.id, *rows[0])
        raise ClaimLost(f"stream {claim.id} is not this owner's any more")

    async def append(self, claim: Claim, start: int, text: str, pieces: int) -> None:
        """Make `text` a chunk that begins at byte `start`; returns when it is durable.

        Raises ClaimLost, and StoreBusy when the writer closes before the store took it.
        """
        stop = start + len(text.encode())
        await self._commit((claim.id, claim.epoch, start, stop, text, time.time(), pieces, None, None, None, None))

    async def finish(
        self,
        claim: Claim,
        start: int,
        text: str,
        pieces: int,
        status: Status,
        cause: str | None,
        usage: Mapping[str, Any] | None,
        note: str | None = None,
    ) -> None:
        """The last chunk and the end in one transaction. Raises as `append` does."""
        stop = start + len(text.encode())
        counts = None if usage is None else _counts(usage)
        end = (status.value, _storable(cause), counts, _storable(note))
        await self._commit((claim.id, claim.epoch, start, stop, text, time.time(), pieces, *end))

    async def tell_usage(self, claim: Claim, usage: Mapping[str, Any]) -> None:
        """What an attempt took, known only after its stream's end. Raises StoreBusy."""
        await self._persistently(
            "UPDATE attempts SET usage = :usage WHERE stream = :id AND epoch = :epoch RETURNING epoch",
            {"id": claim.id, "epoch": claim.epoch, "usage": _counts(usage)},
        )

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
                try:
                    await self._commit_waiting()
                except anyio.get_cancelled_exc_class():
                    # At its end, `asyncio.run` cancels every task once, shielded or not.
                    if self._committing.cancel_called:
                        raise

    async def _commit_waiting(self) -> None:
        rung = self._bell.next()
        # What was broken off before it was settled is tried again.
        self._waiting = [flush for flush in self._waiting if not flush.settled.is_set()]
        if group := self._waiting[: schema.MAX_GROUP]:
            with anyio.CancelScope(shield=True):
                await self._settle_group(group)
        else:
            await rung.wait()

    async def _settle_group(self, group: list[_Flush]) -> None:
        """Whatever happens, nobody waits for ever, and the next group is committed."""
        try:
            await self._commit_group(group)
        except Exception as error:
            self.trouble = f"{self._home.database} cannot be written: {error!r}"
            _refuse(group, StoreUnusable(self.trouble))

    async def _commit_group(self, group: list[_Flush]) -> None:
        with self._checkpointing() as due:
            await self._commit_persistently(group)
            if due:  # only now, when nobody waits for what was committed
                await self._checkpoint()

    async def _commit_persistently(self, group: list[_Flush]) -> None:
        """Until the store has taken or refused each of them. One that cannot be written takes no other along."""
        wait = 0.05
        while True:
            try:
                taken = {row[0] for row in await self._execute(*_statement(group))}
            except sqlite3.OperationalError as error:  # locked, full, read-only: it may pass
                self.trouble = f"the store takes no write: {error}"
                if self.closing:
                    return _refuse(group, StoreBusy(self.trouble))
            except Exception as error:  # the database is broken, or a row of this group is
                if len(group) == 1:
                    return _refuse(group, StoreUnusable(f"{self._home.database} does not take this: {error}"))
                for flush in group:
                    await self._commit_persistently([flush])
                return None
            else:
                self.trouble = None
                return _settle(group, taken)
            await anyio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def _persistently(self, sql: str, values: dict[str, Any]) -> list[Any]:
        """The rows of one statement, tried for as long as another process's transaction may take.

        Shielded: what happened must not be forgotten. Raises StoreBusy.
        """
        deadline = anyio.current_time() + schema.BUSY_TIMEOUT
        rows: list[Any] | None = None
        with anyio.CancelScope(shield=True):
            while rows is None:
                try:
                    rows = list(await self._execute(sql, values))
                except sqlite3.OperationalError as error:
                    if self.closing or anyio.current_time() > deadline:
                        raise StoreBusy(f"the store takes no write: {error}") from error
                    await anyio.sleep(BRIEFLY)
        return rows or []

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
        try:
            descriptor = os.open(
                self._home.lock("checkpoint"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError:  # no descriptor left, a full disk: later
            yield False
            return
        try:
            yield _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def _checkpoint_due(self) -> bool:
        return self._log_size() > CHECKPOINT_BYTES and time.monotonic() >= self._no_checkpoint_before

    def _log_size(self) -> int:
        try:
            return os.stat(self._home.database + "-wal").st_size
        except OSError:  # there is none, or it may not be looked at just now
            return 0

    @property
    def log_trouble(self) -> str | None:
        """Why the write-ahead log grows, in one sentence, if a reader keeps it from being emptied."""
        if self._log_is_held and (size := self._log_size()) > CHECKPOINT_BYTES:
            return f"the log is {size / 2**20:.0f} MiB: a program that reads the database holds on to an old state"
        return None

    async def _checkpoint(self) -> None:
        """Bring the log back into the file and empty it. That it fails harms nobody: it is tried again later."""
        try:
            # Without the writer's lock TRUNCATE would go on as PASSIVE, beside a second writer: so it is waited for.
            await self._execute(f"PRAGMA busy_timeout={int(CHECKPOINT_WAIT * 1000)}", ())
            ((busy, *_),) = await self._execute("PRAGMA wal_checkpoint(TRUNCATE)", ())
        except sqlite3.Error:
            busy = 1
        with contextlib.suppress(sqlite3.Error):
            await self._execute(f"PRAGMA busy_timeout={int(BRIEFLY * 1000)}", ())
        self._log_is_held = bool(busy)
        if busy:
            self._no_checkpoint_before = time.monotonic() + CHECKPOINT_PAUSE

    def is_over(self, claim: Claim) -> bool:
        """Whether the stream has ended, is gone or is another's: a refusal that leaves nothing to be done."""
        try:
            state = self._store.state(claim.id)
        except StreamNotFound:
            return True
        except PtstreamError:  # that it cannot be read now is not its end
            return False
        return state.status.ended or state.owner != self._owner


def _storable(text: str | None) -> str | None:
    """A name or a cause may hold an undecodable byte of a path, which UTF-8 has no place for."""
    return text and text.encode("utf-8", "replace").decode()


def _counts(usage: Mapping[str, Any]) -> str:
    return strict_json.dumps(strict_json.finite(usage))


def _statement(group: list[_Flush]) -> tuple[str, list[Any]]:
    return schema.flush_statement(len(group)), [value for flush in group for value in flush.row]


def _settle(group: list[_Flush], taken: set[str]) -> None:
    for flush in group:
        if flush.row[0] not in taken:
            flush.error = ClaimLost(f"stream {flush.row[0]} is not this owner's any more")
        flush.settled.set()


def _refuse(group: list[_Flush], error: Exception) -> None:
    for flush in group:
        if not flush.settled.is_set():
            flush.error = error
            flush.settled.set()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
