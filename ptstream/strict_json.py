"""JSON in and out, in one place: what is no JSON text (RFC 8259) neither comes in nor goes out.

Python's own reader and writer take NaN, Infinity, and numbers that only become infinite (1e999), of which no other
reader can make anything. `loads` and `dumps` refuse them; `loads_mended` and `finite` put null in their place, for what
others have said and must be read all the same.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

MOST_DIGITS = 308
"""Digits of a whole number: what has more is infinite wherever numbers are doubles (RFC 8259, 6)."""


MOST_NESTED = 200
"""How deep a value may be nested: whoever goes through it calls itself as often, and Python bears little more."""

TOO_DEEP = "it is nested too deeply"


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, for a number that is none, and for nesting."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    return _shallow(value, len(text))


def loads_mended(text: str | bytes) -> Any:
    """The same from a stranger: what is no number becomes null, and control characters may stand in strings.

    Raises ValueError.
    """
    if not isinstance(text, str):
        text = text.decode(json.detect_encoding(text))
    value, place = next_mended(text, len(text) - len(text.lstrip()))
    if text[place:].strip():
        raise ValueError("more follows it")
    return value


def next_mended(text: str, place: int) -> tuple[Any, int]:
    """The value that begins at `place` of a stranger's text, and where it ends. Raises ValueError."""
    try:
        value, end = _MENDING.raw_decode(text, place)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    return _shallow(value, end - place), end


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


def _shallow(value: Any, size: int) -> Any:
    """The value of a text of `size` characters. Raises ValueError if it is nested too deeply to be gone through."""
    level, depth = [value], 0
    while level and size > MOST_NESTED:
        if depth == MOST_NESTED:
            raise ValueError(TOO_DEEP)
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level, depth = list(itertools.chain.from_iterable(inner)), depth + 1
    return value


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
