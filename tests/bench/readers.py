"""What an answer takes that 1 to 1,000 readers follow over the daemon's socket.

A scripted model says 50 pieces a second; the readers are bare sockets in a process of their own. What is measured is
the daemon's processor time, which its readers may grow to half of the event loop's and no further, and how long the
answer takes, which must not grow with them. The last of them has all of it soon after.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.bench.daemons import Daemon, daemon
from tests.bench.growth import Curve
from tests.bench.report import Section
from tests.bench.surroundings import await_ready, cpu_seconds, module, output, running

READERS = (1, 10, 100, 1_000)

RATE = 50


class Taken(NamedTuple):
    """Milliseconds of the daemon's processor, of the answer from begin to end, and of the last reader after that."""

    cpu: float
    answer: float
    after: float


def _run(daemon: Daemon, readers: int, count: int) -> Taken:
    """An answer with so many readers."""
    id = daemon.create(f"{count}-{RATE}")
    words = ["event_readers", daemon.home.socket, "GET", f"/streams/{id}/text?live=1*{readers}"]
    with running(module(*words), daemon.home) as reading:
        await_ready(reading)
        before, began = cpu_seconds(daemon.process.pid), time.monotonic()
        daemon.drive(id)
        ended = _end(daemon, id)
        output(reading)
        read = time.monotonic()
        spent = cpu_seconds(daemon.process.pid) - before
    return Taken(1000 * spent, 1000 * (ended - began), 1000 * max(0.001, read - ended))


def _end(daemon: Daemon, id: str) -> float:
    """When the stream has ended."""
    while daemon.ask("GET", f"/streams/{id}")["ended_at"] is None:
        time.sleep(0.02)
    return time.monotonic()


def _curves(daemon: Daemon, count: int, rounds: int) -> Iterator[Curve]:
    labels = ("processor time of an answer", "how long an answer takes", "the last reader, after its end")
    runs: dict[str, dict[int, list[float]]] = {label: {readers: [] for readers in READERS} for label in labels}
    _run(daemon, READERS[0], RATE // 5)  # modules are imported
    for _ in range(rounds):
        for readers in READERS:
            for label, value in zip(labels, _run(daemon, readers, count), strict=True):
                runs[label][readers].append(value)
    for label in labels:
        yield Curve(label, "readers", "ms", runs[label])


def measure(quick: bool) -> Section:
    """The section."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    count, rounds = (RATE, 1) if quick else (4 * RATE, 3)
    with daemon() as ours:
        curves = list(_curves(ours, count, rounds))
    note = f"{count} pieces, {RATE} a second; {rounds} times"
    return Section("An answer, by its readers", [each.row() for each in curves], note, rounds, curves)
