"""The database as it lies on the server: its tables, their version, and the statements that claim and append.

The tables lie in the schema that is first in the session's `search_path`, whatever its name is. While text flows, rows
are only inserted: a row that is updated over and over is slow for everybody as soon as somebody holds a snapshot
(`pg_dump`, a forgotten BEGIN). So a stream's `bytes` changes at its claim and its end; while it is `streaming`, its
chunks end where the last of them does.

Times are Unix seconds of the server's clock, the only one that all machines share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptstream.engine.handover import AFTER_NOBODY, NOBODY, WAITS
from ptstream.errors import StoreNewer, StoreUnusable

if TYPE_CHECKING:
    from ptstream.engine.postgres.server import Connection

VERSION = 2
APPLICATION = "ptstream"

NOW = "date_part('epoch', clock_timestamp())"

WAITS_UNTIL = f"(substr({{}}, {len(NOBODY) + 1})::double precision + {WAITS})"

TABLES = (
    f"""CREATE TABLE streams (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, name text UNIQUE,
  title text, status text NOT NULL DEFAULT 'pending', bytes bigint NOT NULL DEFAULT 0,
  epoch integer NOT NULL DEFAULT 0, owner text COLLATE "C",
  error text, note text, created_at double precision NOT NULL DEFAULT {NOW}, ended_at double precision,
  cancel_at double precision, drain boolean,
  model text, command text, generator text, flush text, options text,
  parent text, parent_offset bigint, seam bigint DEFAULT 0, ttl double precision, opening text
) WITH (fillfactor = 80)""",
    "CREATE INDEX expiring ON streams ((ended_at + ttl)) WHERE ttl IS NOT NULL",
    "CREATE INDEX streaming ON streams (owner) WHERE status = 'streaming'",
    "CREATE INDEX cancelling ON streams (owner) WHERE status = 'streaming' AND cancel_at IS NOT NULL",
    # Bytes: a prompt may hold NUL, which PostgreSQL's text cannot.
    "CREATE TABLE prompts (seq bigint PRIMARY KEY, prompt bytea, system bytea)",
    f"""CREATE TABLE attempts (
  stream text COLLATE "C" NOT NULL, epoch integer NOT NULL, owner text NOT NULL, begin_offset bigint NOT NULL,
  started_at double precision NOT NULL DEFAULT {NOW}, ended_at double precision, pieces bigint NOT NULL DEFAULT 0,
  cause text, usage text, model text, place text,
  PRIMARY KEY (stream, epoch)
)""",
    # `pieces`: how many the attempt had been given when this was cut.
    f"""CREATE TABLE chunks (
  stream text COLLATE "C" NOT NULL, start bigint NOT NULL, stop bigint NOT NULL, epoch integer NOT NULL,
  at double precision NOT NULL DEFAULT {NOW}, pieces bigint NOT NULL DEFAULT 0, text bytea NOT NULL,
  PRIMARY KEY (stream, start)
)""",
    # The tails: what is kept and in no chunk yet, and for some 100 ms what is in one.
    """CREATE TABLE pieces (
  stream text COLLATE "C" NOT NULL, start bigint NOT NULL, epoch integer NOT NULL, text bytea NOT NULL,
  PRIMARY KEY (stream, start)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)""",
    # Of each owner: under which server's life it took its lock, and a number that grows while it lives.
    # A daemon tells what others are to know of it, too.
    """CREATE TABLE owners (
  id text PRIMARY KEY, server timestamptz NOT NULL, beat bigint NOT NULL, told text, told_at double precision
)""",
    "CREATE TABLE meta (application text PRIMARY KEY, version integer NOT NULL)",
    f"INSERT INTO meta VALUES ('{APPLICATION}', {VERSION})",
)

STEPS: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE streams ADD COLUMN options text",),
}
"""Version N → the statements that make of its tables those of N + 1. What TABLES says anew stands here, too."""

FOUND = """
SELECT current_schema(), to_regclass(quote_ident(current_schema()) || '.meta') IS NOT NULL,
  ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND relname IN ('streams', 'prompts', 'attempts', 'chunks', 'pieces', 'owners', 'meta')
    AND relkind IN ('r', 'v', 'p')),
  current_setting('search_path'), current_user
"""

OURS = f"SELECT version FROM meta WHERE application = '{APPLICATION}'"


def ddl(found: int = 0) -> str:
    """The SQL that makes the tables, or those of version `found` into this version's: for an administrator to run."""
    return "".join(f"{statement};\n" for statement in ("BEGIN", *statements(found), "COMMIT"))


def statements(found: int) -> tuple[str, ...]:
    """The same, one by one."""
    if found == 0:
        return TABLES
    steps = [statement for version in range(found, VERSION) for statement in STEPS[version]]
    return (*steps, f"UPDATE meta SET version = {VERSION} WHERE application = '{APPLICATION}'")


async def version(connection: Connection, location: str) -> int:
    """The version of the tables in the database, 0 if there are none.

    Raises StoreUnusable for tables that are somebody else's, StoreNewer for those of a newer ptstream.
    """
    ((place, ours, tables, path, _),) = await connection.rows(FOUND)
    if place is None:
        raise StoreUnusable(
            f"no schema of search_path ({path}) is there at {location}: CREATE SCHEMA …, or name another with"
            " ?options=-csearch_path%3D…"
        )
    found = (await connection.rows(OURS)) if ours and await _ours(connection, place) else []
    if not found:
        if tables:
            raise StoreUnusable(
                f"the schema {place!r} at {location} has a table {tables[0]!r} that is not ptstream's: name a schema of"
                " its own with ?options=-csearch_path%3D…"
            )
        return 0
    if found[0][0] > VERSION:
        raise StoreNewer(
            f"{location} was written by a newer ptstream (schema {found[0][0]}, this one knows {VERSION}): upgrade"
            " ptstream, or name another database"
        )
    return int(found[0][0])


def check_unmigrated(found: int | None, location: str) -> None:
    """Raises StoreNewer where a newer ptstream has made tables of version `found`, beneath those who use them."""
    if found is not None and found > VERSION:
        raise StoreNewer(
            f"{location} was migrated by a newer ptstream in the meantime (schema {found}, this one knows {VERSION});"
            " nothing is lost: go on with the newer one"
        )


async def _ours(connection: Connection, place: str) -> bool:
    """Whether the table `meta` is one with an application and a version."""
    columns = await connection.rows(
        "SELECT attname::text FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
        " AND attrelid = to_regclass(quote_ident(%s) || '.meta')",
        (place,),
    )
    return {"application", "version"} <= {name for (name,) in columns}


CLAIM = f"""
WITH claimed AS (
  UPDATE streams SET status = 'streaming', epoch = epoch + 1, owner = %(owner)s,
    model = CASE WHEN command IS NULL AND generator IS NULL THEN coalesce(model, %(model)s) END
  WHERE id = %(id)s AND status = 'pending' AND cancel_at IS NULL AND {VERSION} = ({OURS})
  RETURNING id, epoch, bytes
)
INSERT INTO attempts (stream, epoch, owner, begin_offset, model, place)
  SELECT id, epoch, %(owner)s, bytes, %(model)s, %(place)s FROM claimed RETURNING epoch, begin_offset
"""
"""The claim, one atomic statement: a row comes back for the one owner that got the stream."""

CHUNKS_END = "coalesce((SELECT c.stop FROM chunks c WHERE c.stream = s.id ORDER BY c.start DESC LIMIT 1), s.bytes)"
"""Where the chunks of a stream `s` end that is `streaming`."""

RECLAIM = f"""
WITH v AS (
  SELECT * FROM unnest(%(id)b::text[], %(epoch)b::int[], %(begin)b::bigint[], %(next)b::text[], %(cause)b::text[])
    v (id, epoch, begin, next, cause)
), claimed AS (
  UPDATE streams s SET epoch = s.epoch + 1, bytes = v.begin, owner = coalesce(v.next, '{NOBODY}' || {NOW})
  FROM v WHERE s.id = v.id AND s.epoch = v.epoch AND s.status = 'streaming' AND s.owner = %(owner)s
    AND {CHUNKS_END} = v.begin AND (v.next IS NOT NULL OR s.cancel_at IS NULL)
  RETURNING s.id, s.epoch, s.owner, s.bytes, v.cause
), before AS (
  UPDATE attempts a SET ended_at = {NOW}, cause = claimed.cause,
    pieces = coalesce((SELECT max(c.pieces) FROM chunks c WHERE c.stream = a.stream AND c.epoch = a.epoch), 0)
  FROM claimed WHERE a.stream = claimed.id AND a.epoch = claimed.epoch - 1 RETURNING a.stream, a.model, a.place
)
INSERT INTO attempts (stream, epoch, owner, begin_offset, model, place)
  SELECT claimed.id, claimed.epoch, claimed.owner, claimed.bytes, before.model, before.place
  FROM claimed JOIN before ON before.stream = claimed.id RETURNING stream, epoch, begin_offset
"""
"""Further attempts at streams, where the texts of those before them end: by their living owner, or nobody's."""

TAKE = f"""
WITH taken AS (
  UPDATE streams SET owner = %(owner)s
  WHERE id = %(id)s AND owner = %(nobody)s AND status = 'streaming' AND cancel_at IS NULL AND {VERSION} = ({OURS})
    AND {NOW} < {WAITS_UNTIL.format("owner")}
  RETURNING id, epoch
)
UPDATE attempts a SET owner = %(owner)s, started_at = {NOW}, model = %(model)s, place = %(place)s
  FROM taken WHERE a.stream = taken.id AND a.epoch = taken.epoch RETURNING a.epoch, a.begin_offset
"""
"""An attempt that is nobody's becomes this owner's: a row comes back for the one that got it."""

HANDED_OVER = f"""
SELECT s.id, s.owner, a.model, a.place, a.started_at - first.started_at FROM streams s
  JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch
  JOIN attempts first ON first.stream = s.id AND first.epoch = 1
WHERE s.status = 'streaming' AND s.owner >= '{NOBODY}' AND s.owner < '{AFTER_NOBODY}' AND s.cancel_at IS NULL
"""
"""Streams that wait to be taken."""

CLAIMED = (
    "SELECT s.epoch, a.begin_offset FROM streams s JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
    " WHERE s.id = %(id)s AND s.owner = %(owner)s AND s.status = 'streaming'"
)
"""Whether the stream is this owner's: asked when a claim's answer was lost with its connection."""

FENCE = """s AS MATERIALIZED (
  SELECT id, epoch FROM streams WHERE id IN (SELECT id FROM v) AND status = 'streaming' ORDER BY id FOR KEY SHARE
)"""
"""Those of the streams in `v` that are running, at whatever epoch: nobody recovers them before this is committed."""

KEEP = f"""
WITH v AS (
  SELECT * FROM unnest(%(n)b::int[], %(id)b::text[], %(epoch)b::int[], %(start)b::bigint[], %(text)b::bytea[])
    v (n, id, epoch, start, text)
), {FENCE}, kept AS (
  INSERT INTO pieces (stream, start, epoch, text) SELECT v.id, v.start, v.epoch, v.text FROM v JOIN s USING (id, epoch)
  ON CONFLICT DO NOTHING
)
SELECT DISTINCT v.n FROM v JOIN s USING (id, epoch)
"""
"""The news of all tails of one owner. What does not come back is not this owner's any more. It may be said twice."""

FLUSH = f"""
WITH v AS (
  SELECT * FROM unnest(%(n)b::int[], %(id)b::text[], %(epoch)b::int[], %(start)b::bigint[], %(stop)b::bigint[],
    %(text)b::bytea[], %(pieces)b::bigint[], %(status)b::text[], %(cause)b::text[], %(usage)b::text[], %(note)b::text[])
    v (n, id, epoch, start, stop, text, pieces, status, cause, usage, note)
), {FENCE}, w AS MATERIALIZED (
  SELECT v.* FROM v JOIN s USING (id, epoch)
  WHERE v.start = coalesce((SELECT c.stop FROM chunks c WHERE c.stream = v.id ORDER BY c.start DESC LIMIT 1), 0)
), added AS (
  INSERT INTO chunks (stream, start, stop, epoch, pieces, text)
    SELECT id, start, stop, epoch, pieces, text FROM w WHERE stop > start
), ended AS (
  UPDATE streams x SET bytes = w.stop, status = w.status, error = w.cause, note = w.note, ended_at = {NOW}
    FROM w WHERE x.id = w.id AND w.status IS NOT NULL
), attempt AS (
  UPDATE attempts a SET cause = w.cause, usage = w.usage, ended_at = {NOW}, pieces = greatest(w.pieces, coalesce(
    (SELECT max(c.pieces) FROM chunks c WHERE c.stream = w.id AND c.epoch = w.epoch), 0))
    FROM w WHERE a.stream = w.id AND a.epoch = w.epoch AND w.status IS NOT NULL
), gone AS (
  DELETE FROM pieces USING w WHERE pieces.stream = w.id AND w.status IS NOT NULL
)
SELECT n FROM w
"""
"""The one statement that appends: chunks, and ends with their last chunks, of many streams of one owner.

What does not come back was refused: ended, deleted, another's, or not where the last chunk ends.
"""

FLUSHED = """
SELECT v.n FROM unnest(%(n)b::int[], %(id)b::text[], %(epoch)b::int[], %(start)b::bigint[], %(stop)b::bigint[],
    %(text)b::bytea[], %(status)b::text[], %(cause)b::text[]) v (n, id, epoch, start, stop, text, status, cause)
  JOIN streams s ON s.id = v.id AND s.epoch = v.epoch
  LEFT JOIN chunks c
    ON c.stream = v.id AND c.start = v.start AND c.stop = v.stop AND c.epoch = v.epoch AND c.text = v.text
  WHERE (c.stream IS NOT NULL OR v.stop = v.start) AND (v.status IS NULL OR
    (s.status = v.status AND s.bytes = v.stop AND s.error IS NOT DISTINCT FROM v.cause))
"""
"""Which of these are there: asked when the answer was lost with its connection."""

SWEEP = """
DELETE FROM pieces p USING unnest(%(id)b::text[], %(stop)b::bigint[]) v (id, stop)
  WHERE p.stream = v.id AND p.start < v.stop AND p.start + octet_length(p.text) <= v.stop
"""
"""Pieces that are in chunks, up to their own ends."""
