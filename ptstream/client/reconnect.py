"""Trying again when a connection broke: how often, and with which pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from ptstream.errors import DaemonUnreachable

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try to connect, when a connection broke."""

T = TypeVar("T")


class Reconnecting:
    """Further tries at one piece of work, each after a longer pause; `say` is called for each."""

    def __init__(self, say: Callable[[str], None], pauses: Sequence[float] = PAUSES) -> None:
        self._say = say
        self._pauses = pauses
        self._failed = 0

    def succeeded(self) -> None:
        """What comes next may fail as often."""
        self._failed = 0

    async def failed(self, error: DaemonUnreachable) -> None:
        """Wait for the time of the next try. Raises the error if there is none."""
        if self._failed == len(self._pauses):
            raise error
        await anyio.sleep(self._pauses[self._failed])
        self._failed += 1
        # Not before: Ctrl-C ends ssh too, and its user has gone by now.
        self._say(f"{error} · connecting again ({self._failed} of {len(self._pauses)})")

    async def of(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, once it can. Raises DaemonUnreachable after the last try."""
        while True:
            try:
                result = await work()
            except DaemonUnreachable as error:
                await self.failed(error)
            else:
                self.succeeded()
                return result
