"""A Markdown table on a terminal: in columns, or each row as a list where columns would be too narrow to read."""

from __future__ import annotations

from collections.abc import Sequence

from ptstream.cli.wrapping import Span, ends, most_cells, painted

SAMPLE = 20
"""Rows by which the widths of the columns are found, or as many as the screen has room for: no row after them changes
one before, so that it can be shown for good."""

_LEAST = 8
"""Cells below which a column of longer text cannot be read."""

_BETWEEN = 2

_BESIDE = 5
"""Rows of the screen for the rule, the line above the table, and the rows by which it is seen that more are coming."""

HEADER = "1;36"

Cell = list[Span]


def rows_of(table: Sequence[Sequence[Cell]], aligns: Sequence[str], width: int, height: int) -> list[list[str]]:
    """The terminal's rows of each row of a table, the first of which is its header, at most `width` cells wide.

    `height` is how many rows the screen has room for.
    """
    sample = _sample(table, width, height)
    widths = _widths(table[: sample + 1], width, spare=len(table) - 1 > sample)
    if not widths:
        return _as_lists(table, width)
    header, *body = [_in_columns(row, aligns, widths) for row in table]
    rule = f"\x1b[36m{'─' * (sum(widths) + _BETWEEN * (len(widths) - 1))}\x1b[0m"
    return [[*header, rule], *body]


def settled_rows(table: Sequence[Sequence[Cell]], width: int, height: int) -> int:
    """How many rows no further one changes, the last of them being unfinished."""
    complete = table[:-1]
    if not complete or (_widths(complete, width) and len(complete) - 1 <= _sample(complete, width, height)):
        return 0
    return len(complete)


def _sample(table: Sequence[Sequence[Cell]], width: int, height: int) -> int:
    """How many rows the widths of the columns are found by."""
    for count in range(1, min(len(table) - 1, SAMPLE) + 1):
        widths = _widths(table[: count + 1], width)
        if sum(_high(row, widths) for row in table[: count + 1]) + _BESIDE > height:
            return max(1, count - 1)
    return SAMPLE


def _high(row: Sequence[Cell], widths: Sequence[int]) -> int:
    return max((len(ends(_text(cell), width)) for cell, width in zip(row, widths, strict=False)), default=0)


def _widths(table: Sequence[Sequence[Cell]], width: int, spare: bool = False) -> list[int]:
    """How wide each column is, or nothing where there is no room to read them. `spare` leaves room for longer cells."""
    count = len(table[0])
    needs = [max(1, *(most_cells(_text(row[at])) for row in table)) for at in range(count)]
    widths, left = [min(need, _LEAST) for need in needs], width - _BETWEEN * (count - 1)
    left -= sum(widths)
    if left < 0:
        return []
    # What is left goes where it is needed, the narrow ones first.
    for done, at in enumerate(sorted(range(count), key=lambda at: needs[at])):
        more = min(needs[at] * (1 + spare) - widths[at], left // (count - done))
        widths[at] += more
        left -= more
    return widths


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
    text, begin, rows = _text(cell), 0, []
    for end in ends(text, width):
        rows.append((painted(cell, begin, end), most_cells(text[begin:end].rstrip())))
        begin = end
    return rows


def _aligned(text: str, used: int, align: str, width: int) -> str:
    before = {"right": width - used, "center": (width - used) // 2}.get(align, 0)
    return " " * before + text + " " * (width - used - before)


def _as_lists(table: Sequence[Sequence[Cell]], width: int) -> list[list[str]]:
    header, *body = table
    names = [_text(cell) for cell in header]
    lists: list[list[str]] = []
    for row in body:
        lists.append([""] if lists else [])
        for name, cell in zip(names, row, strict=True):
            lists[-1] += [line for line, _ in _wrapped([(HEADER, f"{name}: " if name else ""), *cell], width)]
    # Without any row there is only the header to be shown.
    return [[] if body else [line for cell in header for line, _ in _wrapped(cell, width)], *lists]


def _text(cell: Cell) -> str:
    return "".join(text for _, text in cell)
