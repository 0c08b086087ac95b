"""What the commands take while the database grows: 10 to 10,000 streams in it.

Each size has a home of its own, filled with ended streams of 2 kB in one transaction; no daemon runs. A command is a
process, started in one home after the other, so that all see the machine in the same seconds. The order is O(1) where a
command does not touch what it does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ptstream.settings import Home
from tests.bench.commands import add_ended, argv, seconds
from tests.bench.english import pieces
from tests.bench.growth import Curve
from tests.bench.report import Section
from tests.bench.surroundings import temporary_home

SIZES = (10, 100, 1_000, 10_000)

SMALL = "".join(pieces(600))[:2000]


@dataclass(slots=True, eq=False)
class Grown:
    """A home with many streams; `taken` are the milliseconds of each command's runs in it."""

    home: Home
    streams: int
    small: str
    taken: dict[str, list[float]] = field(default_factory=dict)

    def commands(self) -> Mapping[str, Sequence[str]]:
        """Label → words. The victim of `rm` is made here."""
        (victim,) = add_ended(self.home, [SMALL])
        return {
            "create": ("create", "Why?"),
            "ls -n 20": ("ls", "-n", "20"),
            "ls -q -n 20": ("ls", "-q", "-n", "20"),
            "show ID": ("show", self.small),
            "cat ID": ("cat", self.small),
            "watch ID": ("watch", self.small),
            "wait ID": ("wait", self.small),
            "rm ID": ("rm", victim),
        }


def _grown(home: Home, streams: int) -> Grown:
    ids = add_ended(home, [SMALL] * streams)
    return Grown(home, streams, ids[streams // 2])


def _run_all(homes: Sequence[Grown], rounds: int) -> None:
    for words in homes[0].commands().values():  # they write the byte code
        seconds(homes[0].home, argv(words))
    for turn in range(rounds):
        begin = turn % len(homes)
        lists = [(grown, grown.commands()) for grown in (*homes[begin:], *homes[:begin])]  # none is always the first
        for label in lists[0][1]:
            for grown, commands in lists:
                grown.taken.setdefault(label, []).append(1000 * seconds(grown.home, argv(commands[label])))


def measure(quick: bool) -> Section:
    """The section."""
    rounds = 2 if quick else 7
    with ExitStack() as stack:
        homes = [_grown(stack.enter_context(temporary_home()), streams) for streams in SIZES]
        _run_all(homes, rounds)
    curves = [
        Curve(label, "streams", "ms", {grown.streams: grown.taken[label] for grown in homes})
        for label in homes[0].taken
    ]
    note = f"{rounds} processes each, in turn"
    return Section("Commands, by the streams in a home", [each.row() for each in curves], note, rounds, curves)
