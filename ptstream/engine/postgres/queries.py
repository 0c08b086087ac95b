"""The store as anybody looks at it: what there is, where it stands, who owns it, the text from an offset on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ptstream.engine import references
from ptstream.engine.handover import HandedOver
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import Connections
from ptstream.engine.rows import ATTEMPT_COLUMNS, PLACES, STREAM_COLUMNS, attempt_of, of_status, stream_of
from ptstream.errors import StreamNotFound
from ptstream.streams import Attempt, History, Kept, State, Status, Stream

PAGE = 256 * 1024
"""Bytes of text that one look takes from the database, about: a reader never holds more."""

LASTING = "(s.ended_at IS NULL OR s.ttl IS NULL OR s.ttl >= 0)"
"""Whether a stream `s` is not one that is to be deleted as soon as it has ended (see `changes.DELETED`)."""

CHUNKED = f"CASE s.status WHEN 'streaming' THEN {schema.CHUNKS_END} ELSE s.bytes END"
"""Where the chunks of a stream `s` end."""

KEPT = f"""CASE s.status WHEN 'streaming' THEN greatest({schema.CHUNKS_END},
  (SELECT p.start + octet_length(p.text) FROM pieces p WHERE p.stream = s.id ORDER BY p.start DESC LIMIT 1))
  ELSE s.bytes END"""
"""Where its text ends, its tail included."""

WHOLE = STREAM_COLUMNS.replace("bytes", f"{CHUNKED} AS bytes")
LISTED = WHOLE.replace("prompt, system", "opening, NULL")
AS_IT_IS = STREAM_COLUMNS.replace("bytes", f"{KEPT} AS bytes").replace("prompt, system", "opening, NULL")

STANDING = f"""
SELECT s.status, {CHUNKED}, {KEPT}, s.error, s.note, s.epoch, s.owner FROM streams s WHERE s.id = %s AND {LASTING}
"""

LAST = f"SELECT {LISTED} FROM streams s ORDER BY seq DESC LIMIT 1"

EXACT = (
    f"SELECT {LISTED} FROM streams s WHERE id = %(id)s OR name = %(name)s OR name = %(normal)s"
    " ORDER BY id = %(id)s DESC, name = %(name)s DESC NULLS LAST LIMIT 1"
)

# A range rather than LIKE, so that the index serves it.
BEGINNING = (
    f"SELECT {LISTED} FROM streams s WHERE id >= %(id)s AND id < %(id)s || 'zzzzzzzzzzzz'"
    f" ORDER BY id LIMIT {references.SOME}"
)

# Each is looked for by itself: of tables that have just been filled the planner knows nothing, and would read all.
EACH = "FROM unnest(%s::text[]) WITH ORDINALITY asked (key, n) CROSS JOIN LATERAL"

ATTEMPTS_OF_EACH = f"""
SELECT key, a.* {EACH} (SELECT {
    ATTEMPT_COLUMNS.replace(
        "pieces",
        "greatest(pieces, (SELECT max(c.pieces) FROM chunks c WHERE c.stream = a.stream AND c.epoch = a.epoch))",
    )
} FROM attempts a WHERE stream = key ORDER BY epoch OFFSET 0) a
"""

CHUNKS_OF_EACH = f"SELECT key, c.count {EACH} (SELECT count(*) FROM chunks WHERE stream = key) c"

LISTING = f"""
SELECT o.owners, s.* FROM (SELECT array_agg(DISTINCT coalesce(owner, '')) FROM streams WHERE status = 'streaming')
o (owners) LEFT JOIN LATERAL (
  SELECT {AS_IT_IS} FROM streams s {{}} ORDER BY seq DESC LIMIT %s
) s ON true
"""
"""In one snapshot, the streams and whoever owns any that is streaming."""


class Listing(NamedTuple):
    """Streams, and the owners of all that are `streaming` in the database."""

    streams: list[Stream]
    owners: list[str]


class Standing(NamedTuple):
    """A stream's row at one moment. Its chunks end at byte `bytes`, its text, the tail's included, at `size`."""

    status: Status
    bytes: int
    size: int
    error: str | None
    note: str | None
    epoch: int
    owner: str | None

    @property
    def state(self) -> State:
        """What of it concerns a reader."""
        return State(self.status, self.bytes, self.size, self.error, self.note)


class Queries:
    """Looking at one database."""

    def __init__(self, connections: Connections) -> None:
        self._rows = connections.rows
        self._location = connections.server.location

    async def check(self) -> None:
        """Raises StoreNewer when a newer ptstream has migrated the database."""
        for (version,) in await self._rows(schema.OURS):
            schema.check_unmigrated(version, self._location)

    async def state(self, id: str) -> Standing:
        """Where the stream stands, one snapshot. Raises StreamNotFound."""
        rows = await self._rows(STANDING, (id,))
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        status, *rest = rows[0]
        return Standing(Status(status), *rest)

    async def histories(self, ids: Sequence[str]) -> list[History]:
        """See `protocol.Engine`: two statements, however many streams."""
        attempts: dict[str, list[Attempt]] = {}
        for id, *row in await self._rows(ATTEMPTS_OF_EACH, (list(ids),)):
            attempts.setdefault(id, []).append(attempt_of(*row))
        chunks = dict(await self._rows(CHUNKS_OF_EACH, (list(ids),)))
        found = [(attempts.get(id, []), chunks.get(id, 0)) for id in ids]
        return [History(each, sum(attempt.pieces for attempt in each), count) for each, count in found]

    async def get(self, id: str) -> Stream:
        """The stream with exactly this id, its prompts whole. Raises StreamNotFound."""
        rows = await self._rows(f"SELECT {WHOLE} FROM streams s LEFT JOIN prompts USING (seq) WHERE id = %s", (id,))
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        return whole_stream(rows[0])

    async def find(self, reference: str) -> Stream:
        """See `protocol.Engine.find`."""
        if reference == references.LAST:
            return stream_of(references.newest(await self._rows(LAST)))
        values = references.values_of(reference)
        rows = await self._rows(EXACT, values) or await self._rows(BEGINNING, {"id": values["id"]})
        return stream_of(references.only(rows, reference))

    async def streams(
        self, *, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing:
        """Streams, newest first, their tails counted. Of their prompts only the openings."""
        where = f"{of_status(status)} AND created_at >= %s"
        rows = await self._rows(LISTING.format(where), (0 if since is None else since, limit))
        return Listing([stream_of(row) for owners, *row in rows if row[0] is not None], rows[0][0] or [])

    async def chunks(self, id: str, offset: int, since: float) -> list[Kept]:
        """See `protocol.Engine.chunks`."""
        rows = await self._rows(
            "SELECT start, stop, at FROM chunks WHERE stream = %(id)s AND at >= %(since)s AND start >= coalesce("
            "(SELECT start FROM chunks WHERE stream = %(id)s AND start <= %(offset)s AND stop > %(offset)s"
            f" ORDER BY start DESC LIMIT 1), %(offset)s) ORDER BY start LIMIT {PLACES}",
            {"id": id, "since": since, "offset": offset},
        )
        return [Kept(*row) for row in rows]

    async def owners(self) -> list[tuple[str, str]]:
        """All streams that are `streaming`, each with its owner."""
        return await self._rows("SELECT id, coalesce(owner, '') FROM streams WHERE status = 'streaming'")

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """See `protocol.Engine.idle_since`."""
        rows = await self._rows(
            f"SELECT {LISTED} FROM streams s"
            " WHERE coalesce(ended_at, created_at) < %(moment)s AND status <> 'streaming'"
            " AND (%(status)s::text IS NULL OR status = %(status)s)"
            " AND seq NOT IN (SELECT seq FROM streams ORDER BY seq DESC LIMIT %(keep)s)"
            " ORDER BY seq",
            {"moment": moment, "status": status and status.value, "keep": keep},
        )
        return [stream_of(row) for row in rows]

    async def drains(self, id: str) -> bool:
        """Whether the generator of the stream, which was cancelled, may go on without it."""
        return any(drain for (drain,) in await self._rows("SELECT drain FROM streams WHERE id = %s", (id,)))

    async def cancelling(self, owner: str) -> Sequence[tuple[str, bool]]:
        """The owner's streams that are to be cancelled and have not ended yet, and whether to drain them."""
        rows = await self._rows(
            "SELECT id, coalesce(drain, false) FROM streams"
            " WHERE owner = %s AND status = 'streaming' AND cancel_at IS NOT NULL",
            (owner,),
        )
        return [(id, drain) for id, drain in rows]

    async def handed_over(self) -> list[HandedOver]:
        """The streams that wait to be taken."""
        return [HandedOver(*row) for row in await self._rows(schema.HANDED_OVER)]

    async def attempts(self, id: str) -> list[Attempt]:
        """The stream's attempts, first one first."""
        return [attempt_of(*row) for _, *row in await self._rows(ATTEMPTS_OF_EACH, ([id],))]


def whole_stream(row: Sequence[Any]) -> Stream:
    """The stream of a row that has its prompts, which are stored as bytes."""
    id, name, title, status, size, prompt, system, *rest = row
    prompts = [text if text is None else bytes(text).decode() for text in (prompt, system)]
    return stream_of((id, name, title, status, size, *prompts, *rest))
