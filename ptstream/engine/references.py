"""Which stream a reference means: an id, a name, `@last`, or a beginning of an id that no other has, in this order.

An engine looks for rows; what they come to is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptstream.engine.rows import stream_of
from ptstream.errors import AmbiguousId, StreamNotFound
from ptstream.names import references
from ptstream.streams import Stream

LAST = "@last"

SOME = 4
"""Rows that begin so, at most, that `only` wants to see: some of them are named."""


def values_of(reference: str) -> dict[str, str]:
    """What is looked for: the `id`, or its beginning, the `name`, and the name's `normal` form.

    Raises UsageError for what can be none of these.
    """
    given, normal = references(reference)
    return {"id": reference.lower(), "name": given, "normal": normal}


def newest(rows: Sequence[Sequence[Any]]) -> Stream:
    """The stream that `@last` means. Raises StreamNotFound."""
    if not rows:
        raise StreamNotFound("there is no stream yet")
    return stream_of(rows[0])


def only(rows: Sequence[Sequence[Any]], reference: str) -> Stream:
    """The stream of the one row that was found. Raises StreamNotFound, AmbiguousId."""
    if not rows:
        raise StreamNotFound(f"no stream {reference!r} (ptstream ls shows them)")
    if len(rows) > 1:
        some = ", ".join(row[0] for row in rows[: SOME - 1])
        raise AmbiguousId(f"{reference!r} is the beginning of several ids: {some}{' …' if len(rows) >= SOME else ''}")
    return stream_of(rows[0])
