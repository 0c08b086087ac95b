"""Recovery of a dead owner's stream, which has a tail and no end: whoever meets such a stream gives it one.

Its row is locked first: that waits for a batch of the owner's under way, and refuses all later ones. Then what the
tail has kept becomes a chunk, and the stream has its end; the second of two recoverers finds it. Who cannot write
reports the same end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import anyio

from ptstream.engine.handover import cause_of_death
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import Connections
from ptstream.engine.postgres.liveness import Liveness
from ptstream.engine.postgres.queries import Queries, Standing
from ptstream.engine.postgres.server import Connection
from ptstream.errors import PtstreamError, StreamNotFound
from ptstream.streams import Status, Stream

WRITABLE = 3.0
"""Seconds after which an end that is not written yet is reported as it will be."""

LOCK = f"""
SELECT s.epoch, {schema.CHUNKS_END} FROM streams s WHERE id = %s AND status = 'streaming' AND owner = %s FOR UPDATE
"""

PIECES = """
SELECT start, text FROM pieces WHERE stream = %s AND start + octet_length(text) > %s ORDER BY start
"""

ENDS_OF_CHUNKS = f"SELECT {schema.CHUNKS_END} FROM streams s WHERE id = %s"

CHUNK = "INSERT INTO chunks (stream, start, stop, epoch, text) VALUES (%s, %s, %s, %s, %s)"

END = f"UPDATE streams SET bytes = %s, status = 'error', error = %s, ended_at = {schema.NOW} WHERE id = %s"

ATTEMPT = f"""
UPDATE attempts a SET cause = %s, ended_at = {schema.NOW},
  pieces = coalesce((SELECT max(c.pieces) FROM chunks c WHERE c.stream = a.stream AND c.epoch = a.epoch), 0)
WHERE stream = %s AND epoch = %s
"""

LEFT = """
DELETE FROM pieces p WHERE NOT EXISTS (SELECT FROM streams s WHERE s.id = p.stream AND s.status = 'streaming')
"""

FORGET = """
DELETE FROM owners o WHERE id = ANY(%s)
  AND NOT EXISTS (SELECT FROM streams s WHERE s.owner = o.id AND s.status = 'streaming')
"""


class Recovery:
    """Of the streams of one database."""

    def __init__(self, connections: Connections, queries: Queries, liveness: Liveness) -> None:
        self._connections = connections
        self._queries = queries
        self._liveness = liveness

    async def standing(self, id: str) -> Standing:
        """Where the stream stands; one whose owner is dead is given its end first. Raises StreamNotFound."""
        standing = await self._queries.state(id)
        if standing.status is Status.STREAMING and await self._liveness.dead([standing.owner or ""]):
            return await self.end(id, standing.owner or "")
        return standing

    async def end(self, id: str, owner: str) -> Standing:
        """The stream's end, after the death of this owner: given now, unless somebody was faster.

        Raises StreamNotFound.
        """

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await _end(connection, id, owner)

        answer = self._connections.change(work)
        with anyio.move_on_after(WRITABLE):
            await answer.done.wait()
        if answer.done.is_set():
            with contextlib.suppress(PtstreamError):
                answer.value  # noqa: B018 - raises why it could not be written
        found = await self._queries.state(id)
        if found.status is Status.STREAMING and found.owner == owner:
            return found._replace(status=Status.ERROR, error=cause_of_death(owner, found.size))
        return found

    async def end_all(self, dead: Iterable[str]) -> None:
        """Give all streams of dead owners their ends."""
        dead = set(dead)
        for id, owner in await self._queries.owners() if dead else ():
            if owner in dead:
                with contextlib.suppress(StreamNotFound):  # deleted meanwhile
                    await self.end(id, owner)

    async def all(self) -> None:
        """The same for all owners; then remove what nobody needs any more. For whoever starts or cleans up."""
        owners = {owner for _, owner in await self._queries.owners()} | {*await self._liveness.all()}
        dead = await self._liveness.dead(owners)
        await self.end_all(dead)

        async def sweep(connection: Connection) -> None:
            await connection.rows(LEFT)
            await connection.rows(FORGET, ([*dead],))

        answer = self._connections.change(sweep)
        with anyio.move_on_after(WRITABLE):
            await answer.done.wait()

    async def listed(self, limit: int | None, status: Sequence[Status], since: float | None) -> list[Stream]:
        """Streams, newest first, as a reader finds them."""
        listing = await self._queries.streams(limit=limit, status=status, since=since)
        dead = await self._liveness.dead(listing.owners)
        if not dead:
            return listing.streams
        found: dict[str, Standing] = {}
        for id, owner in await self._queries.owners():
            if owner in dead:
                with contextlib.suppress(StreamNotFound):
                    found[id] = await self.end(id, owner)
        unwritten = {id for id, _ in await self._queries.owners()} & {*found}
        if not unwritten:
            return (await self._queries.streams(limit=limit, status=status, since=since)).streams
        # Ends that could not be written: the table's own column does not know them.
        streams = [_as(stream, found.get(stream.id)) for stream in (await self._queries.streams(since=since)).streams]
        return [stream for stream in streams if not status or stream.status in status][:limit]


def _as(stream: Stream, standing: Standing | None) -> Stream:
    if standing is None:
        return stream
    return stream.replaced(status=standing.status, error=standing.error, note=standing.note, bytes=standing.size)


async def _end(connection: Connection, id: str, owner: str) -> None:
    """In a transaction."""
    locked = await connection.rows(LOCK, (id, owner))
    if not locked:  # somebody was faster, or the owner itself
        return
    epoch = locked[0][0]
    # Anew: what was under way when the lock was asked for is there only now.
    ((chunks,),) = await connection.rows(ENDS_OF_CHUNKS, (id,))
    rest = joined(chunks, await connection.rows(PIECES, (id, chunks)))
    end = chunks + len(rest)
    if rest:
        await connection.rows(CHUNK, (id, chunks, end, epoch, rest))
    cause = cause_of_death(owner, end)
    await connection.rows(END, (end, cause, id))
    await connection.rows(ATTEMPT, (cause, id, epoch))
    await connection.rows("DELETE FROM pieces WHERE stream = %s", (id,))


def joined(offset: int, pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """The text from byte `offset` on, as far as pieces, which come in order, join on: beyond a hole stand chunks."""
    text = b""
    for start, piece in pieces:
        end = offset + len(text)
        if start > end:
            break
        text += piece[end - start :]
    return text
