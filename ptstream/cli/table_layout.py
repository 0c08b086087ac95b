"""A Markdown table in cells of a terminal: in columns, or each row as a list where columns would be too narrow to read."""

from __future__ import annotations

from collections.abc import Sequence

from ptstream.cli.wrapping import Span, ends, most_cells, painted

SAMPLE = 10
"""Rows by which the widths of the columns are found: when that many are there, the table can be shown row by row."""

_LEAST = 8
"""Cells below which a column of longer text cannot be read."""

_BETWEEN = 2

HEADER = "1;36"

Cell = list[Span]


def rows_of(table: Sequence[Sequence[Cell]], aligns: Sequence[str], width: int) -> list[list[str]]:
    """The terminal's rows of each row of a table, the first of which is its header, at most `width` cells wide."""
    count = len(table[0])
    needs = [max((most_cells(_text(row[at])) for row in table[: SAMPLE + 1]), default=1) or 1 for at in range(count)]
    widths = _widths(needs, width - _BETWEEN * (count - 1))
    if not widths:
        return _as_lists(table, width)
    header, *body = [_in_columns(row, aligns, widths) for row in table]
    rule = f"\x1b[36m{'─' * (sum(widths) + _BETWEEN * (count - 1))}\x1b[0m"
    return [[*header, rule], *body]


def _widths(needs: Sequence[int], width: int) -> list[int]:
    """How wide each column is, or nothing where there is no room to read them."""
    least = [min(need, _LEAST) for need in needs]
    if sum(least) > width:
        return []
    # What is left goes where it is needed, the narrow ones first.
    widths, left, open_columns = least, width - sum(least), len(needs)
    for at in sorted(range(len(needs)), key=lambda at: needs[at]):
        more = min(needs[at] - widths[at], left // open_columns)
        widths[at], left, open_columns = widths[at] + more, left - more, open_columns - 1
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
