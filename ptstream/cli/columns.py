"""Text in cells of a terminal: how wide it is, how it is cut to a width, and tables of it.

On the fast path: the tables of `wcwidth` are loaded only for text that needs them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_EMOJI = "\ufe0f"
"""What asks for a sign in colour (VS16), which some terminals make wider by a cell, and some do not."""

_LEAST = 8
"""Cells below which a table's flexible column is of no use."""


def columns(
    rows: list[list[str]], width: int, flexible: int, optional: Sequence[int], right: Sequence[int]
) -> list[str]:
    """The rows as lines of at most `width` cells."""
    needs = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    shown = list(range(len(needs)))
    for column in (*optional, None):
        available = width - sum(needs[i] + 2 for i in shown if i != flexible)
        if available >= min(_LEAST, needs[flexible]) or column is None:
            break
        shown.remove(column)
    needs[flexible] = max(1, min(needs[flexible], available))
    return [_line([_fitted(row[i], needs[i], i in right) for i in shown]) for row in rows]


def _fitted(text: str, width: int, right: bool) -> str:
    text = cut(text, width)
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _line(parts: list[str]) -> str:
    return "  ".join(parts).rstrip()


def cells(text: str) -> int:
    """How many cells a line takes on a terminal. `text` must be clean."""
    if is_narrow(text):
        return len(text)
    from wcwidth import width

    return width(text)


def cut(text: str, width: int) -> str:
    """The line, its end replaced by "…" if it takes more than `width` cells."""
    if cells(text) <= width:
        return text
    if is_narrow(text):
        return text[: width - 1].rstrip() + "…"
    from wcwidth import clip

    return clip(text, 0, width - 1).rstrip() + "…"


def erased(lines: Sequence[str], columns: int) -> str:
    """What takes these lines off a terminal, if its cursor is still at the end of the last of them.

    A terminal wraps its lines again when it is resized: what counts is how many rows they take now. Row by row,
    because tmux puts a screen that is erased from its first row on (CSI J) into its history.
    """
    rows = sum(height(line, columns) for line in lines)
    return "\r" + "\x1b[2K\x1b[A" * (rows - 1) + "\x1b[2K"


def height(line: str, columns: int) -> int:
    """How many rows a line takes on a terminal of that many columns, colours included; where terminals do not
    agree, the least: who erases must not touch what stands above."""
    import re

    return len(row_begins(re.sub(r"\x1b\[[\d;:]*m", "", line), columns))


def row_begins(text: str, columns: int) -> list[int]:
    """Where the rows begin that a terminal of so many columns makes of a line: no wide character is cut in two."""
    if is_narrow(text):
        return list(range(0, len(text), columns)) or [0]
    from wcwidth import iter_graphemes, width

    begins, used, at = [0], 0, 0
    for part in iter_graphemes(text):
        needed = width(part.replace(_EMOJI, ""))
        if used and used + needed > columns:
            begins.append(at)
            used = 0
        used += needed
        at += len(part)
    return begins


def is_narrow(text: str) -> bool:
    """Whether each character certainly takes one cell: no need to load the tables of `wcwidth`."""
    return text.isascii() or (
        text.isprintable() and all(char < "\u0300" or "\u0370" <= char < "\u0483" for char in text)
    )
