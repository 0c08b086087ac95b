"""A hundred answers at once in one web process: what a piece costs, and whether the generators keep their time.

Each answer says 50 pieces a second for 4 seconds and has a reader. At first that is the one who asked, over HTTP, from
a process of bare sockets: beside it a relay in memory, which forgets everything with its process. Then another process
of the app follows each of them, and its clients read there: beside it the same by Redis' PUBLISH and SUBSCRIBE, which
keep nothing. All take turns; the processor time is of the app's processes, Redis' server included.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from ptstream.settings import Home
from tests.bench.daemons import await_socket
from tests.bench.report import Goal, Row, Section, compared
from tests.bench.surroundings import await_ready, cpu_seconds, module, running, temporary_home
from tests.bench.web_app import RATE, WARM_UP

ANSWERS = 100

NUMBERS = [str(number) for number in range(ANSWERS)]

COST = Goal(1.2, "a piece that outlives its process costs a write more, and its sentence's share of a commit")
TIME = Goal(1.025, "4.1 s for answers of 4 s: the rest is what begins and ends")


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of processor time per 1,000 pieces, and the generators' seconds as a multiple of the clock's."""

    milliseconds: float
    slowness: float


@contextmanager
def _app(way: str, home: Home, name: str, place: str, size: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of the app, and its socket."""
    socket = os.path.join(os.path.dirname(home.path), name)
    with running(module("web_app", way, socket, place, str(ANSWERS), str(size)), home) as process:
        await_ready(process)
        yield process, socket


@contextmanager
def _redis(home: Home) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis server that keeps nothing on disk, and its socket."""
    folder = os.path.dirname(home.path)
    socket = os.path.join(folder, "redis")
    words = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder]
    with running(words, home) as process:
        await_socket(socket)
        yield process, socket


def _run(way: str, size: int, *, elsewhere: bool) -> Cost:
    """With readers who asked, or who follow at another process."""
    with temporary_home() as home, ExitStack() as stack:
        home.make()
        servers = []
        place = home.path
        if way == "redis":
            server, place = stack.enter_context(_redis(home))
            servers.append(server)
        generating, socket = stack.enter_context(_app(way, home, "app", place, size))
        servers.append(generating)
        with _readers(home, socket, "POST", [WARM_UP]) as warm:
            warm.wait()
        if elsewhere:
            other, other_socket = stack.enter_context(_app(way, home, "other", place, size))
            servers.append(other)
            stack.enter_context(_readers(home, other_socket, "GET", NUMBERS))
        before = sum(cpu_seconds(server.pid) for server in servers)
        stack.enter_context(_readers(home, socket, "POST", NUMBERS))
        assert generating.stdout is not None
        seconds = json.loads(generating.stdout.readline())
        spent = sum(cpu_seconds(server.pid) for server in servers) - before
    return Cost(spent / (ANSWERS * size) * 1e6, median(seconds) / ((size - 1) / RATE))


@contextmanager
def _readers(home: Home, socket: str, method: str, numbers: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with running(module("event_readers", socket, method, *(f"/{number}" for number in numbers)), home) as process:
        await_ready(process)
        yield process


def _compare(ours: Sequence[Cost], others: Sequence[Cost], label: str, name: str) -> Iterator[Row]:
    cost, other = (median(run.milliseconds for run in runs) for runs in (ours, others))
    yield compared(label, cost, other, "ms", name, COST)
    slow, theirs = (median(run.slowness for run in runs) for runs in (ours, others))
    yield Row(
        "… the generators' time for 4 s",
        f"{4 * slow:.2f} s",
        f"{name} {4 * theirs:.2f} s; clock",
        slow,
        TIME,
        4 * slow,
        4,
    )


def measure(quick: bool) -> Section:
    """The section."""
    size, rounds = (50, 1) if quick else (4 * RATE, 3)
    redis = shutil.which("redis-server") is not None
    found: dict[tuple[str, bool], list[Cost]] = {}
    for _ in range(rounds):
        for way, elsewhere in (("ours", False), ("memory", False), ("ours", True), ("redis", True))[
            : 4 if redis else 3
        ]:
            found.setdefault((way, elsewhere), []).append(_run(way, size, elsewhere=elsewhere))
    rows = [*_compare(found["ours", False], found["memory", False], "1,000 pieces to who asked", "in memory")]
    label = "1,000 pieces through another process"
    if redis:
        rows += _compare(found["ours", True], found["redis", True], label, "Redis")
    else:
        rows += _compare(found["ours", True], found["memory", False], label, "in memory, one process")
    note = f"{ANSWERS} answers of {size} pieces, {RATE} a second each; {rounds} times"
    note += "" if redis else "; no redis-server here to compare with"
    return Section("A hundred answers at once in a web app", rows, note, rounds)
