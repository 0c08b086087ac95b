"""A Markdown table on a terminal: in columns where its words fit into them whole, else each row as a list.

Of a table that is being written, the first rows find the widths of the columns: as many as the screen has room for, so
that all of them can be drawn again. From then on nothing changes but the row that is being written, which becomes a
list as soon as it is too tall for the screen: a list is only ever added to. What that is decided by must never become
less, whatever turns out to be markup: so the cells are measured as they were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ptstream.cli.wrapping import Span, ends, longest_piece, most_cells, painted_rows

SAMPLE = 20
"""Rows by which the widths of the columns are found, at most."""

_LEAST = 8
"""Cells below which a column of longer text cannot be read."""

_BETWEEN = 2

_BESIDE = 5
"""Rows of the screen for the rule, the line above the table, and the rows by which it is seen that more are coming."""

HEADER = "1;36"


class Cell(NamedTuple):
    """Of a table."""

    spans: Sequence[Span]
    source: str
    """As it was written."""
    settled: int
    """How many characters no further text can change."""

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.spans)


class Table(NamedTuple):
    """The cells of a table, row by row, its header first."""

    rows: Sequence[Sequence[Cell]]
    aligns: Sequence[str]


class Layout(NamedTuple):
    """How the rows of a table are drawn."""

    table: Table
    height: int
    """Rows of the screen that there are for it."""
    widths: Sequence[int]
    """Of its columns; none where every row is a list."""
    sample: int | None
    """How many rows below the header have found that, once no further one can change it."""

    def drawn(self, number: int) -> list[str] | None:
        """The terminal's rows of a row in columns; None if it is a list."""
        if not self._is_in_columns(number):
            return None
        drawn = _in_columns(self.table.rows[number], self.table.aligns, self.widths)
        rule = sum(self.widths) + _BETWEEN * (len(self.widths) - 1)
        return drawn if number else [*drawn, f"\x1b[36m{'─' * rule}\x1b[0m"]

    def has_gap(self, number: int) -> bool:
        """Whether there is an empty line above it."""
        return number > (0 if self.widths else 1) and not (
            self._is_in_columns(number) and self._is_in_columns(number - 1)
        )

    def as_list(self, number: int) -> list[list[Span]]:
        """The lines of a row that is a list, one for each cell; an empty one has none."""
        header, row = self.table.rows[0], self.table.rows[number]
        if row is header:
            return [list(cell.spans) for cell in row]
        return [_named(name, cell) for name, cell in zip(header, row, strict=True)]

    @property
    def last_cell(self) -> int:
        """The last one of the last row in which something is written."""
        return max((at for at, cell in enumerate(self.table.rows[-1]) if cell.source), default=0)

    def is_shown(self, number: int) -> bool:
        """Whether it is drawn at all: a header stands in the lists that come below it."""
        return bool(number or self.widths or len(self.table.rows) == 1)

    def _is_in_columns(self, number: int) -> bool:
        if not self.widths:
            return False
        row = self.table.rows[number]
        if self.sample is None or number <= self.sample:
            return number == 0 or _fits(_texts(row), self.widths)
        return _fits(_sources(row), self.widths) and _high(_sources(row), self.widths) < self.height - 1


def layout_of(table: Table, width: int, height: int) -> Layout:
    """How a table is drawn at most `width` cells wide on a screen that has room for so many rows.

    Its last row may not be finished.
    """
    header, *body = table.rows
    widths, voters, misfits = _widths([header], width), [header], 0
    for count, row in enumerate(body):
        if count and not widths:
            return Layout(table, height, [], count)
        wide = _with_all_room(widths, width)  # as wide as the columns can be without the row
        left = height - _BESIDE - sum(_high_as_drawn(header, each, wide, width) for each in table.rows[: count + 1])
        if not count:
            if _list_high(header, row, width) > left and not (wide and _most_high(header, row, wide, width) <= left):
                return Layout(table, height, [], 0)
        elif count == SAMPLE or _most_high(header, row, wide, width) > left:
            return Layout(table, height, _widths(voters, width, spare=True), count)
        found = _widths([*voters, row], width)
        misfits += not found
        if count and not found and 2 * misfits <= count + 1:
            continue  # it is a list among rows in columns
        high = sum(_high_as_drawn(header, each, found, width) for each in table.rows[: count + 2])
        if high + _BESIDE <= height:
            widths, voters = found, [*voters, row]
        else:
            widths = wide if count or _list_high(header, row, width) > left else []
    return Layout(table, height, widths, None)


def _widths(rows: Sequence[Sequence[Cell]], width: int, *, spare: bool = False) -> list[int]:
    """How wide each column is, or nothing where there is no room for their words. `spare` leaves room for more."""
    columns = list(zip(*map(_texts, rows), strict=True))
    needs = [max(1, *map(most_cells, column)) for column in columns]
    widths = [min(need, max(_LEAST, *map(longest_piece, column))) for need, column in zip(needs, columns, strict=True)]
    room = width - _BETWEEN * (len(columns) - 1)
    if sum(widths) > room:
        return []
    if spare and sum(longer := [each + max(2, each // 4) for each in widths]) <= room:
        widths = longer
    _share(widths, needs, room)
    if spare:
        _share(widths, [2 * need for need in needs], room)
    return widths


def _share(widths: list[int], needs: Sequence[int], room: int) -> None:
    """What is left goes where it is needed, the narrow ones first."""
    left = room - sum(widths)
    for done, at in enumerate(sorted(range(len(widths)), key=lambda at: needs[at])):
        more = max(0, min(needs[at] - widths[at], left // (len(widths) - done)))
        widths[at] += more
        left -= more


def _with_all_room(widths: Sequence[int], width: int) -> list[int]:
    left = width - _BETWEEN * (len(widths) - 1) - sum(widths)
    return [each + left // len(widths) for each in widths]


def _high_as_drawn(header: Sequence[Cell], row: Sequence[Cell], widths: Sequence[int], width: int) -> int:
    if widths and (row is header or _fits(_texts(row), widths)):
        return _high(_texts(row), widths)
    return 0 if row is header else _list_high(header, row, width)


def _most_high(header: Sequence[Cell], row: Sequence[Cell], widths: Sequence[int], width: int) -> int:
    """How high a row is at least that comes to this, and at most as it is."""
    in_columns = _high(_sources(row), widths)
    return in_columns if _fits(_sources(row), widths) else max(in_columns, _list_high(header, row, width))


def _list_high(header: Sequence[Cell], row: Sequence[Cell], width: int) -> int:
    """With the line above it."""
    lines = (f"{name.text}: {cell.source}" for name, cell in zip(header, row, strict=True) if cell.source)
    return 1 + sum(_rows(line, width) for line in lines)


def _fits(row: Sequence[str], widths: Sequence[int]) -> bool:
    return all(longest_piece(cell) <= width for cell, width in zip(row, widths, strict=True))


def _high(row: Sequence[str], widths: Sequence[int]) -> int:
    return max(map(_rows, row, widths))


@lru_cache(4096)
def _rows(text: str, width: int) -> int:
    """How many rows a text takes: each cell of a table is measured again and again while others come."""
    return len(ends(text, width))


def _texts(row: Sequence[Cell]) -> list[str]:
    return [cell.text for cell in row]


def _sources(row: Sequence[Cell]) -> list[str]:
    """As they were written, a link's address as a word of its own, as it is shown."""
    return [cell.source.replace("](", "] (") for cell in row]


def _named(name: Cell, cell: Cell) -> list[Span]:
    return [*([(HEADER, f"{name.text}: ")] if name.text else []), *cell.spans] if cell.text else []


def _in_columns(row: Sequence[Cell], aligns: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, columns))):
        parts = [
            _aligned(*(column[number] if number < len(column) else ("", 0)), align, width)
            for column, align, width in zip(columns, aligns, widths, strict=True)
        ]
        lines.append((" " * _BETWEEN).join(parts).rstrip())
    return lines


def _wrapped(cell: Cell, width: int) -> list[tuple[str, int]]:
    """The rows of a cell and how wide each is."""
    text, stops = cell.text, ends(cell.text, width)
    cells = [most_cells(text[begin:end].rstrip()) for begin, end in pairwise([0, *stops])]
    return list(zip(painted_rows(cell.spans, 0, stops), cells, strict=True))


def _aligned(text: str, used: int, align: str, width: int) -> str:
    before = {"right": width - used, "center": (width - used) // 2}.get(align, 0)
    return " " * before + text + " " * (width - used - before)
