"""Whole numbers as others write them: in requests, options and addresses.

Python's own reader takes digits of every script, signs, underscores and blanks, and refuses more than 4,300 digits with
an error of its own. Free of imports: the fastest command lines use it.
"""

from __future__ import annotations

MAX_DIGITS = 18
"""Digits of a number at most: what has as many fits into 64 bits, as the database's numbers do."""


def count_of(word: str) -> int | None:
    """The number from 0 on that `word` is, in ASCII digits; None for anything else, and for more than MAX_DIGITS."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= MAX_DIGITS else None
