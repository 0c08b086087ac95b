"""The two lines around a text that somebody waits for: how long it has been waited for, and how it went in the end.

On stderr alone, and only where that is a terminal. The first goes away when anything comes.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import anyio

from ptstream.cli.describe import size
from ptstream.cli.screen import Screen
from ptstream.streams import Attempt, Stream

SAID_AFTER = 2
"""Seconds after which it is said that there is something to wait for."""

_COUNTS = ("completion_tokens", "output_tokens")


class Timing:
    """When a text was asked for, when it began, and how much came. Times are seconds."""

    def __init__(self) -> None:
        self._asked = self._last = monotonic()
        self._first: float | None = None
        self._bytes = 0

    def took(self, data: bytes) -> None:
        """Takes note of text that has come."""
        self._last = monotonic()
        self._first = self._first or self._last
        self._bytes += len(data)

    async def wait(self, screen: Screen, what: str) -> None:
        """Says what is waited for, until the text begins. Runs until then, or until it is cancelled."""
        await anyio.sleep(SAID_AFTER)
        while self._first is None:
            await screen.status(f"{what} · {monotonic() - self._asked:.0f} s · Ctrl-C detaches")
            await anyio.sleep(1)

    def summary(self, stream: Stream, attempt: Attempt | None) -> str:
        """One line on how it went."""
        tokens = _tokens(attempt.usage if attempt else None)
        began = self._last if self._first is None else self._first
        flowing = self._last - began
        count = size(self._bytes) if tokens is None else f"{tokens} tokens"
        rate = [] if flowing < 0.1 else [_rate(self._bytes if tokens is None else tokens, flowing, tokens is not None)]
        first = [f"first after {began - self._asked:.1f} s"] if self._first is not None else []
        took = f"{monotonic() - self._asked:.1f} s in all"
        return " · ".join([stream.status.value, count, *rate, *first, took, stream.id])


def _rate(count: int, seconds: float, is_tokens: bool) -> str:
    return f"{count / seconds:.0f} a second" if is_tokens else f"{size(round(count / seconds))} a second"


def _tokens(usage: dict[str, Any] | None) -> int | None:
    counts = [usage[name] for name in _COUNTS if isinstance((usage or {}).get(name), int)] if usage else []
    return counts[0] if counts else None
