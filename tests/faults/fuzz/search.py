"""Looking for an input that something does not hold for: in rounds, of which each follows from the seed.

hypothesis makes up the inputs and shortens what it finds; when to stop, what is known already, and what is too slow is
decided here.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.bounded import processor_seconds
from tests.faults.runs import Run
from tests.faults.tally import Tally

CPU_SECONDS = 10.0
"""What an input may take of the processor: more is a hang."""

SHORTENING = 8.0
"""Seconds that are spent on making an input shorter that was found."""

SHORTER = 4
"""How many times as few inputs a round has where rounds are counted, as in the project's tests."""

SHOWN = 1500
"""Characters of an input that are printed."""

REPEATED = re.compile(r"(.{1,12}?)\1{15,}")

T = TypeVar("T")


class Wrong(Exception):
    """Something does not hold. Of each `kind` one is told in a run."""

    def __init__(self, kind: str, detail: object = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class TooSlow(Exception):
    """It took more of the processor than it may."""


class Look(NamedTuple, Generic[T]):
    """What is made up, what must hold for it, how many of it make a round, and what one may take of the processor."""

    inputs: SearchStrategy[T]
    check: Callable[[T], object]
    examples: int = 40
    seconds: float = CPU_SECONDS


def search(run: Run, tally: Tally, looks: Sequence[Look[Any]]) -> None:
    """A round of each look in turn, until the time is over. What was found is told at its shortest."""
    known: set[str] = set()
    for number in run.numbers():
        with run.case(tally, number) as chance:
            look = looks[number % len(looks)]
            examples = look.examples if run.rounds is None else max(1, look.examples // SHORTER)
            _Round(look._replace(examples=examples), tally, known).play(chance)


class _Round(Generic[T]):
    def __init__(self, look: Look[T], tally: Tally, known: set[str]) -> None:
        self._look = look
        self._tally = tally
        self._known = known
        self._found: tuple[Exception, str] | None = None
        self._until = 0.0

    def play(self, chance: random.Random) -> None:
        """All its examples, or as far as the first that is wrong."""

        @seed(chance.getrandbits(64))
        @settings(
            max_examples=self._look.examples,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            print_blob=False,
        )
        @given(self._look.inputs)
        def play(made: T) -> None:
            self._try(made)

        with contextlib.suppress(Exception):  # what it says is told from what was found
            play()
        if self._found:
            error, shown = self._found
            self._known.add(_kind(error))
            self._tally.wrong.append(f"{_told(error)}\n    {shown}")

    def _try(self, made: T) -> None:
        self._tally.times += 1
        shown = _shown(made)
        if self._found and time.monotonic() > self._until:
            if shown == self._found[1]:
                raise self._found[0]
            return  # short enough
        try:
            with processor_seconds(self._look.seconds, TooSlow):
                self._look.check(made)
        except Exception as error:
            if _kind(error) in self._known or (self._found and _kind(error) != _kind(self._found[0])):
                return
            if not self._found:
                self._until = time.monotonic() + SHORTENING
            self._found = error, shown
            raise


def _kind(error: Exception) -> str:
    return error.kind if isinstance(error, Wrong) else f"{type(error).__name__} {_place(error)}"


def _told(error: Exception) -> str:
    if isinstance(error, Wrong):
        return _shortened(str(error))
    return f"{type(error).__name__}: {str(error)[:300]} {_place(error)}"


def _place(error: Exception) -> str:
    """Where it comes from: the innermost line of ours that it went through, unless it was just slow there."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/ptstream/" in frame.filename]
    if not ours:
        return ""
    place = ours[-1]
    return f"({place.filename.rpartition('/ptstream/')[2]}:{place.lineno})"


def _shown(made: object) -> str:
    return _shortened(repr(made))


def _shortened(said: str) -> str:
    said = REPEATED.sub(lambda found: f"{found[1]}⟨{len(found[0]) // len(found[1])} times⟩", said)
    return said if len(said) <= SHOWN else f"{said[:SHOWN]} … ({len(said)} characters)"
