"""A program's generator beside 200 readers in the same event loop, on a machine that is busy with something else.

One process (`crowd_program.py`) generates and is read, by loops over `follow` and by events over HTTP. Two processes
that do nothing but count compete for the machine's processors all the while. What is compared is the generator's time,
with the readers and without them, in turn, under the same load.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from tests.bench.report import Goal, Row, Section, compared
from tests.bench.surroundings import module, output, running, temporary_home

READERS = 200

RATES = (50, 200)
"""Pieces a second."""

BURNERS = 2

KINDS = {"follow": "in a loop", "http": "over HTTP"}

GOAL = Goal(1.1, "whoever reads must not slow the one who writes: a tenth is what a busy machine does by itself")


@dataclass(frozen=True, slots=True)
class Run:
    """The generator's seconds, and the middle of its pieces' delays to who drives, in milliseconds."""

    seconds: float
    late: float


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """The machine has something else to do."""
    with temporary_home() as home, ExitStack() as stack:
        for _ in range(processes):
            stack.enter_context(running([sys.executable, "-S", "-c", "while True: pass"], home))
        yield


def _run(kind: str, readers: int, rate: int, pieces: int) -> Run:
    with temporary_home() as home:
        socket = [os.path.join(os.path.dirname(home.path), "socket")] if kind == "http" and readers else []
        words = [home.path, str(readers), str(rate), str(pieces), *socket]
        with running(module("crowd_program", *words), home) as process:
            told = json.loads(output(process))
    assert readers == 0 or told["late"], "who drives got nothing"
    return Run(told["seconds"], median(told["late"]) / 1e6)


def _compare(rate: int, seconds: float, rounds: int) -> Iterator[Row]:
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for kind, readers in (("alone", 0), *((kind, READERS) for kind in KINDS)):
            runs.setdefault(kind, []).append(_run(kind, readers, rate, int(rate * seconds)))
    alone = median(run.seconds for run in runs["alone"])
    for kind, how in KINDS.items():
        taken = median(run.seconds for run in runs[kind])
        yield compared(f"{rate} pieces/s, {READERS} readers {how}", taken, alone, "s", "alone", GOAL)
        late = median(run.late for run in runs[kind])
        yield compared("… a piece to who drives, p50", late, median(run.late for run in runs["alone"]), "ms", "alone")


def measure(quick: bool) -> Section:
    """The section."""
    rounds, seconds = (1, 1.0) if quick else (5, 3.0)
    with busy(BURNERS):
        rows = [row for rate in RATES for row in _compare(rate, seconds, rounds)]
    note = f"{rounds} runs of {seconds:g} s each beside {BURNERS} processes that count; the generator's time"
    return Section("A generator beside its readers, in one loop of a busy machine", rows, note, rounds)
