"""How a stream and an attempt lie in an engine's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptstream import strict_json
from ptstream.streams import Attempt, Flush, Status, Stream

STREAM_COLUMNS = (
    "id, name, title, status, bytes, prompt, system, model, command, generator, flush,"
    " options, error, created_at, ended_at, parent, parent_offset, seam, note"
)

STREAM_FIELDS = tuple(Stream.__annotations__)

WHOLE = "streams LEFT JOIN prompts USING (seq)"
"""What has all of STREAM_COLUMNS."""

LISTED_COLUMNS = STREAM_COLUMNS.replace("prompt, system", "opening, NULL")
"""The same out of `streams` alone: of the prompt only its opening, of the system prompt nothing."""

ATTEMPT_COLUMNS = "epoch, owner, begin_offset, started_at, ended_at, pieces, cause, usage, model, place"


PLACES = 1000
"""How many chunks are told of at once."""


def of_status(status: Sequence[Status]) -> str:
    """The condition for these statuses. No parameters, so that the index of those that are streaming serves it."""
    if not status:
        return "WHERE true"
    words = ", ".join(f"'{each.value}'" for each in status)
    return f"WHERE status = {words}" if len(status) == 1 else f"WHERE status IN ({words})"


def attempt_of(
    epoch: int,
    owner: str,
    begin: int,
    started_at: float,
    ended_at: float | None,
    pieces: int,
    cause: str | None,
    usage: str | None,
    *source: str | None,
) -> Attempt:
    # Mended: an earlier version, or another program, may have written what is no number.
    counts = strict_json.loads_mended(usage) if usage else None
    return Attempt(epoch, owner, begin, started_at, ended_at, pieces, cause, counts, *source)


def stream_of(row: Sequence[Any]) -> Stream:
    """The stream of a row of STREAM_COLUMNS, which come in the order of a stream's fields."""
    fields = dict(zip(STREAM_FIELDS, row, strict=True))
    command, flush, options = fields["command"], fields["flush"], fields["options"]
    fields["status"] = Status(fields["status"])
    fields["command"] = tuple(strict_json.loads(command, bounded=False)) if command else None
    fields["flush"] = Flush(flush) if flush else None
    fields["options"] = strict_json.loads(options, bounded=False) if options else None
    return Stream.of(fields)


def storable(text: str | None) -> str | None:
    """A name or a cause as every engine can keep it: without what UTF-8, or a database's text, has no place for.

    It may hold an undecodable byte of a path, or NUL.
    """
    return text and text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
