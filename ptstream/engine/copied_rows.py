"""How a copied stream and its attempts lie in an engine's rows: as they did where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptstream import strict_json
from ptstream.engine.requests import columns_of, opening_of
from ptstream.engine.transfer import Record
from ptstream.streams import Attempt


def columns_of_record(record: Record) -> dict[str, Any]:
    """The columns of `streams` that a copied stream has."""
    stream = record.stream
    same = (
        "id",
        "name",
        "title",
        "bytes",
        "error",
        "note",
        "created_at",
        "ended_at",
        "parent",
        "parent_offset",
        "seam",
    )
    return {
        **{column: stream[column] for column in same},
        **columns_of(stream.request),
        "status": stream.status.value,
        "epoch": record.epoch,
        "ttl": record.ttl,
        "opening": opening_of(stream.request),
    }


def columns_of_attempts(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The same of `attempts`, for all attempts at copied streams."""
    return [_columns_of_attempt(record.stream.id, attempt) for record in records for attempt in record.attempts]


def _columns_of_attempt(id: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "stream": id,
        "epoch": attempt.epoch,
        "owner": attempt.owner,
        "begin_offset": attempt.begin,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "pieces": attempt.pieces,
        "cause": attempt.cause,
        "usage": None if attempt.usage is None else strict_json.dumps(strict_json.finite(attempt.usage)),
        "model": attempt.model,
        "place": attempt.place,
    }
