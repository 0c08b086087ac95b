"""Where a drive's time-outs are decided: how long its generator may be silent, and take in all.

`drive.py` reports to it when something came; what to do when a limit is exceeded is `drive.py`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from ptstream.config import Limits

STOPPED = 0.5
"""Seconds by which this process wakes up late when it was stopped, and not only busy."""


class Timeouts:
    """The limits of one drive, from now on. Times are seconds of a clock that stands still while the machine sleeps."""

    def __init__(self, limits: Limits, clock: Callable[[], float], elapsed: float = 0.0) -> None:
        """`elapsed` is how many seconds of the limit of all have gone already."""
        self._limits = limits
        self._clock = clock
        self._progress = clock()
        self._began = self._progress - elapsed
        self._quiet = 0.0
        self.paused = False
        """Whether the generator waits for the disk or the store: then its silence is not its own."""
        self.begun = False
        """Whether any text has come."""

    def progress(self, quiet: float = 0.0) -> float:
        """Something came just now, and what comes next may take `quiet` seconds longer than usual; the time."""
        self._quiet = quiet
        now = self._progress = self._clock()
        return now

    @contextmanager
    def pause(self) -> Iterator[None]:
        """No limit counts while the context lasts, but that of all."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False
            self._progress = self._clock()

    async def exceeded(self) -> str:
        """Returns when a limit is exceeded: which one, in one sentence. Never, if there is none."""
        if self._limits == Limits():
            await anyio.sleep_forever()
        while True:
            deadline, cause = self._next()
            if deadline <= self._clock() and not self.paused:
                return cause
            asked = min(1.0, max(0.05, deadline - self._clock()))
            before = anyio.current_time()
            await anyio.sleep(asked)
            # What was stopped, or slept, has not been idle: what came meanwhile is still to be read.
            if (late := anyio.current_time() - before - asked) > STOPPED:
                self._progress += late
                self._began += late

    def _next(self) -> tuple[float, str]:
        first, idle, total = self._limits.first, self._limits.idle, self._limits.total
        name, silent = ("idle", idle) if self.begun else ("first", first)
        borne = (silent or math.inf) + self._quiet
        what = f"nothing more came for {borne:g} s" if self.begun else f"nothing came within {borne:g} s"
        return min(
            (self._began + (total or math.inf), f"not finished within {total or 0:g} s (total_timeout)"),
            (self._progress + borne, f"{what} ({name}_timeout)"),
        )
