"""An owner's writes: claim, append, finish, grouped over all its streams into one durable commit.

One task says what waits, a group in one statement; callers wait for their row, and may leave. A database that does not
answer (its standbys are gone, it is being replaced) delays its callers and is named in `trouble`; nothing is dropped.
Pieces on their way are `tail.py`'s, what proves that this process lives `liveness.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import anyio

from ptstream import strict_json
from ptstream.bell import Bell
from ptstream.engine.handover import HandedOver
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import SLOW, Answer, Connections, busy
from ptstream.engine.postgres.flushes import Flush, group_of, values_of
from ptstream.engine.postgres.liveness import Lease
from ptstream.engine.postgres.looks import Looks
from ptstream.engine.postgres.queries import Queries
from ptstream.engine.postgres.server import Connection
from ptstream.engine.postgres.tail import Keeper, KeptTail
from ptstream.engine.rows import storable
from ptstream.engine.together import Together
from ptstream.errors import ClaimLost, PtstreamError, StoreBusy, StoreUnusable, StreamNotFound
from ptstream.streams import Claim, Status

AT_ONCE = 0.5
"""Seconds that an answer may take when the writer closes."""

T = TypeVar("T")


class PostgresWriter:
    """One owner's (see `protocol.Writer`). Its tails are found in `tails` while they are open."""

    def __init__(
        self, connections: Connections, queries: Queries, lease: Lease, looks: Looks, tails: dict[str, KeptTail]
    ) -> None:
        self._connections = connections
        self._location = connections.server.location
        self._queries = queries
        self._lease = lease
        self._looks = looks
        self._tails = tails
        self._lane = connections.lane()
        self._tail_lane = connections.lane()
        self._keeper = Keeper(self._tail_lane, self._location)
        self._leaving = Together(self._leave)
        self._waiting: list[Flush] = []
        self._bell = Bell()
        self._told: set[tuple[str, int]] = set()
        self._trouble: str | None = None
        self.closing = False
        self._committing = anyio.CancelScope(shield=True)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The tasks that write, for as long as the context lasts."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keeper.run)
                tasks.start_soon(self._lease.run)
                tasks.start_soon(self._commit_groups)
                try:
                    yield
                finally:
                    self._committing.cancel()
                    tasks.cancel_scope.cancel()
        finally:
            for lane in (self._lane, self._tail_lane):
                await self._connections.remove(lane)

    @property
    def trouble(self) -> str | None:
        """Why nothing is written just now."""
        return self._trouble or self._keeper.trouble

    @trouble.setter
    def trouble(self, trouble: str | None) -> None:
        self._trouble = trouble

    @property
    def warning(self) -> str | None:
        """That what is shown is on one disk alone, if it is."""
        return self._lease.warning

    def close(self) -> None:
        """From now on, what is not written at once is given back as StoreBusy instead of waited for."""
        self.closing = True

    def tell(self, text: str) -> None:
        """See `protocol.Writer.tell`."""
        self._lease.tell(text)

    # --- claims

    async def claim(self, id: str, model: str | None = None, place: str | None = None) -> Claim:
        """See `protocol.Writer.claim`."""
        values = {"id": id, "owner": self._lease.id, "model": storable(model), "place": storable(place)}
        found = await self._claimed(id, schema.CLAIM, values, self._connections.change)
        if found:
            return found
        if (state := await self._queries.state(id)).status is Status.PENDING:
            await self._queries.check()
        raise ClaimLost(f"stream {id} is {state.status}, not pending")

    async def reclaim(self, claim: Claim, begin: int, cause: str) -> Claim:
        """See `protocol.Writer.reclaim`. After all appends that were begun."""
        values = self._further([(claim, begin, cause)], self._lease.id)
        found = await self._claimed(claim.id, schema.RECLAIM, values, self._lane.begin)
        if found:
            self._told.discard((claim.id, claim.epoch))
            self._lease.swept[claim.id] = begin
            return found
        raise ClaimLost(f"stream {claim.id} is not this owner's any more")

    async def hand_over(self, claim: Claim, begin: int, cause: str) -> None:
        """See `protocol.Writer.hand_over`. After all appends that were begun."""
        if not await self._leaving.do((claim, begin, cause)):
            raise ClaimLost(f"stream {claim.id} is not this owner's any more")
        self._told.discard((claim.id, claim.epoch))

    async def _leave(self, asked: Sequence[tuple[Claim, int, str]]) -> list[bool]:
        values = self._further(asked, None)
        with anyio.CancelScope(shield=True):
            rows = await self._answered(self._lane.begin(lambda connection: connection.rows(schema.RECLAIM, values)))
        left = {id for id, _, _ in rows}
        return [claim.id in left for claim, _, _ in asked]

    def _further(self, asked: Sequence[tuple[Claim, int, str]], owner: str | None) -> dict[str, Any]:
        """Further attempts, each at a claim's stream from a byte on, for which the one before it ended by a cause."""
        return {
            "id": [claim.id for claim, _, _ in asked],
            "epoch": [claim.epoch for claim, _, _ in asked],
            "begin": [begin for _, begin, _ in asked],
            "cause": [storable(cause) for _, _, cause in asked],
            "next": [owner for _ in asked],
            "owner": self._lease.id,
        }

    async def take(self, handed: HandedOver, model: str | None = None, place: str | None = None) -> Claim:
        """See `protocol.Writer.take`."""
        source = {"model": storable(model), "place": storable(place)}
        values = {"id": handed.id, "nobody": handed.owner, "owner": self._lease.id, **source}
        if found := await self._claimed(handed.id, schema.TAKE, values, self._connections.change):
            return found
        raise ClaimLost(f"stream {handed.id} does not wait any more")

    async def _claimed(self, id: str, sql: str, values: dict[str, Any], begin: Any) -> Claim | None:
        """The claim, if it was given. One whose answer was lost with its connection is looked for.

        Shielded, and waited for however long it takes: a claim must not be forgotten.
        """

        async def work(connection: Connection) -> Sequence[Any]:
            return await connection.rows(sql, values) or (
                await connection.rows(schema.CLAIMED, {"id": id, "owner": values["owner"]}) if answer.tries > 1 else ()
            )

        answer: Answer[Sequence[Any]] = begin(work)
        with anyio.CancelScope(shield=True):
            rows = await self._answered(answer)
        if not rows:
            return None
        *_, epoch, offset = rows[0]
        if (id, epoch) in self._told:
            return None
        self._told.add((id, epoch))
        return Claim(id, epoch, offset)

    async def tail(self, claim: Claim) -> KeptTail:
        """The attempt's tail."""

        def closed() -> None:
            if self._tails.get(claim.id) is made:  # and not a further attempt's
                del self._tails[claim.id]

        made = self._tails[claim.id] = self._keeper.tail(claim, closed)
        self._looks.wake([claim.id])
        return made

    # --- text, and ends

    async def append(self, claim: Claim, start: int, text: str, pieces: int) -> None:
        """See `protocol.Writer.append`."""
        await self._commit(Flush(claim, start, text.encode(), pieces))

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
        """See `protocol.Writer.finish`. What of its tail is on its way comes first, so that nothing stays behind."""
        counts = None if usage is None else _counts(usage)
        end = (status.value, storable(cause), counts, storable(note))
        tail = self._tails.get(claim.id)
        if tail is None or tail.claim != claim:
            return await self._commit(Flush(claim, start, text.encode(), pieces, *end))
        try:
            await self._hold(tail)
            await self._commit(Flush(claim, start, text.encode(), pieces, *end))
        except PtstreamError:
            self._keeper.go_on(tail)
            raise
        return None

    async def _hold(self, tail: KeptTail) -> None:
        """Nothing more of it is kept, and nothing is on its way."""
        while True:
            with anyio.move_on_after(AT_ONCE):
                return await self._keeper.hold(tail)
            if self.closing:
                raise busy(self._location)

    async def report_usage(self, claim: Claim, usage: Mapping[str, Any]) -> None:
        """See `protocol.Writer.report_usage`."""
        sql = "UPDATE attempts SET usage = %s WHERE stream = %s AND epoch = %s"
        values = (_counts(usage), claim.id, claim.epoch)
        with anyio.CancelScope(shield=True):
            await self._answered(self._connections.change(lambda connection: connection.rows(sql, values)))

    async def _commit(self, flush: Flush) -> None:
        self._waiting.append(flush)
        self._bell.ring()
        await flush.decided.wait()
        if flush.error is not None:
            raise flush.error

    async def _commit_groups(self) -> None:
        # Shielded: when its owner is cancelled, the ends of its streams are still to be written.
        with self._committing:
            while True:
                rung = self._bell.next()
                # What was broken off before it was decided is tried again.
                self._waiting = [flush for flush in self._waiting if not flush.decided.is_set()]
                try:
                    if group := group_of(self._waiting):
                        await self._commit_group(group)
                    else:
                        await rung.wait()
                except anyio.get_cancelled_exc_class():
                    # At its end, `asyncio.run` cancels every task once, shielded or not.
                    if self._committing.cancel_called:
                        raise

    async def _commit_group(self, group: list[Flush]) -> None:
        """Whatever happens, nobody waits for ever. One that cannot be written takes no other along."""
        values = values_of(group)

        async def work(connection: Connection) -> set[int]:
            again = any(flush.said for flush in group)  # and may have been taken, before the connection broke
            for flush in group:
                flush.said = True
            taken = {n for (n,) in await connection.rows(schema.FLUSH, values)}
            if again and len(taken) < len(group):
                taken |= {n for (n,) in await connection.rows(schema.FLUSHED, values)}
            return taken

        try:
            taken = await self._answered(self._lane.begin(work, retry_for=float("inf")))
        except StoreBusy as error:
            if self.closing:
                for flush in group:
                    flush.decide(error)
            else:
                await anyio.sleep(AT_ONCE)  # it is tried again
        except Exception as error:  # the database does not take this, or a row of it
            if len(group) == 1:
                group[0].decide(error if isinstance(error, StoreUnusable) else StoreUnusable(str(error)))
            else:
                for flush in group:
                    await self._commit_group([flush])
        else:
            self._decide(group, taken)

    def _decide(self, group: list[Flush], taken: set[int]) -> None:
        for n, flush in enumerate(group):
            if n not in taken:
                flush.decide(ClaimLost(f"stream {flush.claim.id} is not this owner's any more"))
                continue
            tail = self._tails.get(flush.claim.id)
            if tail and tail.claim == flush.claim:
                tail.has_flushed(flush.stop)
            if flush.status is None:
                self._lease.swept[flush.claim.id] = flush.stop
            else:
                self._told.discard((flush.claim.id, flush.claim.epoch))
            flush.decide()
        self._looks.wake(flush.claim.id for flush in group)

    async def _answered(self, answer: Answer[T]) -> T:
        """What comes of it, however long that takes; when the writer closes, not long any more. Raises StoreBusy."""
        begun = anyio.current_time()
        while not answer.done.is_set():
            with anyio.move_on_after(AT_ONCE):
                await answer.done.wait()
                break
            waited = anyio.current_time() - begun
            if self.closing:
                raise busy(self._location)
            if waited > SLOW or answer.trouble:
                self._trouble = answer.trouble or str(busy(self._location))
        self._trouble = None
        return answer.value

    # --- looks

    async def cancelling(self) -> Sequence[tuple[str, bool]]:
        """See `protocol.Writer.cancelling`."""
        return await self._queries.cancelling(self._lease.id)

    async def is_over(self, claim: Claim) -> bool:
        """See `protocol.Writer.is_over`."""
        try:
            state = await self._queries.state(claim.id)
        except StreamNotFound:
            return True
        except PtstreamError:  # that it cannot be read now is not its end
            return False
        return state.status.ended or state.owner != self._lease.id


def _counts(usage: Mapping[str, Any]) -> str:
    return strict_json.dumps(strict_json.finite(usage))
