"""The two lines around a text that somebody waits for: how long it has been waited for, and how it went in the end.

On stderr alone, and only where that is a terminal. The first goes away when anything comes.
"""

from __future__ import annotations

import os
import time
from time import monotonic
from typing import Any

import anyio

from ptstream.cli.describe import duration, size
from ptstream.cli.screen import Screen
from ptstream.streams import Attempt, GenerationRequest, Stream
from ptstream.streams_protocol import Streams

SAID_AFTER = 2
"""Seconds after which it is said that there is something to wait for."""

_COUNTS = ("completion_tokens", "output_tokens")


class Timing:
    """When a text was waited for, when it began, and how much came. Times are seconds.

    `whole` is whether its first piece is seen as it comes; else how it went is what is known of its attempt.
    """

    def __init__(self, *, whole: bool = True) -> None:
        self._whole = whole
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

    async def say_how_it_went(self, screen: Screen, streams: Streams, id: str) -> None:
        """One line, of a stream that has ended."""
        details = await streams.details(id)
        screen.note(self.summary(details.stream, details.attempts[-1] if details.attempts else None))

    def summary(self, stream: Stream, attempt: Attempt | None) -> str:
        """One line on how it went."""
        tokens = _tokens(attempt.usage if attempt else None)
        if self._whole or attempt is None:
            began = self._last if self._first is None else self._first
            count, flowing, took = self._bytes, self._last - began, monotonic() - self._asked
            first = [f"first after {began - self._asked:.1f} s"] if self._first is not None else []
        else:
            count, first = stream.bytes - attempt.begin, []
            flowing = took = (stream.ended_at or time.time()) - attempt.started_at
        amount = size(count) if tokens is None else f"{tokens} tokens"
        rate = [] if flowing < 0.1 else [_rate(count if tokens is None else tokens, flowing, tokens is not None)]
        return " · ".join([stream.status.value, amount, *rate, *first, f"{duration(took)} in all", stream.id])


def what_writes(request: GenerationRequest) -> str:
    """What a stream of this request is waited for from."""
    return request.model or (os.path.basename(request.command[0]) if request.command else "text")


def tells(screen: Screen, stream: Stream, *, quiet: bool) -> bool:
    """Whether somebody is told what is waited for: not of a text that is there already."""
    return screen.err_terminal and not quiet and not stream.status.ended


def _rate(count: int, seconds: float, is_tokens: bool) -> str:
    return f"{count / seconds:.0f} a second" if is_tokens else f"{size(round(count / seconds))} a second"


def _tokens(usage: dict[str, Any] | None) -> int | None:
    counts = [usage[name] for name in _COUNTS if isinstance((usage or {}).get(name), int)] if usage else []
    return counts[0] if counts else None
