"""How values lie in rows: a stream, an attempt, what a stream was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ptstream import strict_json
from ptstream.errors import UsageError
from ptstream.streams import Attempt, Flush, GenerationRequest, Status, Stream

STREAM_COLUMNS = (
    "id, name, title, status, bytes, prompt, system, model, command, generator, flush,"
    " error, created_at, ended_at, parent, parent_offset, seam, note"
)

WHOLE = "streams LEFT JOIN prompts USING (seq)"
"""What has all of STREAM_COLUMNS."""

LISTED_COLUMNS = STREAM_COLUMNS.replace("prompt, system", "opening, NULL")
"""The same out of `streams` alone: of the prompt only its opening, of the system prompt nothing."""

ATTEMPT_COLUMNS = "epoch, owner, begin_offset, started_at, ended_at, pieces, cause, usage, model, place"


def checked(text: str | None, what: str) -> str | None:
    """Raises UsageError for what UTF-8 has no bytes for, as an undecodable argument of a command."""
    try:
        if text is not None:
            text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is not UTF-8 text") from error
    return text


def columns_of(request: GenerationRequest) -> dict[str, str | None]:
    """Other columns of what a stream was asked. Raises UsageError for text that is not UTF-8."""
    return {
        "model": checked(request.model, "model's name"),
        "command": None if request.command is None else strict_json.dumps(list(request.command)),
        "generator": checked(request.generator, "generator's name"),
        "flush": request.flush and request.flush.value,
    }


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
    (id, name, title, status, size, prompt, system, model, command, generator, flush, *rest) = row
    request = GenerationRequest(
        prompt,
        system,
        model,
        tuple(strict_json.loads(command, bounded=False)) if command else None,
        generator,
        Flush(flush) if flush else None,
    )
    return Stream(id, name, title, Status(status), size, request, *rest)


def fill_open(connection: sqlite3.Connection, table: str, values: dict[str, str | None], id: str) -> None:
    """Set what is open of a pending stream's row."""
    changes = ", ".join(f"{column} = coalesce({column}, :{column})" for column in values)
    pending = "SELECT seq FROM streams WHERE id = :id AND status = 'pending'"
    connection.execute(f"UPDATE {table} SET {changes} WHERE seq = ({pending})", {**values, "id": id})
