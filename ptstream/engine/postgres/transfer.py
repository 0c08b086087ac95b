"""Streams on their way out of a database and into it, for a copy of them; see `engine/transfer.py`.

Chunks whose stream has no row are seen by no reader: so they are staged where they will stay. One copy at a time comes
in, by a lock of the server's, on the connection that writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from ptstream.engine.copied_rows import columns_of_attempts, columns_of_record
from ptstream.engine.postgres.connections import Connections
from ptstream.engine.postgres.queries import EACH, LASTING, WHOLE, whole_stream
from ptstream.engine.postgres.server import Connection
from ptstream.engine.requests import prompts_of
from ptstream.engine.rows import ATTEMPT_COLUMNS, attempt_of, storable
from ptstream.engine.transfer import Chunk, Entry, Record, Runs
from ptstream.errors import StoreBusy
from ptstream.streams import Attempt, Status

PAGE = 1024 * 1024
MOST = 4096
"""Bytes of text on a page, about, and chunks, at most."""

IDENTITY = """
SELECT date_part('epoch', pg_postmaster_start_time())::text, d.oid::text, current_schema()::text
FROM pg_database d WHERE d.datname = current_database()
"""
"""To the microsecond, which no two servers share; a copy of all of a server's files has its other numbers, too."""

ENTRIES = f"""
SELECT s.seq, s.id, s.status,
  s.bytes + coalesce(octet_length(p.prompt), 0) + coalesce(octet_length(p.system), 0), s.ended_at, s.parent
FROM streams s LEFT JOIN prompts p USING (seq) WHERE s.seq > %s AND {LASTING} ORDER BY s.seq LIMIT 1000
"""

RECORDS = f"""
SELECT s.ttl, {WHOLE} {EACH} (SELECT * FROM streams s WHERE s.id = key AND {LASTING} LIMIT 1) s
LEFT JOIN LATERAL (SELECT prompt, system FROM prompts p WHERE p.seq = s.seq LIMIT 1) p ON true
"""

ATTEMPTS = (
    f"SELECT key, a.* {EACH} (SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE stream = key ORDER BY epoch OFFSET 0) a"
)

PUBLISHED = f"SELECT s.id {EACH} (SELECT id FROM streams WHERE id = key LIMIT 1) s"

HOLDERS = f"SELECT key, s.id {EACH} (SELECT id FROM streams WHERE name = key LIMIT 1) s"

CHUNKS = f"""
SELECT n, stream, start, epoch, at, text FROM (
  SELECT n, c.*, sum(stop - c.start) OVER (ORDER BY n, c.start) - (stop - c.start) AS before
  FROM unnest(%(ids)s::text[], %(starts)s::bigint[]) WITH ORDINALITY o (id, start, n)
  CROSS JOIN LATERAL (
    SELECT stream, start, stop, epoch, at, text FROM chunks
    WHERE stream = o.id AND start >= o.start AND start < o.start + {PAGE} ORDER BY start LIMIT {MOST}
  ) c
  ORDER BY n, c.start LIMIT {MOST}
) page WHERE before < {PAGE} ORDER BY n, start
"""
"""A page of bounded size. A large text lies apart (TOAST), and is read only if its chunk is on the page."""

KEY = "hashtextextended('ptstream copy ' || current_schema(), 0)"

STAGED = """
WITH RECURSIVE staged (stream) AS (
  SELECT min(stream) FROM chunks
  UNION ALL SELECT (SELECT min(c.stream) FROM chunks c WHERE c.stream > staged.stream) FROM staged
    WHERE stream IS NOT NULL
)
SELECT stream FROM staged WHERE stream IS NOT NULL AND NOT EXISTS (SELECT FROM streams s WHERE s.id = staged.stream)
"""
"""The streams that have chunks and no row, each found by one look into the index."""

STAGE = """
INSERT INTO chunks (stream, start, stop, epoch, at, text)
  SELECT * FROM unnest(%(id)b::text[], %(start)b::bigint[], %(stop)b::bigint[], %(epoch)b::int[],
    %(at)b::double precision[], %(text)b::bytea[])
  ON CONFLICT DO NOTHING
"""

FORGET = "DELETE FROM chunks WHERE stream = ANY(%s) AND NOT EXISTS (SELECT FROM streams s WHERE s.id = chunks.stream)"

STREAM_TYPES = {
    "id": "text", "bytes": "bigint", "created_at": "double precision", "ended_at": "double precision",
    "parent": "text", "parent_offset": "bigint", "seam": "bigint", "name": "text", "title": "text", "error": "text",
    "note": "text", "opening": "text", "model": "text", "command": "text", "generator": "text", "flush": "text",
    "options": "text", "status": "text", "epoch": "int", "ttl": "double precision",
}  # fmt: skip

ATTEMPT_TYPES = {
    "stream": "text", "epoch": "int", "owner": "text", "begin_offset": "bigint", "started_at": "double precision",
    "ended_at": "double precision", "pieces": "bigint", "cause": "text", "usage": "text", "model": "text",
    "place": "text",
}  # fmt: skip


def _unnested(types: Mapping[str, str], prefix: str = "") -> str:
    return ", ".join(f"%({prefix}{column})b::{kind}[]" for column, kind in types.items())


PUBLISH = f"""
WITH v AS (
  SELECT * FROM unnest({_unnested(STREAM_TYPES)}, %(prompt)b::bytea[], %(system)b::bytea[]) WITH ORDINALITY
    v ({", ".join(STREAM_TYPES)}, prompt, system, n)
), made AS (
  INSERT INTO streams ({", ".join(STREAM_TYPES)}) SELECT {", ".join(STREAM_TYPES)} FROM v ORDER BY n
  ON CONFLICT DO NOTHING RETURNING id, seq
), asked AS (
  INSERT INTO prompts (seq, prompt, system) SELECT seq, prompt, system FROM made JOIN v USING (id)
)
INSERT INTO attempts ({", ".join(ATTEMPT_TYPES)})
  SELECT a.* FROM unnest({_unnested(ATTEMPT_TYPES, "a_")}) a ({", ".join(ATTEMPT_TYPES)})
  JOIN made ON made.id = a.stream
"""


USAGE = """
UPDATE attempts a SET usage = v.usage
FROM unnest(%(stream)b::text[], %(epoch)b::int[], %(usage)b::text[]) v (stream, epoch, usage)
WHERE a.stream = v.stream AND a.epoch = v.epoch
"""


class PostgresArchive:
    """Reading a database, page by page."""

    def __init__(self, connections: Connections) -> None:
        self._rows = connections.rows

    async def identity(self) -> str:
        """See `transfer.Archive`. A replica is another place: it lags behind."""
        return ":".join((await self._rows(IDENTITY))[0])

    async def entries(self, after: int = 0) -> list[Entry]:
        """See `transfer.Archive`."""
        rows = await self._rows(ENTRIES, (after,))
        return [Entry(seq, id, Status(status), *rest) for seq, id, status, *rest in rows]

    async def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """See `transfer.Archive`."""
        rows = await self._rows(RECORDS, ([*ids],))
        streams = [(whole_stream(row), ttl) for ttl, *row in rows]
        attempts: dict[str, list[Attempt]] = {}
        for id, *row in await self._rows(ATTEMPTS, ([*ids],)):
            attempts.setdefault(id, []).append(attempt_of(*row))
        found = {stream.id: Record(stream, ttl, attempts.get(stream.id, [])) for stream, ttl in streams}
        return {id: found[id] for id in ids if id in found}

    async def chunks(self, ids: Sequence[str]) -> AsyncGenerator[Runs, None]:
        """See `transfer.Archive`."""
        left, start = [*ids], 0
        while left and (rows := await self._rows(CHUNKS, {"ids": left, "starts": [start] + [0] * (len(left) - 1)})):
            page = [(id, Chunk(start, epoch, at, bytes(text))) for _, id, start, epoch, at, text in rows]
            yield page
            left, start = left[rows[-1][0] - 1 :], page[-1][1].stop


class PostgresIntake:
    """The way in; see `transfer.Intake`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lane = connections.lane(first=self._hold)
        self._held = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """For as long as the context lasts. Raises StoreBusy, ConfigurationError."""
        try:
            await self.discard([id for (id,) in await self._rows(STAGED)])
            yield
        finally:
            await self._connections.remove(self._lane)

    async def _hold(self, connection: Connection) -> None:
        """On each new connection. What holds it after one that broke is that one: it will be gone."""
        if self._held:
            await connection.rows(f"SELECT pg_advisory_lock({KEY})")
            return
        ((self._held,),) = await connection.rows(f"SELECT pg_try_advisory_lock({KEY})")
        if not self._held:
            location = self._connections.server.location
            raise StoreBusy(f"another copy into {location} is under way: wait for its end")

    async def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `transfer.Intake`."""
        return dict(await self._rows(HOLDERS, ([*names],)))

    async def stage(self, runs: Runs) -> None:
        """See `transfer.Intake`."""
        values = {
            "id": [id for id, _ in runs],
            **{name: [getattr(each, name) for _, each in runs] for name in ("start", "stop", "epoch", "at", "text")},
        }
        await self._rows(STAGE, values)

    async def publish(self, records: Sequence[Record]) -> set[str]:
        """See `transfer.Intake`. Said twice, where its answer was lost with the connection, it does nothing more."""
        rows = [columns_of_record(record) for record in records]
        attempts = columns_of_attempts(records)
        prompts = [prompts_of(record.stream.request) for record in records]
        values: dict[str, list[Any]] = {
            **{column: [_kept(row[column]) for row in rows] for column in STREAM_TYPES},
            **{f"a_{column}": [_kept(row[column]) for row in attempts] for column in ATTEMPT_TYPES},
            **{key: [_bytes(each[key]) for each in prompts] for key in ("prompt", "system")},
        }
        await self._rows(PUBLISH, values)
        ids = [row["id"] for row in rows]
        return {id for (id,) in await self._rows(PUBLISHED, (ids,))}

    async def set_usage(self, records: Sequence[Record]) -> None:
        """See `transfer.Intake`."""
        attempts = columns_of_attempts(records)
        await self._rows(USAGE, {column: [row[column] for row in attempts] for column in ("stream", "epoch", "usage")})

    async def discard(self, ids: Sequence[str]) -> None:
        """See `transfer.Intake`."""
        if ids:
            await self._rows(FORGET, ([*ids],))

    async def _rows(self, sql: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[Any]:
        return await self._lane.do(lambda connection: connection.rows(sql, values))


def _kept(value: Any) -> Any:
    """What has NUL in it comes from an engine whose text can have it."""
    return storable(value) if isinstance(value, str) else value


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
