"""Where a text may be cut without splitting a word or a grapheme cluster (Unicode UAX #29), when no sentence ends."""

from __future__ import annotations

import re

LONGEST_WORD = 100
"""Characters without a word boundary that are no longer taken for one word."""

_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]")
"""Scripts that are written without spaces: any two characters may be cut apart."""


def last_word_boundary(text: str) -> int:
    """The last index in `text` that lies between two words for certain; 0 if there is none."""
    if text.endswith("\n"):
        return len(text)
    words = text.rstrip()
    if words and len(words) < len(text) and is_grapheme_boundary(text, len(words)):
        return len(words)
    last = len(words) - len(words.rsplit(None, 1)[-1]) if words else 0
    if not words.isascii():
        for index in range(len(words) - 1, last, -1):
            if _NO_SPACES.match(words, index) and is_grapheme_boundary(text, index):
                return index
    return last if last and is_grapheme_boundary(text, last) else 0


def last_grapheme_boundary(text: str, index: int) -> int:
    """The last boundary of two grapheme clusters at or before `index`, an index of a character of `text`."""
    from wcwidth import grapheme_boundary_before

    boundary: int = grapheme_boundary_before(text, index + 1)
    return boundary


def is_grapheme_boundary(text: str, index: int) -> bool:
    """Whether a grapheme cluster begins at `index`, an index of a character of `text`."""
    return last_grapheme_boundary(text, index) == index
