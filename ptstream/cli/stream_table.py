"""A table of streams, as `ls` prints it: for a person rounded, for a program exact. On the fast path.

A pipe has always the same columns, whatever there is to see; a terminal those that say something and have room.
"""

from __future__ import annotations

import time

from ptstream.cli.describe import age, size
from ptstream.names import shown
from ptstream.stream_json import iso, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptstream.cli.screen import Screen
    from ptstream.engine.sqlite.at_rest import Listed
    from ptstream.streams import Attempt, Stream

WIDE = 100
"""Columns of a terminal from which on there is room for the model."""

_RIGHT = {"SIZE", "AGE", "RATE", "TOKENS"}

_LESS = ("OWNER", "TOKENS", "RATE", "MODEL", "AGE", "SIZE", "NAME")
"""What goes where too little is left for the title, in this order."""


class Table:
    """Rows under a header, and which columns may go, or are aligned to the right; the last one is cut to fit."""

    def __init__(self, header: list[str], rows: list[list[str]]) -> None:
        self.header = header
        self.rows = rows

    @property
    def optional(self) -> tuple[int, ...]:
        """The columns that go first where there is no room."""
        return tuple(self.header.index(name) for name in _LESS if name in self.header)

    @property
    def right(self) -> tuple[int, ...]:
        """The columns of numbers."""
        return tuple(number for number, name in enumerate(self.header) if name in _RIGHT)

    @property
    def flexible(self) -> int:
        """The column that is cut."""
        return len(self.header) - 1


def table_of(
    screen: Screen,
    streams: Sequence[Stream | Listed],
    *,
    attempts: Mapping[str, Sequence[Attempt]] | None = None,
    rates: Mapping[str, float] | None = None,
) -> Table:
    """The table of these streams: with their `attempts`, rate, tokens and owner too, or with rates (bytes a second)."""
    person = screen.terminal
    columns: dict[str, list[str]] = {
        "ID": [stream.id for stream in streams],
        "STATUS": [str(stream.status) for stream in streams],
        "SIZE": [(size if person else str)(stream.bytes) for stream in streams],
        "RATE": [],
        "AGE": [(age(stream.created_at) if person else iso(stream.created_at)) or "" for stream in streams],
        "TOKENS": [],
        "MODEL": [stream.model or "" for stream in streams],
        "OWNER": [],
        "NAME": [shown(stream.name) for stream in streams],
        "TITLE": [_titled(stream) for stream in streams],
    }
    if attempts is not None:
        columns["RATE"] = [_rated(person, average_rate(stream, attempts.get(stream.id, ()))) for stream in streams]
        columns["TOKENS"] = [_tokens(attempts.get(stream.id, ())) for stream in streams]
        columns["OWNER"] = [_owner(attempts.get(stream.id, ())) for stream in streams]
    elif rates is not None:
        columns["RATE"] = [_rated(person, rates.get(stream.id)) for stream in streams]
    kept = {name: cells for name, cells in columns.items() if _is_shown(screen, name, cells, attempts is not None)}
    return Table(list(kept), [list(row) for row in zip(*kept.values(), strict=True)])


def _titled(stream: Stream | Listed) -> str:
    """What a list calls it, behind the beginning of the id of the stream that it answers, if it does."""
    if stream.parent is None or stream.seam != 0 or not stream.parent_offset:
        return title(stream)
    return f"↳{stream.parent[:4]} {title(stream)}"


def _is_shown(screen: Screen, name: str, cells: Sequence[str], long: bool) -> bool:
    if name in ("RATE", "TOKENS", "OWNER"):
        return bool(cells) and (name == "RATE" or any(cells) or not screen.terminal)
    if name == "MODEL":
        return any(cells) and screen.size[0] >= WIDE if screen.terminal else long
    return name != "NAME" or any(cells) or not screen.terminal


def average_rate(stream: Stream | Listed, attempts: Sequence[Attempt]) -> float | None:
    """Bytes a second since the first attempt began, what was copied from a parent apart; None without an attempt."""
    if not attempts:
        return None
    seconds = (stream.ended_at or time.time()) - attempts[0].started_at
    return (stream.bytes - (stream.seam or 0)) / seconds if seconds > 0 else None


def _rated(person: bool, rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{size(round(rate))}/s" if person else f"{rate:.1f}"


def _tokens(attempts: Sequence[Attempt]) -> str:
    counts = [(attempt.usage or {}).get("completion_tokens") for attempt in attempts]
    known = [count for count in counts if isinstance(count, int)]
    return str(sum(known)) if known else ""


def _owner(attempts: Sequence[Attempt]) -> str:
    return attempts[-1].owner if attempts else ""
