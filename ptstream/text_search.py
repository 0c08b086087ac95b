"""Finding a query in a text that comes in blocks: where it stands, and the line around it.

In linear time whatever the two are: `str.find` looks for a string in a string so (Crochemore and Perrin's two-way
algorithm), and `re` with IGNORECASE does not. Which texts there are is an engine's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ptstream.errors import UsageError
from ptstream.streams import Stream

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


_ALSO = {"i": "İI", "k": "\u212a", "å": "\u212b", "ω": "\u2126", "ß": "ẞ", "θ": "ϴ"}
"""Capitals that have a small letter whose capital they are not."""


def check(query: str) -> None:
    """Raises UsageError for an empty query, and for one of more than LONGEST_QUERY characters."""
    if not query:
        raise UsageError("an empty query is found everywhere")
    if len(query) > LONGEST_QUERY:
        raise UsageError(f"what is searched for has {LONGEST_QUERY} characters at most: {len(query)} are too many")


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


def alike(character: str) -> set[str]:
    """Every character that `folded` makes the same of as of this one, which it makes nothing else of."""
    found = {character, character.upper(), character.title(), *_SAME.get(character, ""), *_ALSO.get(character, "")}
    found |= {other.upper() for other in found}
    return {other for other in found if len(other) == 1 and folded(other) == character} or {character}


class Places:
    """Every place of a query in one text, which is given block by block: its offset, and the line in which it stands.

    Written in lower case, it means capitals as well.
    """

    def __init__(self, query: str) -> None:
        self._fold = folded if query == query.lower() else str
        self._query = self._fold(query)
        self._start, self._before = 0, ""  # of the text at hand: its offset in bytes, and what has been searched
        self._behind = 0  # the last hit

    def within(self, block: str) -> Iterator[tuple[int, str]]:
        """Those that end in the text's next block: of each, the offset of its first byte, and the line."""
        query, before, behind = self._query, self._before, self._behind
        text = before + block
        looked_at = self._fold(text)
        at, offset = 0, self._start
        # What began in the last block, and could not end there.
        found = looked_at.find(query, max(behind, len(before) - len(query) + 1))
        while found >= 0:
            offset += len(text[at:found].encode())
            at, behind = found, found + len(query)
            yield offset, _line(text, found, behind)
            found = looked_at.find(query, behind)
        self._before = text[-(AROUND + len(query)) :]
        self._behind = behind - (len(text) - len(self._before))
        self._start += len(text.encode()) - len(self._before.encode())


def places(blocks: Iterable[str], query: str) -> Iterator[tuple[int, str]]:
    """The same for all blocks of a text."""
    finder = Places(query)
    for block in blocks:
        yield from finder.within(block)


def places_beside(stream: Stream, query: str) -> Iterator[tuple[str, int, str]]:
    """The same in what is known of a stream beside its text, as much as it has here: of each first in what it is."""
    command = " ".join(stream.command or ())
    beside = {"name": stream.name, "title": stream.title or command or stream.generator, "prompt": stream.prompt}
    for where, text in beside.items():
        for offset, line in places([text or ""], query):
            yield where, offset, line


def _line(text: str, start: int, end: int) -> str:
    """The line in which `text[start:end]` stands, or as much of it as is shown."""
    before = text[max(0, start - AROUND) : start].rpartition("\n")[2]
    behind = text[end : end + AROUND].partition("\n")[0]
    return (before + text[start:end] + behind).strip()
