"""Where prompts are stored: in a table of their own, since they may be large, and each flush writes a stream's row.

The stream's row has the opening alone, by which a list shows it.
"""

from __future__ import annotations

import sqlite3

from ptstream.engine.sqlite.rows import checked, columns_of, fill_open
from ptstream.streams import GenerationRequest

OPENING = 200
"""Characters of a prompt that are kept with its stream, so that it is recognised in a list."""


def prompts_of(request: GenerationRequest) -> dict[str, str | None]:
    """The columns of `prompts`. Raises UsageError for text that is not UTF-8."""
    return {"prompt": checked(request.prompt, "prompt"), "system": checked(request.system, "system prompt")}


def opening_of(request: GenerationRequest) -> str | None:
    """How the prompt begins. Raises as `prompts_of` does."""
    prompt = prompts_of(request)["prompt"]
    return prompt and prompt[:OPENING]


def insert(connection: sqlite3.Connection, seq: int | None, request: GenerationRequest) -> None:
    """Store those of the new stream whose row is `seq`. Raises UsageError for text that is not UTF-8."""
    connection.execute(f"INSERT INTO prompts VALUES ({seq}, :prompt, :system)", prompts_of(request))


def fill(connection: sqlite3.Connection, id: str, request: GenerationRequest) -> None:
    """Store what a pending stream was made without. Raises as `insert` does."""
    fill_open(connection, "prompts", prompts_of(request), id)


def delete(connection: sqlite3.Connection, seq: int) -> None:
    """Remove those of the stream whose row was `seq`."""
    connection.execute("DELETE FROM prompts WHERE seq = ?", (seq,))


def differences(had: GenerationRequest, given: GenerationRequest, *, open_is_free: bool = False) -> list[str]:
    """What of a request was given now and is not what the stream has, by name."""
    before, now = (prompts_of(request) | columns_of(request) for request in (had, given))
    return [
        column
        for column, value in now.items()
        if value is not None and value != before[column] and not (open_is_free and before[column] is None)
    ]
