"""An owner's writes: claim, append, finish, grouped over all its streams into one durable commit.

One task owns the write connection; callers wait for their row. A group is one statement in autocommit, so no
transaction can stay open behind a cancelled caller. A store that takes no write just now (locked, full) delays
its callers and is named in `trouble`; nothing is dropped. When the log is brought back into the database is
`checkpoints.py`'s, what proves that this process lives `liveness.py`'s.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from ptstream import strict_json
from ptstream.bell import Bell
from ptstream.engine.handover import NOBODY, HandedOver, waits_until
from ptstream.engine.rows import storable
from ptstream.engine.sqlite import liveness, migration, schema, statements
from ptstream.engine.sqlite.checkpoints import Checkpoints
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.engine.together import Together
from ptstream.errors import ClaimLost, PtstreamError, StoreBusy, StoreUnusable, StreamNotFound
from ptstream.settings import Home
from ptstream.streams import Claim, Status

if TYPE_CHECKING:
    import aiosqlite

BRIEFLY = 0.25
"""Seconds that one try waits for another process's transaction: `close` must not have to wait for more."""


@dataclass(slots=True, eq=False)
class _Flush:
    row: tuple[Any, ...]
    decided: bool = False
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Group:
    """Flushes that came while another group was committed. One event for all of them: each costs as much as a row."""

    flushes: list[_Flush] = field(default_factory=list)
    decided: anyio.Event = field(default_factory=anyio.Event)


class SqliteWriter:
    """The write connection of one owner (see `protocol.Writer`). Its tails are found in `tails` while they are open."""

    def __init__(
        self,
        store: Store,
        owner: str,
        tails: dict[str, FileTail] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.tell = tell
        self._home: Home = store.home
        self._store = store
        self._owner = owner
        self._tails = {} if tails is None else tails
        self._connection: aiosqlite.Connection | None = None
        self._lock = anyio.Lock(fast_acquire=True)
        self._leaving = Together(self._leave)
        self._waiting: deque[_Group] = deque()
        self._begun: _Group | None = None  # taken from those that wait, and not decided as a whole yet
        self._bell = Bell()
        self._committing = anyio.CancelScope(shield=True)
        self.closing = False
        self._checkpoints = Checkpoints(store.home, self._execute, BRIEFLY)
        self._cancels: list[tuple[str, bool]] = []
        self._seen_version = -1
        self.trouble: str | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The connection and the task that commits, for as long as the context lasts. Raises ConfigurationError."""
        import aiosqlite  # for who writes: whoever only reads starts sooner without it

        migration.prepare(self._home)
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

    @property
    def warning(self) -> str | None:
        """Why the log grows, if a reader keeps it from being emptied."""
        return self._checkpoints.warning

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
            "model": storable(model),
            "place": storable(place),
        }
        rows = await self._persistently(statements.CLAIM, values)
        if rows:
            return Claim(id, rows[0][0], rows[0][1])
        raise ClaimLost(f"stream {id} is {self._store.state(id).status}, not pending")

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim:
        """A further attempt at a stream that is ours, where the text of the one before ends: at byte `begin`.

        Raises ClaimLost, StoreBusy.
        """
        for _, epoch, offset in await self._further([(claim, begin, cause)], self._owner):
            return Claim(claim.id, epoch, offset)
        raise ClaimLost(f"stream {claim.id} is not this owner's any more")

    async def hand_over(self, claim: Claim, begin: int, cause: str) -> None:
        """See `protocol.Writer.hand_over`. Raises ClaimLost, StoreBusy."""
        if not await self._leaving.do((claim, begin, cause)):
            raise ClaimLost(f"stream {claim.id} is not this owner's any more")

    async def _leave(self, asked: Sequence[tuple[Claim, int, str]]) -> list[bool]:
        left = {id for id, _, _ in await self._further(asked, f"{NOBODY}{time.time()}")}
        return [claim.id in left for claim, _, _ in asked]

    async def _further(self, asked: Sequence[tuple[Claim, int, str]], owner: str) -> list[Any]:
        """Further attempts, each at a claim's stream from a byte on, for which the one before it ended by a cause."""
        rows = [(claim.id, claim.epoch, begin, owner, storable(cause)) for claim, begin, cause in asked]
        values = [*(value for row in rows for value in row), time.time(), self._owner, self._owner]
        return await self._persistently(statements.reclaim_statement(len(rows)), values)

    async def take(self, handed: HandedOver, model: str | None = None, place: str | None = None) -> Claim:
        """See `protocol.Writer.take`. Raises ClaimLost, StoreBusy."""
        values = {
            "id": handed.id,
            "nobody": handed.owner,
            "until": waits_until(handed.owner),
            "owner": self._owner,
            "boot": liveness.boot_id(),
            "at": time.time(),
            "model": storable(model),
            "place": storable(place),
        }
        rows = await self._persistently(statements.TAKE, values)
        if rows:
            return Claim(handed.id, *rows[0])
        raise ClaimLost(f"stream {handed.id} does not wait any more")

    async def tail(self, claim: Claim) -> FileTail:
        """The attempt's tail file. Raises StoreBusy when none can be made."""

        def closed() -> None:
            if self._tails.get(claim.id) is made:  # and not a further attempt's
                del self._tails[claim.id]

        try:
            made = FileTail(self._store.tail_path(claim.id, claim.epoch), claim.begin, closed)
        except OSError as error:
            raise StoreBusy(f"no tail could be made: {error.strerror}") from error
        self._tails[claim.id] = made
        return made

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
        end = (status.value, storable(cause), counts, storable(note))
        await self._commit((claim.id, claim.epoch, start, stop, text, time.time(), pieces, *end))

    async def report_usage(self, claim: Claim, usage: Mapping[str, Any]) -> None:
        """What an attempt took, known only after its stream's end. Raises StoreBusy."""
        await self._persistently(
            "UPDATE attempts SET usage = :usage WHERE stream = :id AND epoch = :epoch RETURNING epoch",
            {"id": claim.id, "epoch": claim.epoch, "usage": _counts(usage)},
        )

    async def _commit(self, row: tuple[Any, ...]) -> None:
        if not self._waiting or len(self._waiting[-1].flushes) >= statements.MAX_GROUP:
            self._waiting.append(_Group())
        group, flush = self._waiting[-1], _Flush(row)
        group.flushes.append(flush)
        self._bell.ring()
        await group.decided.wait()
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
        if self._begun is None and self._waiting:
            self._begun = self._waiting.popleft()
        if self._begun is None:
            await rung.wait()
            return
        # What was broken off before it was decided is tried again.
        if group := [flush for flush in self._begun.flushes if not flush.decided]:
            with anyio.CancelScope(shield=True):
                await self._decide_group(group)
        self._begun.decided.set()
        self._begun = None

    async def _decide_group(self, group: list[_Flush]) -> None:
        """Whatever happens, nobody waits for ever, and the next group is committed."""
        try:
            await self._commit_group(group)
        except Exception as error:
            self.trouble = f"{self._home.database} cannot be written: {error!r}"
            _refuse(group, StoreUnusable(self.trouble))

    async def _commit_group(self, group: list[_Flush]) -> None:
        with self._checkpoints.due() as due:
            await self._commit_persistently(group)
            if due:  # only now, when nobody waits for what was committed
                await self._checkpoints.make()

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
                return _decide(group, taken)
            await anyio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def _persistently(self, sql: str, values: dict[str, Any] | list[Any]) -> list[Any]:
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

    async def cancelling(self) -> Sequence[tuple[str, bool]]:
        """Read again only when something was committed: a look at the number of commits takes 4 µs."""
        if (version := self._store.version()) != self._seen_version:
            self._cancels = self._store.cancelling()
            self._seen_version = version  # not before: a look that raised has seen nothing
        return self._cancels

    async def is_over(self, claim: Claim) -> bool:
        """Whether the stream has ended, is gone or is another's: a refusal that leaves nothing to be done."""
        try:
            state = self._store.state(claim.id)
        except StreamNotFound:
            return True
        except PtstreamError:  # that it cannot be read now is not its end
            return False
        return state.status.ended or state.owner != self._owner


def _counts(usage: Mapping[str, Any]) -> str:
    return strict_json.dumps(strict_json.finite(usage))


def _statement(group: list[_Flush]) -> tuple[str, list[Any]]:
    return statements.flush_statement(len(group)), [value for flush in group for value in flush.row]


def _decide(group: list[_Flush], taken: set[str]) -> None:
    for flush in group:
        if flush.row[0] not in taken:
            flush.error = ClaimLost(f"stream {flush.row[0]} is not this owner's any more")
        flush.decided = True


def _refuse(group: list[_Flush], error: Exception) -> None:
    for flush in group:
        if not flush.decided:
            flush.error = error
            flush.decided = True
