"""How long an endpoint that refuses wants not to be asked: its `Retry-After` (RFC 9110, 10.2.3), else its words.

All times are seconds.
"""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from time import time

import httpx

AGAIN_IN = re.compile(r"(?:again|retry) (?:in|after):? *((?:[0-9.]+ ?(?:ms|h|m|s)[a-z]* ?)+)", re.IGNORECASE)
SPAN = re.compile(r"([0-9.]+) ?(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

WAITS = ("retryDelay", "retry_after", "retry_after_seconds", "estimated_time")
"""Where the body of a refusal may name a wait: Google, several, Hugging Face. Seconds, with or without an `s`."""


def wait_of(response: httpx.Response, body: str) -> float | None:
    """How many seconds it wants not to be asked: its header, else its words (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := _number(response.headers.get(name, ""))) is not None:
            return seconds * unit
    try:
        return max(0.0, parsedate_to_datetime(response.headers.get("retry-after", "")).timestamp() - time())
    except (ValueError, TypeError, IndexError, OverflowError):  # each of which it raises for what is no date
        return _wait_in(body)


def _wait_in(body: str) -> float | None:
    for name in WAITS:
        if found := re.search(rf'{name}\\*": *\\*"?([0-9.]+)', body):  # perhaps within a string
            return _number(found.group(1))
    if found := AGAIN_IN.search(body):
        seconds = sum((_number(count) or 0.0) * SECONDS[unit] for count, unit in SPAN.findall(found.group(1)))
        return seconds if math.isfinite(seconds) else None
    return None


def _number(word: str) -> float | None:
    """What a word says in digits, at least 0; None where it says nothing that can be waited for."""
    try:
        number = float(word)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
