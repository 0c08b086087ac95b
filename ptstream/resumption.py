"""Where a further attempt is begun: a stream whose provider broke off goes on from the text that it has.

How often, and after which wait. What a source does with that text is its generator's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

MOST = 10
"""Further attempts at one stream."""

BACKOFF = 0.5
"""Seconds before the first further attempt; twice as many before each one after it that got no text either."""


class Resumption:
    """The further attempts of one drive. `text` gives all the text that its stream has."""

    def __init__(self, text: Callable[[], Awaitable[str]], most: int = MOST) -> None:
        self.text = text
        self._remaining = most
        self._in_vain = 0

    @property
    def exhausted(self) -> bool:
        """Whether there have been as many as there may be."""
        return self._remaining <= 0

    def got_text(self) -> None:
        """The present attempt is not in vain: the wait before the next one is the shortest again."""
        self._in_vain = 0

    async def wait(self) -> None:
        """Before a further attempt."""
        await anyio.sleep(BACKOFF * 2**self._in_vain)
        self._remaining -= 1
        self._in_vain += 1
