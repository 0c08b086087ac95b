"""The store as anybody looks at it: what there is, where it stands, who owns it, the text of its chunks.

Synchronous, plain `sqlite3`; it needs no write permission and never waits for a writer. How text is read on and on is
`cursor.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ptstream.engine.handover import HandedOver
from ptstream.engine.rows import (
    ATTEMPT_COLUMNS,
    LISTED_COLUMNS,
    PLACES,
    STREAM_COLUMNS,
    WHOLE,
    attempt_of,
    of_status,
    stream_of,
)
from ptstream.engine.sqlite import at_rest, liveness, statements
from ptstream.engine.sqlite.database import Database
from ptstream.errors import StreamNotFound
from ptstream.settings import Home
from ptstream.streams import Attempt, History, Kept, Status, Stream


class Standing(NamedTuple):
    """A stream's row at one moment. `bytes` is where its chunks end; the last four describe its running attempt."""

    status: Status
    bytes: int
    error: str | None
    note: str | None
    cancelling: bool
    epoch: int
    owner: str | None
    begin: int
    boot: str | None


class Queries:
    """Looking at the database of one home. Nothing is opened before it is needed."""

    def __init__(self, database: Database) -> None:
        self.home = database.home
        self._read = database.read

    def version(self) -> int:
        """A number that changes whenever another connection has committed (4 µs)."""
        rows = self._read("PRAGMA data_version", tables=False)
        return int(rows[0][0]) if rows else 0

    def check(self) -> None:
        """Raises StoreNewer when a newer ptstream has migrated the database."""
        self._read("SELECT 1")

    def state(self, id: str) -> Standing:
        """Where the stream stands, one snapshot. Raises StreamNotFound."""
        rows = self._read(
            "SELECT s.status, s.bytes, s.error, s.note, s.cancel_at IS NOT NULL, s.epoch, a.owner,"
            " coalesce(a.begin_offset, 0), a.boot"
            " FROM streams s LEFT JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
            f" WHERE s.id = ? AND ({at_rest.LASTING})",
            (id,),
        )
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        status, *rest = rows[0]
        return Standing(Status(status), *rest)

    def text(self, id: str, offset: int, stop: int) -> bytes:
        """Chunks' text from `offset`, inside a chunk too, to `stop` at most: the next page of it."""
        return at_rest.text(self._read, id, offset, stop)

    def chunks(self, id: str, offset: int, since: float) -> list[Kept]:
        """Those that end behind byte `offset` and were kept at `since` or later, first one first: PLACES at most."""
        rows = self._read(
            "SELECT start, stop, at FROM chunks WHERE stream = ? AND at >= ? AND start >= coalesce("
            "(SELECT start FROM chunks WHERE stream = ? AND start <= ? AND stop > ? ORDER BY start DESC LIMIT 1), ?)"
            f" ORDER BY start LIMIT {PLACES}",
            (id, since, id, offset, offset, offset),
        )
        return [Kept(*row) for row in rows]

    def counts(self, id: str) -> tuple[int, int]:
        """How many pieces the stream's attempts were given, and how many chunks it has."""
        pieces, rows = self._read(
            "SELECT (SELECT coalesce(sum(pieces), 0) FROM attempts WHERE stream = :id),"
            " (SELECT count(*) FROM chunks WHERE stream = :id)",
            {"id": id},
        )[0]
        return pieces, rows

    def history(self, id: str) -> History:
        """How the stream came about."""
        return History(self.attempts(id), *self.counts(id))

    def get(self, id: str) -> Stream:
        """The stream with exactly this id, its prompts whole. Raises StreamNotFound."""
        rows = self._read(f"SELECT {STREAM_COLUMNS} FROM {WHOLE} WHERE id = ?", (id,))
        if not rows:
            raise StreamNotFound(f"no stream {id}")
        return stream_of(rows[0])

    def find(self, reference: str) -> Stream:
        """The stream meant by an id, a name, `@last` or an unambiguous beginning of an id.

        Of its prompt only the opening: `get` has all. Raises StreamNotFound, AmbiguousId, and UsageError for
        what can be none of these.
        """
        return stream_of(at_rest.find(self._read, reference, LISTED_COLUMNS))

    def streams(
        self, *, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> list[Stream]:
        """Streams, newest first. Of their prompts only the openings: `get` has all."""
        rows = self._read(
            f"SELECT {LISTED_COLUMNS} FROM streams {of_status(status)} AND created_at >= ? ORDER BY seq DESC LIMIT ?",
            (0 if since is None else since, -1 if limit is None else limit),
        )
        return [stream_of(row) for row in rows]

    def streaming(self) -> list[str]:
        """The ids of all streams that are `streaming`."""
        return [row[0] for row in self._read("SELECT id FROM streams WHERE status = 'streaming'")]

    def expired(self, now: float) -> list[str]:
        """The ids of ended streams whose time to live is over at `now` (Unix seconds)."""
        return [
            row[0] for row in self._read("SELECT id FROM streams WHERE ended_at + ttl < ? AND ttl IS NOT NULL", (now,))
        ]

    def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> list[Stream]:
        """Streams that ended (or, pending, were made) before `moment`, oldest first, without the `keep` newest of all.

        With `status`, only such. None of them is `streaming`. Of their prompts only the openings.
        """
        rows = self._read(
            f"SELECT {LISTED_COLUMNS} FROM streams"
            " WHERE coalesce(ended_at, created_at) < :moment AND status <> 'streaming'"
            " AND (:status IS NULL OR status = :status)"
            " AND seq NOT IN (SELECT seq FROM streams ORDER BY seq DESC LIMIT :keep)"
            " ORDER BY seq",
            {"moment": moment, "status": status and status.value, "keep": keep},
        )
        return [stream_of(row) for row in rows]

    def tails_in_use(self) -> frozenset[str]:
        """The names that tails of `streaming` streams have."""
        rows = self._read("SELECT id, epoch FROM streams WHERE status = 'streaming'")
        return frozenset(f"{id}.{epoch}" for id, epoch in rows)

    def owners_in_use(self) -> frozenset[str]:
        """The owners that `streaming` streams name."""
        rows = self._read(
            "SELECT a.owner FROM streams s JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
            " WHERE s.status = 'streaming'"
        )
        return frozenset(row[0] for row in rows)

    def cancelling(self) -> list[tuple[str, bool]]:
        """The ids of streams that are to be cancelled and have not ended yet, and whether to drain their generators."""
        rows = self._read("SELECT id, drain FROM streams WHERE status = 'streaming' AND cancel_at IS NOT NULL")
        return [(id, bool(drain)) for id, drain in rows]

    def drains(self, id: str) -> bool:
        """Whether the generator of the stream, which was cancelled, may go on without it."""
        return any(row[0] for row in self._read("SELECT drain FROM streams WHERE id = ?", (id,)))

    def handed_over(self) -> list[HandedOver]:
        """The streams that wait to be taken."""
        return [HandedOver(*row) for row in self._read(statements.HANDED_OVER)]

    def attempts(self, id: str) -> list[Attempt]:
        """The stream's attempts, first one first."""
        rows = self._read(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE stream = ? ORDER BY epoch",
            (id,),
        )
        return [attempt_of(*row) for row in rows]

    def tail_path(self, id: str, epoch: int) -> str:
        """Where the tail of this attempt lies."""
        return os.path.join(self.home.tails, f"{id}.{epoch}")


def owner_dead(home: Home, state: Standing) -> bool:
    """Whether the stream is `streaming` under an owner that is no more."""
    return state.status is Status.STREAMING and (state.owner is None or not liveness.alive(home, state.owner))
