"""Which stream a reference means: an id, a name, `@last`, or a beginning of an id that no other has, in this order.

An engine looks for rows, whose first column is the id; what they come to is decided here. On the fast path.
"""

from __future__ import annotations

from ptstream.errors import AmbiguousId, StreamNotFound
from ptstream.names import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    Row = TypeVar("Row", bound="Sequence[object]")

LAST = "@last"

SOME = 4
"""Rows that begin so, at most, that `only` wants to see: some of them are named."""


def values_of(reference: str) -> dict[str, str]:
    """What is looked for: the `id`, or its beginning, the `name`, and the name's `normal` form.

    Raises UsageError for what can be none of these.
    """
    given, normal = references(reference)
    return {"id": reference.lower(), "name": given, "normal": normal}


def newest(rows: Sequence[Row]) -> Row:
    """The row of the stream that `@last` means. Raises StreamNotFound."""
    if not rows:
        raise StreamNotFound("there is no stream yet")
    return rows[0]


def only(rows: Sequence[Row], reference: str) -> Row:
    """The one row that was found. Raises StreamNotFound, AmbiguousId."""
    if not rows:
        raise StreamNotFound(f"no stream {reference!r} (ptstream ls shows them)")
    if len(rows) > 1:
        some = ", ".join(str(row[0]) for row in rows[: SOME - 1])
        raise AmbiguousId(f"{reference!r} is the beginning of several ids: {some}{' …' if len(rows) >= SOME else ''}")
    return rows[0]
