"""Search: a plain scan over all text that is kept, the unfinished included, newest stream first.

Its time grows with the text and with nothing else, and it can be ended between any two blocks: the search of a string
in a string, which `str.find` does in linear time whatever the two are (Crochemore and Perrin's two-way algorithm), and
`re` with IGNORECASE does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from ptstream.engine.sqlite.cursor import Cursor, read_now
from ptstream.engine.sqlite.recovery import listed
from ptstream.engine.sqlite.store import Store
from ptstream.errors import StreamNotFound, UsageError
from ptstream.streams import Stream

BLOCK = 256 * 1024
"""Characters that are looked at together, about: a few milliseconds."""

AROUND = 80
"""Characters of its line that are shown on either side of what was found."""

LONGEST_QUERY = 1000
"""Characters of a query at most."""

_SAME = {
    "i": "ı",
    "s": "ſ",
    "ṡ": "ẛ",
    "\ufb06": "\ufb05",
    "β": "ϐ",
    "ε": "ϵ",
    "θ": "ϑ",
    "ι": "\u0345\u1fbe",
    "\u0390": "\u1fd3",
    "κ": "ϰ",
    "μ": "\u00b5",
    "π": "ϖ",
    "ρ": "ϱ",
    "σ": "ς",
    "\u03b0": "\u1fe3",
    "φ": "ϕ",
    "в": "\u1c80",
    "д": "\u1c81",
    "о": "\u1c82",
    "с": "\u1c83",
    "т": "\u1c84\u1c85",
    "ъ": "\u1c86",
    "ѣ": "\u1c87",
    "ꙋ": "\u1c88",
}
"""Small letters that have the same capital as another, by that one (Unicode's UnicodeData.txt)."""


class Hit(NamedTuple):
    """Where the query stands: its stream, the offset of its first byte, and the line around it."""

    stream: Stream
    offset: int
    line: str


def search(store: Store, query: str, enough: Callable[[], bool] = lambda: False) -> Iterator[Hit]:
    """Every place where `query` stands, until it is `enough`. Written in lower case, it means capitals as well.

    Raises UsageError for an empty query, and for one of more than LONGEST_QUERY characters.
    """
    if not query:
        raise UsageError("an empty query is found everywhere")
    if len(query) > LONGEST_QUERY:
        raise UsageError(f"what is searched for has {LONGEST_QUERY} characters at most: {len(query)} are too many")
    fold = folded if query == query.lower() else str
    for stream in listed(store):
        if enough():
            return
        with contextlib.suppress(StreamNotFound):  # deleted meanwhile
            blocks = takewhile(lambda _: not enough(), _blocks(store, stream))
            yield from _in_stream(blocks, stream, fold(query), fold)


def folded(text: str) -> str:
    """`text` with all letters that differ in their case alone made the same: one for one, so that places stay.

    As Unicode's simple case mappings have it, without regard to language: the Turkish dotless i is an i.
    """
    if text.isascii():
        return text.lower()
    text = text.replace("İ", "i").lower()  # the only character that `lower` makes two of
    for usual, others in _SAME.items():
        for other in others:
            text = text.replace(other, usual)
    return text


def _in_stream(blocks: Iterable[str], stream: Stream, query: str, fold: Callable[[str], str]) -> Iterator[Hit]:
    start, before = 0, ""  # of the text at hand: its offset in bytes, and what of it has been searched
    behind = 0  # the last hit
    for block in blocks:
        text = before + block
        looked_at = fold(text)
        at, offset = 0, start
        # What began in the last block, and could not end there.
        found = looked_at.find(query, max(behind, len(before) - len(query) + 1))
        while found >= 0:
            offset += len(text[at:found].encode())
            at, behind = found, found + len(query)
            yield Hit(stream, offset, _line(text, found, behind))
            found = looked_at.find(query, behind)
        before = text[-(AROUND + len(query)) :]
        behind -= len(text) - len(before)
        start += len(text.encode()) - len(before.encode())


def _blocks(store: Store, stream: Stream) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for data in read_now(Cursor(store, stream.id), stream.bytes):
        held.append(data.decode())
        size += len(held[-1])
        if size >= BLOCK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def _line(text: str, start: int, end: int) -> str:
    """The line in which `text[start:end]` stands, or as much of it as is shown."""
    before = text[max(0, start - AROUND) : start].rpartition("\n")[2]
    behind = text[end : end + AROUND].partition("\n")[0]
    return (before + text[start:end] + behind).strip()
