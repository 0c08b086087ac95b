"""What anybody may change: make a stream, fill it, mark it as cancelled, remove it.

Each is one statement, or two that may be said again. What an owner does to its own stream is `writer.py`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from ptstream.engine.handover import AFTER_NOBODY, NOBODY
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import RECONNECT_FOR, Connections, Work, busy
from ptstream.engine.postgres.queries import Queries, whole_stream
from ptstream.engine.requests import (
    check_fits,
    check_one_generator,
    check_same,
    checked,
    columns_of,
    opening_of,
    prompts_of,
)
from ptstream.engine.rows import STREAM_COLUMNS, storable
from ptstream.errors import NotFinished, StreamNotFound
from ptstream.ids import new_id
from ptstream.names import as_name
from ptstream.streams import GenerationRequest, Parent, Status, Stream, merged

DELETED = -1.0
"""The time to live of a stream that is to be deleted as soon as it has ended: from its end on, no reader finds it."""

AT_ONCE = 0.5
"""Seconds that a mark may take before it is asked otherwise."""

EXPIRED = 1000
"""Streams that are deleted in one statement."""

REST = """, c AS (DELETE FROM chunks USING gone WHERE chunks.stream = gone.id),
  a AS (DELETE FROM attempts USING gone WHERE attempts.stream = gone.id),
  t AS (DELETE FROM pieces USING gone WHERE pieces.stream = gone.id),
  p AS (DELETE FROM prompts USING gone WHERE prompts.seq = gone.seq)
"""
"""What goes with the streams that are `gone`."""

DELETE = (
    "WITH gone AS (DELETE FROM streams WHERE id = %s AND status <> 'streaming' RETURNING id, seq)"
    f"{REST} SELECT id FROM gone"
)

EXPIRE = (
    "WITH gone AS (DELETE FROM streams WHERE seq IN ("
    f"SELECT seq FROM streams WHERE ended_at + ttl < {schema.NOW} AND ttl IS NOT NULL AND status <> 'streaming'"
    f" LIMIT {EXPIRED} FOR UPDATE SKIP LOCKED) RETURNING id, seq)"
    f"{REST} SELECT count(*) FROM gone"
)

BEGIN = """
WITH begun AS (
  UPDATE streams SET seam = %(size)s, bytes = %(size)s, parent_offset = %(size)s
  WHERE id = %(id)s AND status = 'pending' AND seam IS NULL RETURNING id
)
INSERT INTO chunks (stream, start, stop, epoch, text) SELECT id, 0, %(size)s, 0, %(text)s FROM begun WHERE %(size)s > 0
"""

MADE = f"""
WITH made AS (INSERT INTO streams ({{}}) VALUES ({{}}) ON CONFLICT DO NOTHING RETURNING *),
  p AS (INSERT INTO prompts (seq, prompt, system) SELECT seq, %(the_prompt)s, %(the_system)s FROM made)
SELECT {STREAM_COLUMNS.replace("prompt, system", "%(the_prompt)s::bytea, %(the_system)s::bytea")} FROM made
"""
"""A new stream; no row if there is one of that name, or it has been made before the connection broke."""

THERE = f"SELECT {STREAM_COLUMNS} FROM streams LEFT JOIN prompts USING (seq) WHERE id = %(id)s OR name = %(name)s"

NOBODYS = f"coalesce(owner >= '{NOBODY}' AND owner < '{AFTER_NOBODY}', false)"

CANCEL = f"""
WITH cancelled AS (
UPDATE streams SET cancel_at = coalesce(cancel_at, {schema.NOW}),
  drain = coalesce(drain, %(drain)s) AND %(drain)s,
  ttl = CASE WHEN %(delete)s THEN {DELETED} ELSE ttl END,
  status = CASE WHEN status = 'pending' OR {NOBODYS} THEN 'cancelled' ELSE status END,
  error = CASE WHEN {NOBODYS} THEN 'cancelled at byte ' || bytes ELSE error END,
  ended_at = CASE WHEN status = 'pending' OR {NOBODYS} THEN {schema.NOW} ELSE ended_at END
WHERE id = %(id)s AND status IN ('pending', 'streaming')
RETURNING id, epoch, status, error, ended_at
)
UPDATE attempts a SET cause = c.error, ended_at = c.ended_at FROM cancelled c
  WHERE c.status = 'cancelled' AND a.stream = c.id AND a.epoch = c.epoch
"""
"""A stream that waits to be taken has ended at once, as a pending one."""


class Changes:
    """Changing one database."""

    def __init__(self, connections: Connections, queries: Queries) -> None:
        self._connections = connections
        self._queries = queries

    async def create(
        self,
        request: GenerationRequest,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: Parent | None = None,
        ttl: float | None = None,
    ) -> Stream:
        """See `protocol.Engine.create`."""
        name = name if name is None else as_name(name)
        check_one_generator(request)
        id = new_id()
        values: dict[str, Any] = {
            "id": id,
            "name": name,
            "title": checked(title, "title"),
            "parent": parent and parent.id,
            "parent_offset": parent and parent.offset,
            "seam": None if parent and parent.continued else 0,
            "ttl": ttl,
            "opening": storable(opening_of(request)),
            **columns_of(request),
        }
        marks = ", ".join(f"%({column})s" for column in values)
        prompts = {key: text if text is None else text.encode() for key, text in prompts_of(request).items()}
        insert = MADE.format(", ".join(values), marks)

        async def work(connection: Any) -> Any:
            while True:  # whose name it was may just have been deleted
                made = await connection.rows(insert, values | {f"the_{key}": text for key, text in prompts.items()})
                if found := made or await connection.rows(THERE, {"id": id, "name": name}):
                    return found[0]

        stream = whole_stream(await self._changed(work))
        return stream if stream.id == id else check_same(stream, request, name)

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        """See `protocol.Engine.fill`."""
        found = await self._queries.get(id)
        check_fits(found, request)
        if request == GenerationRequest() or found.status is not Status.PENDING:
            return found
        check_one_generator(merged(found.request, request))
        columns = columns_of(request) | {"opening": storable(opening_of(request))}
        prompts = {key: text if text is None else text.encode() for key, text in prompts_of(request).items()}

        def filled(names: Any) -> str:
            return ", ".join(f"{name} = coalesce({name}, %({name})s)" for name in names)

        sql = (
            f"WITH filled AS (UPDATE streams SET {filled(columns)} WHERE id = %(id)s AND status = 'pending'"
            f" RETURNING seq) UPDATE prompts SET {filled(prompts)} WHERE seq IN (SELECT seq FROM filled)"
        )
        await self._changed(lambda connection: connection.rows(sql, {"id": id, **columns, **prompts}))
        return await self._queries.get(id)

    async def begin(self, id: str, text: str) -> None:
        """See `protocol.Engine.begin`."""
        data = text.encode()
        values = {"id": id, "size": len(data), "text": data}
        await self._changed(lambda connection: connection.rows(BEGIN, values))

    async def cancel(
        self, id: str, *, drain: bool, delete: bool, otherwise: Callable[[], Awaitable[object]] | None
    ) -> None:
        """Mark it, or end it; see `protocol.Engine.cancel`. Raises StreamNotFound."""
        state = await self._queries.state(id)
        if not state.status.ended:
            values = {"id": id, "drain": drain, "delete": delete}
            await self._changed(lambda connection: connection.rows(CANCEL, values), otherwise)
        elif not drain and await self._queries.drains(id):
            sql = "UPDATE streams SET drain = false WHERE id = %s"
            await self._changed(lambda connection: connection.rows(sql, (id,)), otherwise)

    async def delete(self, id: str) -> None:
        """Remove an ended or pending stream and its text. Raises NotFinished, StreamNotFound."""
        answer = self._connections.change(lambda connection: connection.rows(DELETE, (id,)))
        await answer.done.wait()
        if answer.value or answer.tries > 1:
            return
        if await self._connections.rows("SELECT 1 FROM streams WHERE id = %s", (id,)):
            raise NotFinished(f"stream {id} is streaming")
        raise StreamNotFound(f"no stream {id}")

    async def delete_expired(self) -> int:
        """Delete the streams whose time to live is over; how many."""
        count = EXPIRED
        total = 0
        while count == EXPIRED:
            ((count,),) = await self._changed(lambda connection: connection.rows(EXPIRE))
            total += count
        return total

    async def _changed(self, work: Work[Any], otherwise: Callable[[], Awaitable[object]] | None = None) -> Any:
        """What comes of it. Raises StoreBusy when nothing does."""
        answer = self._connections.change(work)
        if otherwise is not None:
            with anyio.move_on_after(AT_ONCE):
                await answer.done.wait()
            if not answer.done.is_set():
                await otherwise()
        with anyio.move_on_after(RECONNECT_FOR):
            await answer.done.wait()
        if not answer.done.is_set():
            raise busy(self._connections.server.location)
        return answer.value
