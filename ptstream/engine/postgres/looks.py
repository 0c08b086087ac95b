"""How all readers of one process look: together, in one statement, which is one snapshot for all of them.

Who looks now is put together with whoever else does. Who waits is asked for by a poll: each 20 ms while text flows,
slower when it is quiet. Once a second the owners of what is read are looked at, too; a dead one's streams get their
ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from ptstream.bell import Bell
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import Connections
from ptstream.engine.postgres.liveness import KNOWN, Liveness
from ptstream.engine.postgres.queries import LASTING, PAGE, Standing
from ptstream.engine.postgres.recovery import Recovery, joined
from ptstream.errors import StreamNotFound
from ptstream.streams import Status, whole

POLL = 0.02
SLOWEST = 0.1
"""Seconds between two polls: while text flows, and when it has been quiet for long."""

LOOK = f"""
SELECT o.n, s.status, CASE s.status WHEN 'streaming' THEN coalesce(e.stop, s.bytes) ELSE s.bytes END,
  s.error, s.note, s.epoch, s.owner, p.starts, p.texts, t.text, ({schema.OURS})
FROM unnest(%(ids)b::text[], %(offsets)b::bigint[], %(lives)b::bool[]) WITH ORDINALITY o (id, off, live, n)
LEFT JOIN LATERAL (SELECT * FROM streams s WHERE s.id = o.id AND {LASTING} LIMIT 1) s ON true
LEFT JOIN LATERAL (
  SELECT c.stop FROM chunks c WHERE c.stream = s.id ORDER BY c.start DESC LIMIT 1
) e ON s.status = 'streaming'
LEFT JOIN LATERAL (
  SELECT array_agg(r.start ORDER BY r.start) AS starts, array_agg(r.text ORDER BY r.start) AS texts FROM pieces r
  WHERE r.stream = s.id AND o.live AND r.start < o.off + {PAGE} AND r.start + octet_length(r.text) > o.off
    AND r.start >= coalesce((SELECT max(q.start) FROM pieces q WHERE q.stream = s.id AND q.start <= o.off), o.off)
) p ON s.status = 'streaming'
LEFT JOIN LATERAL (
  SELECT string_agg(substring(c.text FROM greatest(o.off - c.start, 0)::int + 1
      FOR (o.off + {PAGE} - greatest(o.off, c.start))::int), ''::bytea ORDER BY c.start) AS text
  FROM chunks c
  WHERE c.stream = s.id AND (p.starts IS NULL OR p.starts[1] > o.off) AND c.start < o.off + {PAGE} AND c.stop > o.off
    AND c.start >= coalesce((SELECT max(q.start) FROM chunks q WHERE q.stream = s.id AND q.start <= o.off), 0)
) t ON true
WHERE %(all)s OR s.id IS NULL OR s.status NOT IN ('pending', 'streaming') OR p.starts IS NOT NULL OR e.stop > o.off
"""
"""Where streams stand, and a page of the text from an offset on: pieces that join on there, else chunks.

A piece goes only after its chunk has come, so that no snapshot has a gap. Unless it asks for `all`, only those come of
which there is something to say.
"""

FOREVER = 2**62
"""Beyond any text: who waits there waits for the end."""


class Asked(NamedTuple):
    """A stream, an offset in it, and whether its tail is read, too."""

    id: str
    offset: int
    live: bool


class Look(NamedTuple):
    """What a reader sees: where the stream stands (None: nowhere), and the next page of its text, whole characters."""

    standing: Standing | None
    text: bytes

    @property
    def runs(self) -> bool:
        """Whether an owner is at it."""
        return self.standing is not None and self.standing.status is Status.STREAMING


class _Waiter:
    """Somebody who waits, for one look."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.look: Look | None = None
        self.error: Exception | None = None

    def give(self, look: Look | None, error: Exception | None = None) -> None:
        self.look, self.error = look, error
        self.event.set()


class Looks:
    """All looks of one process."""

    def __init__(self, connections: Connections, liveness: Liveness, recovery: Recovery, tasks: TaskGroup) -> None:
        self._connections = connections
        self._liveness = liveness
        self._recovery = recovery
        self._tasks = tasks
        self._looking: dict[Asked, list[_Waiter]] = {}
        self._waiting: dict[Asked, list[_Waiter]] = {}
        self._asked, self._begun = Bell(), Bell()
        self._running = False

    async def look(self, asked: Asked) -> Look:
        """See now. Raises StoreBusy, StoreUnusable."""
        self._run()
        waiter = _Waiter()
        self._looking.setdefault(asked, []).append(waiter)
        self._asked.ring()
        await waiter.event.wait()
        if waiter.error is not None:
            raise waiter.error
        assert waiter.look is not None
        return waiter.look

    async def wait(self, asked: Asked) -> Look | None:
        """See when there is something, or may be (None), or when the owners have been looked at: within a second."""
        self._run()
        waiter = _Waiter()
        self._waiting.setdefault(asked, []).append(waiter)
        self._begun.ring()
        try:
            await waiter.event.wait()
        finally:
            if waiter in (waiters := self._waiting.get(asked, [])):  # it leaves before there was an answer
                waiters.remove(waiter)
                if not waiters:
                    del self._waiting[asked]
        return waiter.look

    def wake(self, ids: Iterable[str]) -> None:
        """Something has been committed by this very process: whoever waits for these looks at once."""
        ids = set(ids)
        for asked in [asked for asked in self._waiting if asked.id in ids]:
            for waiter in self._waiting.pop(asked):
                waiter.give(None)

    def _run(self) -> None:
        if not self._running:
            self._running = True
            self._tasks.start_soon(self._look_on)
            self._tasks.start_soon(self._poll)

    async def _look_on(self) -> None:
        while True:
            rung = self._asked.next()
            if not self._looking:
                await rung.wait()
            looking, self._looking = self._looking, {}
            await self._answer(looking, everything=True)

    async def _poll(self) -> None:
        pause, checked, polled = POLL, anyio.current_time(), float("-inf")
        while True:
            begun = self._begun.next()
            if not self._waiting:
                await begun.wait()
                pause = POLL
            # From the beginning of one to that of the next; a slow server is left alone for half of that at least.
            await anyio.sleep(max(pause / 2, polled + pause - anyio.current_time()))
            now = polled = anyio.current_time()
            if due := now - checked >= KNOWN:
                checked = now
            if self._waiting:
                new = await self._answer(self._waiting, everything=due)
                pause = POLL if new else min(1.1 * pause, SLOWEST)

    async def _answer(self, askers: dict[Asked, list[_Waiter]], *, everything: bool) -> bool:
        """Give them what there is to see, and take those out to whom it was given; whether there was anything new."""
        if not askers:
            return False
        new = False
        try:
            found = await self._seen([*askers], everything=everything)
        except Exception as error:
            for asked in [*askers]:
                for waiter in askers.pop(asked):
                    waiter.give(None, error)
            return False
        for asked, look in found.items():
            standing = look.standing
            nothing = not look.text and standing is not None and not standing.status.ended
            new = new or not nothing
            for waiter in askers.pop(asked, ()):
                waiter.give(look)
        return new

    async def _seen(self, asked: list[Asked], *, everything: bool) -> dict[Asked, Look]:
        found = await self._rows(asked, everything=everything)
        running = {each: look.standing.owner or "" for each, look in found.items() if look.runs and look.standing}
        dead = await self._liveness.dead_by_now(running.values()) if running else set()
        for each, owner in running.items():
            if owner in dead:
                found[each] = await self._ended(each, owner)
        return found

    async def _ended(self, asked: Asked, owner: str) -> Look:
        """After the death of its owner."""
        try:
            standing = await self._recovery.end(asked.id, owner)
        except StreamNotFound:
            return Look(None, b"")
        # Where the end could not be written, the rest of the text is still in pieces.
        (look,) = (await self._rows([asked._replace(live=True)], everything=True)).values()
        return Look(standing._replace(bytes=max(standing.bytes, standing.size)), look.text)

    async def _rows(self, asked: list[Asked], *, everything: bool) -> dict[Asked, Look]:
        values = {
            "ids": [each.id for each in asked],
            "offsets": [min(each.offset, FOREVER) for each in asked],
            "lives": [each.live for each in asked],
            "all": everything,
        }
        found = {}
        for row in await self._connections.rows(LOOK, values):
            n, status, size, error, note, epoch, owner, starts, texts, text, version = row
            schema.check_unmigrated(version, self._connections.server.location)
            each = asked[n - 1]
            if status is None:
                found[each] = Look(None, b"")
                continue
            data = joined(each.offset, zip(starts, texts, strict=True)) if starts else b""
            data = (data or bytes(text or b""))[:PAGE]
            standing = Standing(
                Status(status), size, max(size, each.offset + len(data) if data else 0), error, note, epoch, owner
            )
            found[each] = Look(standing, data[: whole(data)])
        return found
