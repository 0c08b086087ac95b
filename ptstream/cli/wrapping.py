"""Rows of a terminal: styled text, wrapped by one measure of width, which is also the one that rows are erased by.

Terminals do not agree on how wide some characters are: a vowel sign of Devanagari takes no cell in one and one in
another, and so do parts of an emoji. Rows are wrapped by the most that any of them gives, so that no terminal wraps a
row of ours by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from wcwidth import iter_graphemes, wcwidth

from ptstream.cli.columns import is_narrow

Span = tuple[str, str]
"""Parameters of SGR (ECMA-48), or "", and the text that they are for."""

SGR = re.compile(r"\x1b\[[\d;:]*m")

_WORDS = re.compile(r"[ \t\n]+|[^ \t\n]+")

_CLOSING = frozenset("、。，．・：；？！」』】〕〉》）］｝”’…‥ー～,.:;?!)]}")
"""What begins no row, where a row may otherwise begin with any character (Japanese, Chinese)."""


def most_cells(text: str) -> int:
    """How many cells a text takes on the terminal that gives it the most."""
    return len(text) if is_narrow(text) else sum(map(_most, text))


@lru_cache(4096)
def _most(character: str) -> int:
    if character == "\ufe0f" or unicodedata.category(character) == "Mc":
        return 1
    return max(wcwidth(character), 0)


def ends(text: str, width: int, begin: int = 0) -> list[int]:
    """Where the rows of a text end that are at most `width` cells wide, if the first begins at `begin`.

    Each end but the last is settled by what stands before the end of the following row: more text changes none.
    """
    found: list[int] = []
    used, at = 0, begin
    for piece, space in _pieces(text, begin):
        cells = most_cells(piece)
        if not space and used + cells > width:
            if used:
                found.append(at)
                used = 0
            if cells > width:
                used = _folded(piece, width, at, found)
                at += len(piece)
                continue
        used += cells
        at += len(piece)
    return [*found, len(text)]


def _folded(piece: str, width: int, at: int, found: list[int]) -> int:
    """Ends rows inside a piece that is wider than a row; how many cells are used of the last one."""
    used = 0
    for part in iter_graphemes(piece):
        cells = most_cells(part)
        if used and used + cells > width:
            found.append(at)
            used = 0
        used += cells
        at += len(part)
    return used


def _pieces(text: str, begin: int) -> Iterator[tuple[str, bool]]:
    """What a row may end after: words and the spaces between them, each wide character; and whether it is space."""
    for match in _WORDS.finditer(text, begin):
        word = match[0]
        if word[0] in " \t\n":
            yield word, True
        elif is_narrow(word):
            yield word, False
        else:
            for part in _parts(word):
                yield part, False


@lru_cache(4096)
def longest_piece(text: str) -> int:
    """How many cells the widest piece takes of those that a row may end after."""
    return max((most_cells(piece) for piece, space in _pieces(text, 0) if not space), default=0)


def last_piece(text: str) -> int:
    """Where the last piece begins of those that a row may end after."""
    at = text.rfind(" ") + 1
    pieces = [piece for piece, _ in _pieces(text, at)]
    return len(text) - len(pieces[-1]) if pieces else at


def _parts(word: str) -> Iterator[str]:
    held, wide = "", False
    for part in iter_graphemes(word):
        is_wide = wcwidth(part[0]) == 2
        if held and (wide or is_wide) and part not in _CLOSING:
            yield held
            held = ""
        held += part
        wide = is_wide
    if held:
        yield held


def painted(spans: Sequence[Span], begin: int = 0) -> str:
    """The text from `begin` on with its styles, without spaces at its end."""
    return next(painted_rows(spans, begin, [sum(len(text) for _, text in spans)]))


def painted_rows(spans: Sequence[Span], begin: int, stops: Iterable[int]) -> Iterator[str]:
    """The same of each row of a text, from `begin` to the first of these places, from there to the next, and so on.

    In one pass: a row is found where the one before it ended.
    """
    number = at = 0  # of a span, and where it begins
    for stop in stops:
        row: list[Span] = []
        while number < len(spans):
            style, text = spans[number]
            if part := text[max(begin - at, 0) : stop - at]:
                row.append((style, part))
            if at + len(text) > stop:
                break
            at += len(text)
            number += 1
        yield _painted(row)
        begin = stop


def _painted(row: list[Span]) -> str:
    while row and not (text := row[-1][1].rstrip(" \t\n")):
        row.pop()
    if row:
        row[-1] = row[-1][0], text
    return "".join(f"\x1b[{style}m{text}\x1b[0m" if style else text for style, text in row)
