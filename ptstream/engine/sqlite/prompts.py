"""Where prompts are stored: in a table of their own, since they may be large, and each flush writes a stream's row.

The stream's row has the opening alone, by which a list shows it.
"""

from __future__ import annotations

import sqlite3

from ptstream.engine.requests import columns_of, opening_of, prompts_of
from ptstream.streams import GenerationRequest


def insert(connection: sqlite3.Connection, seq: int | None, request: GenerationRequest) -> None:
    """Store those of the new stream whose row is `seq`. Raises UsageError for text that is not UTF-8."""
    connection.execute(f"INSERT INTO prompts VALUES ({seq}, :prompt, :system)", prompts_of(request))


def fill(connection: sqlite3.Connection, id: str, request: GenerationRequest) -> None:
    """Store what a pending stream was made without. Raises as `insert` does."""
    _fill_open(connection, "streams", columns_of(request) | {"opening": opening_of(request)}, id)
    _fill_open(connection, "prompts", prompts_of(request), id)


def _fill_open(connection: sqlite3.Connection, table: str, values: dict[str, str | None], id: str) -> None:
    """Set what is open of a pending stream's row."""
    changes = ", ".join(f"{column} = coalesce({column}, :{column})" for column in values)
    pending = "SELECT seq FROM streams WHERE id = :id AND status = 'pending'"
    connection.execute(f"UPDATE {table} SET {changes} WHERE seq = ({pending})", {**values, "id": id})


def delete(connection: sqlite3.Connection, seq: int) -> None:
    """Remove those of the stream whose row was `seq`."""
    connection.execute("DELETE FROM prompts WHERE seq = ?", (seq,))
