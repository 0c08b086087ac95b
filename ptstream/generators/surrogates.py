"""Surrogates, the one place for them: pairs are joined across pieces, lone ones replaced, and none is cut apart.

A model's token may end in the middle of an emoji; JSON then carries two lone surrogates in two strings (RFC 8259, 7),
and neither can be encoded by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SURROGATE = re.compile("[\ud800-\udfff]")


PIECE = 64 * 1024
"""Characters of a piece at most: what a function hands over at once beyond that is several."""


class Surrogates:
    """Takes pieces and gives text without surrogates; at most one half of a pair is held back meanwhile."""

    def __init__(self) -> None:
        self._held = ""

    def __repr__(self) -> str:
        return f"Surrogates(held={self._held!r})"

    def feed(self, piece: str) -> str:
        """The text that is certain now: may be empty while a first half waits for its second."""
        text = self._held + piece
        self._held = ""
        if not _SURROGATE.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return mend(text)

    def end(self) -> str:
        """What is still held when nothing more comes: a replacement character, or nothing."""
        held, self._held = self._held, ""
        return mend(held)


def mend(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def slices(piece: str, most: int) -> Iterator[str]:
    """`piece` in parts of `most` characters, and one more where the halves of a character would part."""
    begin = 0
    while begin < len(piece):
        end = begin + most
        if "\ud800" <= piece[end - 1 : end] <= "\udbff" and "\udc00" <= piece[end : end + 1] <= "\udfff":
            end += 1
        yield piece[begin:end]
        begin = end
