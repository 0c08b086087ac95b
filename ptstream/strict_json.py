"""JSON in and out, in one place: what is no JSON text (RFC 8259) neither comes in nor goes out.

Python's own reader and writer take NaN, Infinity, and numbers that only become infinite (1e999), of which no other
reader can make anything. `loads` and `dumps` refuse them; `loads_mended` and `finite` put null in their place, for what
others have said and must be read all the same.

What comes in is parsed only if that takes little time and memory, whatever it holds: a parser makes a value out of
every two bytes of `[[],[],…]`, and holds the event loop, and every thread, meanwhile.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

MOST_DIGITS = 308
"""Digits of a whole number: what has more is infinite wherever numbers are doubles (RFC 8259, 6)."""

MOST_VALUES = 100_000
"""Values that one text may hold, about: some 20 ms, and 10 MB."""

DEEPEST = 100
"""Lists and objects within each other."""

_MARK = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)|[\[{}\],]', re.DOTALL)
"""A whole string, or what begins, ends or parts values."""


class TooComplex(ValueError):
    """The message says what there is too much of: more than so many values."""


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


def loads(text: str | bytes, *, bounded: bool = True) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, and for a number that is none.

    TooComplex for what is too much of it, unless it is not `bounded`, as what we have written ourselves.
    """
    text = _decoded(text)
    if bounded:
        check(text)
    return json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)


def loads_mended(text: str | bytes) -> Any:
    """The same from a stranger: what is no number becomes null, and control characters may stand in strings.

    Raises ValueError, TooComplex.
    """
    text = _decoded(text)
    check(text)
    value, place = next_mended(text, len(text) - len(text.lstrip()))
    if text[place:].strip():
        raise ValueError("more follows it")
    return value


def next_mended(text: str, place: int) -> tuple[Any, int]:
    """The value at `place` of a stranger's text, which was checked, and where it ends. Raises ValueError."""
    return _MENDING.raw_decode(text, place)


def dumps(value: Any, *, ensure_ascii: bool = True, compact: bool = False) -> str:
    """A value as JSON text. Raises ValueError for a number that is none, TypeError for what JSON has no form for."""
    separators = (",", ":") if compact else None
    return json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False, separators=separators)


def finite(value: Any) -> Any:
    """The value with null for every number in it that is none, and a string for whatever JSON has no form for."""
    if isinstance(value, Mapping):
        return {name if isinstance(name, str) else str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**MOST_DIGITS else None
    return str(value)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(json.detect_encoding(text), "surrogatepass")


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _float(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:20]} is no number that can be held")
    return value


def _int(word: str) -> int:
    if len(word) > MOST_DIGITS:  # looked at first: reading many digits takes the square of their time
        raise ValueError(f"{word[:20]}… is no number that can be held")
    return int(word)


def _float_or_null(word: str) -> float | None:
    value = float(word)
    return value if math.isfinite(value) else None


def _int_or_null(word: str) -> int | None:
    return int(word) if len(word) <= MOST_DIGITS else None


_MENDING = json.JSONDecoder(
    strict=False,
    parse_constant=lambda _: None,
    parse_float=_float_or_null,
    parse_int=_int_or_null,
)
