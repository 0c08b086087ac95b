"""The streams of a database as they are kept, for a copy of them; see `transfer.Archive`."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ptstream.engine.rows import ATTEMPT_COLUMNS, STREAM_COLUMNS, WHOLE, attempt_of, stream_of
from ptstream.engine.sqlite.at_rest import LASTING
from ptstream.engine.sqlite.database import Database
from ptstream.engine.transfer import Chunk, Entry, Record, Runs
from ptstream.streams import Attempt, Status

ENTRIES = 1000
"""Streams on a page."""

PAGE = 1024 * 1024
"""Bytes of text on a page, about."""

MOST = 4096
"""Chunks on a page, at most."""

PAGE_OF_ENTRIES = f"""
SELECT s.seq, s.id, s.status,
  s.bytes + coalesce(length(CAST(p.prompt AS BLOB)), 0) + coalesce(length(CAST(p.system AS BLOB)), 0),
  s.ended_at, s.parent
FROM streams s LEFT JOIN prompts p USING (seq) WHERE s.seq > ? AND ({LASTING}) ORDER BY s.seq LIMIT {ENTRIES}
"""


class SqliteArchive:
    """Reading a database in pages that take some milliseconds each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = database.read

    async def identity(self) -> str | None:
        """See `transfer.Archive`: which file it is."""
        if not self._database.exists:
            return None
        found = os.stat(self._database.home.database)
        return f"{found.st_dev}:{found.st_ino}"

    async def entries(self, after: int = 0) -> list[Entry]:
        """See `transfer.Archive`."""
        rows = self._read(PAGE_OF_ENTRIES, (after,))
        return [Entry(seq, id, Status(status), *rest) for seq, id, status, *rest in rows]

    async def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """See `transfer.Archive`."""
        marks = ",".join("?" * len(ids))
        rows = self._read(
            f"SELECT ttl, {STREAM_COLUMNS} FROM {WHOLE} WHERE id IN ({marks})"
            " AND (ended_at IS NULL OR ttl IS NULL OR ttl >= 0)",
            ids,
        )
        streams = [(stream_of(row), ttl) for ttl, *row in rows]
        attempts: dict[str, list[Attempt]] = {}
        for id, *row in self._read(
            f"SELECT stream, {ATTEMPT_COLUMNS} FROM attempts WHERE stream IN ({marks}) ORDER BY stream, epoch", ids
        ):
            attempts.setdefault(id, []).append(attempt_of(*row))
        found = {stream.id: Record(stream, ttl, attempts.get(stream.id, [])) for stream, ttl in streams}
        return {id: found[id] for id in ids if id in found}

    async def chunks(self, ids: Sequence[str]) -> AsyncGenerator[Runs, None]:
        """See `transfer.Archive`."""
        page: Runs = []
        size = 0
        for id in ids:
            start = 0
            while rows := self._chunks(id, start):
                page += [(id, Chunk(*row)) for row in rows]
                size += page[-1][1].stop - start
                start = page[-1][1].stop
                if size >= PAGE:
                    yield page
                    page, size = [], 0
        if page:
            yield page

    def _chunks(self, id: str, start: int) -> list[Any]:
        """Those that begin within a page from this byte on."""
        return self._read(
            "SELECT start, epoch, at, CAST(text AS BLOB) FROM chunks WHERE stream = ? AND start >= ? AND start < ?"
            f" ORDER BY start LIMIT {MOST}",
            (id, start, start + PAGE),
        )
