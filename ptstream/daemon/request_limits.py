"""How many requests may come over the network, and how large: those who are known have limits of their own."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from ptstream.errors import TooLarge, TooMany
from ptstream.rate_limit import RateLimit
from ptstream.wire import MAX_BODY

MAX_BODIES = 4 * MAX_BODY
"""Bytes of all the requests together that are being answered."""

STRANGERS_BODY = 16 * 1024
"""Bytes of a request of somebody who has shown no key, for what is open to all."""

STRANGERS_BODIES = 1024 * 1024
"""Bytes of all of those together."""

RATE = 100.0
"""Requests in a second, in the long run."""

BURST = 1000
"""Requests at once."""


@dataclass(slots=True)
class RequestLimits:
    """What those have together who are known, or those who are not."""

    rate: RateLimit
    body_size: int
    """Bytes of one body at most."""
    free: int
    """Bytes that bodies may still take, of all requests that are being answered."""

    def take_turn(self) -> None:
        """Raises TooMany."""
        if wait := self.rate.take(time.monotonic()):
            raise TooMany(f"too many requests: ask again in {wait:.1f} s")

    def check_length(self, headers: Headers) -> None:
        """What the request says of its body. Raises TooLarge."""
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or int(length[:18]) > self.body_size:
            raise TooLarge(f"a request may have {self.body_size} bytes")


def known_limits() -> RequestLimits:
    """Those of who has shown the token or a session."""
    return RequestLimits(RateLimit(RATE, BURST), MAX_BODY, MAX_BODIES)


def strangers_limits() -> RequestLimits:
    """Those of everybody else, as any web page: they take nobody's turn who has a key, nor their memory."""
    return RequestLimits(RateLimit(RATE, BURST), STRANGERS_BODY, STRANGERS_BODIES)


class BoundedBody:
    """The request's body, as far as it may go, and as memory allows. Raises TooLarge, TooMany."""

    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._size = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        if self._size + size > self._limits.body_size:
            raise TooLarge(f"a request may have {self._limits.body_size} bytes")
        if size > self._limits.free:
            raise TooMany("too many large requests at once: ask again in a moment")
        self._size += size
        self._limits.free -= size
        return message

    def release(self) -> None:
        """The request has been answered."""
        self._limits.free += self._size
