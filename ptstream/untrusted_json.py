"""JSON from outside: parsed only if that takes little time and memory, whatever it holds.

A parser makes a value out of every two bytes of `[[],[],…]`, and holds the event loop, and every thread, meanwhile.
"""

from __future__ import annotations

import json
import re
from typing import Any

MOST_VALUES = 100_000
"""Values that one text may hold, about: some 20 ms, and 10 MB."""

DEEPEST = 100
"""Lists and objects within each other."""

_MARK = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)|[\[{}\],]', re.DOTALL)
"""A whole string, or what begins, ends or parts values."""


class TooComplex(ValueError):
    """The message says what there is too much of: more than so many values."""


def loads(data: str | bytes, *, strict: bool = True) -> Any:
    """The value that `data` is. Raises ValueError for what is no JSON, TooComplex for what is too much of it."""
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    check(text)
    return json.loads(text, strict=strict)


def check(text: str) -> None:
    """Raises TooComplex for what would take long to parse, JSON or not."""
    opened = text.count("[") + text.count("{")
    # What strings hold is counted here, too: most texts have so little that no more is to be done.
    if opened <= DEEPEST and opened + text.count(",") <= MOST_VALUES:
        return
    values = depth = 0
    for found in _MARK.finditer(text):
        mark = text[found.start()]
        if mark in "]}":
            depth -= 1
        elif mark != '"':
            values += 1
            depth += mark != ","
        if values > MOST_VALUES:
            raise TooComplex(f"more than {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise TooComplex(f"more than {DEEPEST} lists and objects within each other")
