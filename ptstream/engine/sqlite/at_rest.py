"""What lies in a home's database, by SQL alone: which stream a word means, what a list shows, the text of chunks.

On the fast path, so it makes no values of the rows. What runs, and whose owner is dead, is `recovery.py`'s.
"""

from __future__ import annotations

from ptstream.engine import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol

    class Read(Protocol):
        """`Database.read`."""

        def __call__(self, sql: str, values: Sequence[Any] | dict[str, Any] = ...) -> list[Any]: ...


PAGE = 256 * 1024
"""Bytes of text that one look takes from the database, about: a reader never holds more."""

LASTING = "s.ended_at IS NULL OR s.ttl IS NULL OR s.ttl >= 0"
"""Whether a stream `s` is not one that is to be deleted as soon as it has ended (see `changes.DELETED`)."""

STREAMING = "streaming"
"""The status of what runs, or has lost its owner."""

_MEANT = (
    "WHERE id = :id OR name = :name OR name = :normal ORDER BY id = :id DESC, name = :name DESC LIMIT 1",
    # A range rather than LIKE, so that the index serves it.
    f"WHERE id >= :id AND id < :id || 'zzzzzzzzzzzz' ORDER BY id LIMIT {references.SOME}",
)

_ASKED = """\
CAST(coalesce(nullif(opening, ''), (SELECT group_concat(value, ' ') FROM json_each(command)), generator) AS BLOB)"""
"""Bytes, because a command's word may hold what is no UTF-8: in JSON a lone surrogate, whose bytes SQLite gives."""


class Listed:
    """What a list shows of a stream, called as a stream's fields are."""

    FIELDS = (
        *("id", "name", "title", "status", "bytes", "prompt", "model", "created_at", "ended_at"),
        *("parent", "parent_offset", "seam"),
    )
    """Of what it was asked, its command's words included, `prompt` is the beginning."""

    COLUMNS = ", ".join(FIELDS).replace("prompt", _ASKED)

    __slots__ = FIELDS

    command = None
    generator = None

    id: str
    name: str | None
    title: str | None
    status: str
    bytes: int
    prompt: str | None
    model: str | None
    created_at: float
    ended_at: float | None
    parent: str | None
    parent_offset: int | None
    seam: int | None

    def __init__(self, row: Sequence[Any]) -> None:
        for field, value in zip(self.FIELDS, row, strict=True):
            setattr(self, field, value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value)


def find(read: Read, reference: str, columns: str) -> Any:
    """The row, id first, of the stream meant by an id, a name, `@last` or an unambiguous beginning of an id.

    Raises StreamNotFound, AmbiguousId, and UsageError for what can be none of these.
    """
    select = f"SELECT {columns} FROM streams s"
    if reference == references.LAST:
        return references.newest(read(f"{select} ORDER BY seq DESC LIMIT 1"))
    values = references.values_of(reference)
    return references.only(next(filter(None, (read(f"{select} {meant}", values) for meant in _MEANT)), []), reference)


def ended(read: Read, reference: str) -> tuple[str, int] | None:
    """The id of the stream that is meant and where its text ends, in bytes; None if that has not ended, or is deleted.

    Raises as `find`.
    """
    id, end, rests = find(read, reference, f"id, bytes, ended_at IS NOT NULL AND ({LASTING})")
    return (id, end) if rests else None


def text(read: Read, id: str, offset: int, stop: int) -> bytes:
    """Chunks' text from `offset`, inside a chunk too, to `stop` at most: the next page of it (see PAGE)."""
    first = read(
        "SELECT start, stop FROM chunks WHERE stream = ? AND start <= ? ORDER BY start DESC LIMIT 1", (id, offset)
    )
    if not first or first[0][1] <= offset:
        return b""
    rows = read(
        "SELECT start, CAST(text AS BLOB) FROM chunks WHERE stream = ? AND start >= ? AND start < ?"
        " ORDER BY start LIMIT 64",
        (id, first[0][0], min(stop, offset + PAGE)),
    )
    joined = b"".join(text for _, text in rows)
    begin = rows[0][0] if rows else offset
    return joined[offset - begin : stop - begin]


def listed(read: Read, limit: int | None, status: Iterable[str] = ()) -> list[Listed]:
    """Streams as their rows have them, newest first; those of these statuses, if any are given."""
    words = ", ".join(f"'{word}'" for word in status)
    rows = read(
        f"SELECT {Listed.COLUMNS} FROM streams {words and f'WHERE status IN ({words})'} ORDER BY seq DESC LIMIT ?",
        (-1 if limit is None else limit,),
    )
    return [Listed(row) for row in rows]
