"""Whether work grows as what it is done to: a part of an input again and again, and what four times as much costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import AnyStr, Generic

from tests.faults.fuzz.search import Wrong

SIZES = (1024, 4096, 16384)
"""How long an input is; each four times the one before."""

RATIO = 8.0
"""How many times as long four times as much may take: what grows with the square takes sixteen."""

WORTH = 0.1
"""Seconds of the processor below which nothing is said: what is measured there is something else."""

AGAIN = 3
"""How often what seems too slow is measured again; the best counts."""


@dataclass(frozen=True, slots=True)
class Pumped(Generic[AnyStr]):
    """A beginning, a part that comes again and again, and an end."""

    begin: AnyStr
    part: AnyStr
    end: AnyStr

    def of(self, size: int) -> AnyStr:
        """Some `size` of it."""
        return self.begin + self.part * (size // max(1, len(self.part))) + self.end


def grows_evenly(pumped: Pumped[AnyStr], work: Callable[[AnyStr], object], sizes: Sequence[int] = SIZES) -> None:
    """Raises Wrong if four times as much takes more than RATIO times as long, in seconds of this process's own."""
    seconds_grow_evenly(pumped, lambda made: _seconds(made, work), sizes)


def seconds_grow_evenly(
    pumped: Pumped[AnyStr], seconds: Callable[[AnyStr], float], sizes: Sequence[int] = SIZES
) -> None:
    """The same of work that somebody else measures, perhaps while others want the processor, too."""
    before = 0.0
    for size in sizes if pumped.part else ():
        took = seconds(pumped.of(size))
        if took > WORTH and before and took > RATIO * before:
            took = min(took, *(seconds(pumped.of(size)) for _ in range(AGAIN)))
            before = max(before, *(seconds(pumped.of(size // 4)) for _ in range(AGAIN)))
            if took > RATIO * before:
                raise Wrong("it grows faster than what comes", f"{size} take {took:.2f} s, a quarter {before:.3f} s")
        before = took


def _seconds(made: AnyStr, work: Callable[[AnyStr], object]) -> float:
    began = time.process_time()
    work(made)
    return time.process_time() - began
