"""A run of the harness: its seed, from which every case's chance follows, so that a case can be tried again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.tally import Tally

MINUTE, MOMENT = 60.0, 6.0
"""Seconds that what has no end of its own goes on, and in a quick run."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for."""

    seed: int
    quick: bool = False
    rounds: int | None = None
    """How many rounds there are of what has no end of its own; None: as many as its time has."""

    def numbers(self) -> Iterator[int]:
        """The rounds' numbers: the same seed does the same in each."""
        deadline = time.monotonic() + (MOMENT if self.quick else MINUTE)
        for number in itertools.count():
            if number == self.rounds or (self.rounds is None and time.monotonic() > deadline):
                return
            yield number

    @contextlib.contextmanager
    def case(self, tally: Tally, number: int) -> Iterator[random.Random]:
        """Chance for one case. What goes wrong in it is named with seed and case; the run goes on.

        A fault of the harness itself counts as wrong too.
        """
        found = len(tally.wrong)
        try:
            yield random.Random(f"{self.seed} {tally.title} {number}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            tally.wrong.append(f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})")
        named = f"seed {self.seed}, case "  # already, by a case within this one
        tally.wrong[found:] = [
            wrong if wrong.startswith(named) else f"{named}{number}: {wrong}" for wrong in tally.wrong[found:]
        ]
        for wrong in tally.wrong[found:]:
            print("WRONG ", wrong, file=sys.stderr, flush=True)
