"""Which stream a reference means: an id, a name, `@last`, or a beginning of an id that no other has, in this order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptstream.engine.sqlite.rows import LISTED_COLUMNS, stream_of
from ptstream.errors import AmbiguousId, StreamNotFound
from ptstream.names import references
from ptstream.streams import Stream

LAST = f"SELECT {LISTED_COLUMNS} FROM streams ORDER BY seq DESC LIMIT 1"

EXACT = (
    f"SELECT {LISTED_COLUMNS} FROM streams WHERE id = :id OR name = :name OR name = :normal"
    " ORDER BY id = :id DESC, name = :name DESC LIMIT 1"
)

# A range rather than LIKE, so that the index serves it.
BEGINNING = f"SELECT {LISTED_COLUMNS} FROM streams WHERE id >= :id AND id < :id || 'zzzzzzzzzzzz' ORDER BY id LIMIT 4"


def find(read: Callable[..., list[Any]], reference: str) -> Stream:
    """The stream that is meant; `read` gives the rows of a statement with its values.

    Raises StreamNotFound, AmbiguousId, and UsageError for what can be none of these.
    """
    if reference == "@last":
        newest = read(LAST)
        if not newest:
            raise StreamNotFound("there is no stream yet")
        return stream_of(newest[0])
    given, normal = references(reference)
    lower = reference.lower()
    rows = read(EXACT, {"id": lower, "name": given, "normal": normal}) or read(BEGINNING, {"id": lower})
    if not rows:
        raise StreamNotFound(f"no stream {reference!r} (ptstream ls shows them)")
    if len(rows) > 1:
        some = ", ".join(row[0] for row in rows[:3])
        raise AmbiguousId(f"{reference!r} is the beginning of several ids: {some}{' …' if len(rows) > 3 else ''}")
    return stream_of(rows[0])
