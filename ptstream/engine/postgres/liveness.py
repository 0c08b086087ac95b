"""Who lives: an owner holds an advisory lock of the server, on a connection of its own, for as long as it lives.

The server frees it when the process ends (in milliseconds), and some 6 s after its machine is gone. No lock outlives
the server, though: after a crash or a failover all owners seem dead for a moment. So a row says under which of the
server's lives an owner took its lock; under another one it is given 10 s to come back. Within a life, too, a
connection may break while its owner lives (a pooler, an administrator): who finds a lock free looks a second time.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

import anyio
import psycopg

from ptstream.engine.handover import NOBODY
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import Connections, Lane
from ptstream.engine.postgres.server import Connection
from ptstream.engine.roll_call import Told

GRACE = 10.0
"""Seconds that an owner has, after its server began a new life, to take its lock again."""

RETURN = 0.5
"""The same, within one life of the server: its connection alone may have broken."""

KNOWN = 1.0
"""Seconds for which an owner that lived is taken to live."""

BEAT = 3.0
"""Seconds between two signs of life."""

SWEEPS = 0.1
"""Seconds between two sweeps of pieces that are in chunks."""

LIFE = "greatest(pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time())"
"""When the server began this life: its statistics begin anew when it recovers from a crash, its start time stays."""

KEY = "hashtextextended('ptstream owner ' || {}, 0)"

LOCK = f"SELECT pg_advisory_lock({KEY.format('%s::text')})"

REGISTER = (
    f"INSERT INTO owners (id, server, beat, told, told_at) VALUES (%s, {LIFE}, 1, %s, {schema.NOW})"
    " ON CONFLICT (id) DO UPDATE SET server = excluded.server, beat = owners.beat + 1,"
    " told = excluded.told, told_at = excluded.told_at"
)

RELEASE = f"WITH gone AS (DELETE FROM owners WHERE id = %s) SELECT pg_advisory_unlock({KEY.format('%s::text')})"

SIGHT = f"""
SELECT o.id, w.server = {LIFE}, w.beat, CASE WHEN pg_is_in_recovery() THEN true
  WHEN o.id LIKE '{NOBODY}%%' THEN {schema.NOW} < {schema.WAITS_UNTIL.format("o.id")}
  WHEN pg_try_advisory_lock_shared({KEY.format("o.id")}) THEN NOT pg_advisory_unlock_shared({KEY.format("o.id")})
  ELSE true END
FROM unnest(%s::text[]) o (id) LEFT JOIN owners w ON w.id = o.id
"""
"""Of each owner: whether its row was written in this life of the server, its beat, and whether its lock is held.

Nobody's is as good as held for as long as the stream waits to be taken. A standby has no locks: who lives is not to be
seen there.
"""

ALL = "SELECT id FROM owners UNION SELECT owner FROM streams WHERE status = 'streaming'"

TOLD = f"SELECT id, told, {schema.NOW} - told_at FROM owners WHERE told IS NOT NULL"

STANDBYS = "SELECT current_setting('synchronous_standby_names')"

UNSAFE = (
    "no synchronous standby is configured at {}: what is shown is on one disk alone (set synchronous_standby_names, or"
    " have your provider do so)"
)


class _Looked(NamedTuple):
    """What a look at owners showed: who is dead, and who may have lost their connection alone."""

    dead: set[str]
    doubtful: set[str]


class _Seen(NamedTuple):
    beat: int | None
    at: float


class Liveness:
    """Who of the owners lives, as far as this process has seen."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._mine: set[str] = set()
        self._lived: dict[str, float] = {}
        self._doubtful: dict[str, _Seen] = {}

    def is_mine(self, owner: str, *, mine: bool) -> None:
        """An owner of this very process: it lives, whoever holds what."""
        (self._mine.add if mine else self._mine.discard)(owner)

    async def dead(self, owners: Iterable[str]) -> set[str]:
        """Which of them are dead. Waits for those that may have lost their connection alone."""
        dead, doubtful = await self._look(owners)
        if doubtful:
            await anyio.sleep(RETURN)
            dead |= (await self._look(doubtful)).dead
        return dead

    async def dead_by_now(self, owners: Iterable[str]) -> set[str]:
        """The same at once: of those in doubt a later look tells. One that lived lately is taken to live."""
        now = anyio.current_time()
        return (await self._look(owner for owner in owners if now - self._lived.get(owner, -KNOWN) >= KNOWN)).dead

    async def _look(self, owners: Iterable[str]) -> _Looked:
        asked = {owner for owner in owners if owner not in self._mine}
        if not asked:
            return _Looked(set(), set())
        rows = await self._connections.rows(SIGHT, ([*asked],))
        now = anyio.current_time()
        self._lived = {owner: at for owner, at in self._lived.items() if now - at < KNOWN}
        looked = _Looked(set(), set())
        for owner, this_life, beat, held in rows:
            if held:
                self._lived[owner] = now
                self._doubtful.pop(owner, None)
            elif self._in_doubt(owner, beat, RETURN if this_life else GRACE):
                looked.doubtful.update([owner] if this_life else ())
            else:
                looked.dead.add(owner)
        return looked

    def _in_doubt(self, owner: str, beat: int | None, seconds: float) -> bool:
        """Whether an owner that does not hold its lock has not had so many seconds to take it again."""
        self._lived.pop(owner, None)
        if beat is None:  # it has let go
            return False
        now = anyio.current_time()
        seen = self._doubtful.get(owner)
        if seen is None or seen.beat != beat:
            seen = self._doubtful[owner] = _Seen(beat, now)
        return now - seen.at < seconds

    async def told(self) -> list[Told]:
        """What living owners have told."""
        rows = await self._connections.rows(TOLD)
        dead = await self.dead(id for id, _, _ in rows)
        return [Told(text, heard) for id, text, heard in rows if id not in dead]

    async def all(self) -> list[str]:
        """All owners that are known of."""
        return [owner for (owner,) in await self._connections.rows(ALL) if owner]


async def living(connection: Connection) -> list[str | None]:
    """Of each owner whose lock is held, what it has told of itself."""
    told = {id: text for id, text in await connection.rows("SELECT id, told FROM owners")}
    return [told[id] for id, _, _, held in await connection.rows(SIGHT, ([*told],)) if held]


class Lease:
    """This process's lease: proof that it lives, until it is released, or the process dies.

    On the same connection goes what need not be on any disk: beats, and the sweep of flushed pieces.
    """

    def __init__(self, connections: Connections) -> None:
        self.id = os.urandom(8).hex()
        self._connections = connections
        # Not waiting for a disk; a later commit of this owner's, which does, brings these there, too.
        self._lane: Lane = connections.lane({"synchronous_commit": "off"}, self._hold)
        self.warning: str | None = None
        self._told: str | None = None
        self._news = False
        self.swept: dict[str, int] = {}
        """What the next sweep is to do: of streams, how far they are in chunks."""
        self._connection: Connection | None = None
        _void_in_children(self)

    async def take(self) -> None:
        """Take it. Raises StoreUnusable."""
        await self._lane.do(self._look)

    async def _hold(self, connection: Connection) -> None:
        """On each new connection: first the lock, then the row that says it is held in this life of the server."""
        self._connection = connection
        await connection.rows(LOCK, (self.id,))
        await self._register(connection)

    async def _register(self, connection: Connection) -> None:
        await connection.rows(REGISTER, (self.id, self._told))

    def tell(self, text: str) -> None:
        """See `protocol.Writer.tell`: with the next sign of life, soon."""
        self._news = self._news or self._told is None  # of what was told before, the next beat is soon enough
        self._told = text

    async def _look(self, connection: Connection) -> None:
        ((names,),) = await connection.rows(STANDBYS)
        self.warning = None if names else UNSAFE.format(self._connections.server.location)

    async def run(self) -> None:
        """Give signs of life, and sweep."""
        beaten = anyio.current_time()
        while True:
            await anyio.sleep(SWEEPS)
            if self._lost():  # at once: others look whether the lock is held
                await self._try(self._look)
            if self.swept:
                swept, self.swept = self.swept, {}
                values = {"id": [*swept], "stop": [*swept.values()]}
                await self._try(lambda connection, values=values: connection.rows(schema.SWEEP, values))
            if self._news or anyio.current_time() - beaten >= BEAT:
                beaten, self._news = anyio.current_time(), False
                await self._try(self._register)
                await self._try(self._look)

    def _lost(self) -> bool:
        """Whether the connection has been ended by the other side, which else shows only at the next statement."""
        if self._connection is None or self._connection.closed:
            return True
        try:
            self._connection.pgconn.consume_input()
        except psycopg.Error:
            return True
        return False

    async def _try(self, work: Any) -> None:
        answer = self._lane.begin(work, retry_for=float("inf"))
        await answer.done.wait()  # what it says against is said by the next write as well

    def void(self) -> None:
        """Close the socket alone, as a forked child must."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            os.close(connection.pgconn.socket)

    async def release(self) -> None:
        """Give it up: whatever is still `streaming` under this name is now for others to recover."""
        with anyio.move_on_after(1, shield=True):
            answer = self._lane.begin(lambda connection: connection.rows(RELEASE, (self.id, self.id)), retry_for=0)
            await answer.done.wait()
        with anyio.CancelScope(shield=True):
            await self._connections.remove(self._lane)


def _void_in_children(lease: Lease) -> None:
    """A forked child has the socket, too, and would keep the lock: it closes its copy."""
    reference = weakref.ref(lease)

    def in_child() -> None:
        held = reference()
        if held is not None:
            held.void()

    os.register_at_fork(after_in_child=in_child)
