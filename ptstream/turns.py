"""Turns in the event loop, for work that always has a next step and waits for nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio.lowlevel

FAIR = 0.002
"""Seconds that such work may keep the event loop from others."""


class Turns:
    """Lets others have their turn when it is due. Ask it between any two steps: they should be short."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    async def give(self) -> None:
        """Returns at once, or when the others have had their turn."""
        if self._clock() - self._began > FAIR:
            await anyio.lowlevel.checkpoint()
            self._began = self._clock()
