"""Numbers as requests write them."""

from __future__ import annotations

MOST_DIGITS = 18
"""Digits of a number: what has as many fits into 64 bits."""


def count_of(word: str) -> int | None:
    """The number from 0 on that `word` is, in ASCII digits; None for anything else, and for more than MOST_DIGITS."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= MOST_DIGITS else None
