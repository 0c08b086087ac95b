"""What the kills have in common: streams with a known text, and a random moment at which something happens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from ptstream.streams import GenerationRequest
from tests.faults.ears import Recording
from tests.faults.ground import Ground
from tests.faults.text import numbered
from tests.faults.verdict import Told

EARLY = 0.2
"""The share of moments that are early: somewhere while things begin."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much text a stream has in bytes, and how fast it comes in pieces a second, of so many characters."""

    size: int = 12_000
    rate: int = 900
    characters: int = 7


def text_file(here: Ground, label: str, size: int) -> tuple[str, bytes]:
    """A file with a text that is told apart by its label, and the text."""
    text = numbered(label, size)
    path = os.path.join(here.folder, f"{label}.txt")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(text)
    return path, text


def pending(here: Ground, count: int, pace: Pace, label: str = "s") -> list[Told]:
    """So many streams, each with a text of its own, replayed by whoever drives it; every fourth by a command."""
    made = []
    with here.store() as store:
        for number in range(count):
            path, text = text_file(here, f"{label}{number}", pace.size)
            if here.chance.random() < 0.25:
                # Its writes cut characters, which comes out of a pipe anyhow.
                block = here.chance.choice([37, 501])
                words = GenerationRequest(command=("sh", "-c", f"dd if={path} bs={block} 2>/dev/null; sleep 0.2"))
            else:
                words = GenerationRequest(prompt="x", model=f"replay:{path}?rate={pace.rate}&size={pace.characters}")
            made.append(Told(store.create(words).id, text))
    return made


def moments(here: Ground, count: int, whole: int) -> list[int]:
    """So many random moments in order: each a number of bytes to have come of the `whole`, or 0 for an early one."""
    chance = here.chance
    return sorted(0 if chance.random() < EARLY else chance.randrange(1, max(2, whole)) for _ in range(count))


def await_moment(here: Ground, wanted: int, progress: Callable[[], int], over: Callable[[], bool]) -> None:
    """Wait for it, or until all is over; then some microseconds, so that it falls anywhere between two steps."""
    if wanted == 0:
        here.ears.pause(here.chance.uniform(0, 0.5))
        return
    here.ears.until(lambda: progress() >= wanted or over(), f"byte {wanted}")
    until = time.perf_counter() + here.chance.uniform(0, 0.003)
    while time.perf_counter() < until:
        pass


def moment(here: Ground, progress: Callable[[], int], whole: int, over: Callable[[], bool]) -> None:
    """Wait for one random moment."""
    (wanted,) = moments(here, 1, whole)
    await_moment(here, wanted, progress, over)


def heard(recording: Recording) -> Callable[[], bytes]:
    """What a reader has received by the time it is asked."""
    return recording.drain
