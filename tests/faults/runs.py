"""A run of the harness: its seed, from which every case's chance follows, so that a case can be tried again."""

from __future__ import annotations

import contextlib
import os
import random
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.tally import Tally


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for."""

    seed: int
    quick: bool = False

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
        tally.wrong[found:] = [f"seed {self.seed}, case {number}: {wrong}" for wrong in tally.wrong[found:]]
