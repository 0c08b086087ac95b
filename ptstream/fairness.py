"""Letting other tasks run: for work in the event loop that always has a next step and waits for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio.lowlevel

FAIR = 0.002
"""Seconds that such work may keep the event loop from others."""


class Fairness:
    """Says when such work has had its share. Ask it between any two steps: they should be short."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    def is_over(self, now: float) -> bool:
        """Whether it has had its share at `now`, by its clock. Costs less than a `checkpoint`, which is due then."""
        return now - self._began > FAIR

    async def checkpoint(self) -> None:
        """Returns at once; or, when FAIR seconds are over, after all other tasks that are ready have run."""
        if self.is_over(self._clock()):
            await anyio.lowlevel.checkpoint()
            self._began = self._clock()
