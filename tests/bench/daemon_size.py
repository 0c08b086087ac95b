"""What a daemon weighs: memory for each running stream and each reader, and processor time while nothing happens.

Memory is what the kernel counts as the process's own (its private pages, /proc/PID/smaps_rollup), so what a share of it
grew by is what one more costs. The streams are a model's that says a word now and then, and a command's that waits; the
readers read one of them over the socket. Some are there before the first look: what is loaded once is nobody's.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.daemons import Daemon, caller, daemon
from tests.bench.report import Goal, Row, Section, alone
from tests.bench.surroundings import cpu_seconds

STREAM = Goal(20, "a thousand answers at once are 20 MB", unit="kB")
READER = Goal(10, "ten thousand readers are 100 MB; its connection's buffers are most of it", unit="kB")
IDLE = Goal(0.1, "a laptop pays for it all day", unit="%")

FIRST = 20
"""Streams, or readers, that are there before memory is looked at."""

SETTLED = 0.5
"""Seconds after which what was begun stands still."""

NOW_AND_THEN = "1000-0.2"
"""The model: a word each five seconds."""


def private(pid: int) -> float:
    """kB that are this process's own (Linux)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(float(line.split()[1]) * 1.024 for line in lines if line.startswith("Private_"))


def _grown(daemon: Daemon, count: int, one_more: Callable[[], object]) -> float:
    """kB for each of `count` more."""
    for _ in range(FIRST):
        one_more()
    time.sleep(SETTLED)
    before = private(daemon.process.pid)
    for _ in range(count):
        one_more()
    time.sleep(SETTLED)
    return (private(daemon.process.pid) - before) / count


def _idle(daemon: Daemon, seconds: float) -> float:
    """Percent of a core."""
    before, began = cpu_seconds(daemon.process.pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(daemon.process.pid) - before) / (time.monotonic() - began)


def _rows(daemon: Daemon, count: int, seconds: float, stack: ExitStack) -> Iterator[Row]:
    yield alone("of a core, idle", _idle(daemon, seconds), "%", IDLE)
    last = ""

    def model() -> None:
        nonlocal last
        last = daemon.create(NOW_AND_THEN)
        daemon.drive(last)

    def command() -> None:
        id = daemon.ask("POST", "/streams", {"command": ["sleep", "600"]})["id"]
        daemon.ask("POST", f"/streams/{id}/drive", caller())

    def reader() -> None:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(daemon.home.socket)
        connection.sendall(f"GET /streams/{last}/text?live=1 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")

    yield alone("memory of a running stream, a model's", _grown(daemon, count, model), "kB", STREAM)
    yield alone("memory of a running stream, a command's", _grown(daemon, count, command), "kB", STREAM)
    yield alone("memory of a reader over the socket", _grown(daemon, 2 * count, reader), "kB", READER)
    yield alone("of a core, beside those", _idle(daemon, seconds), "%")
    yield alone("memory of all, then", private(daemon.process.pid) / 1000, "MB")


def measure(quick: bool) -> Section:
    """The section."""
    title = "The daemon itself"
    if sys.platform != "linux":
        return Section(title, [], "not measured: there is no /proc")
    count, seconds = (40, 1.0) if quick else (200, 20.0)
    with daemon() as ours, ExitStack() as stack:
        ours.ask("GET", "/status")
        time.sleep(SETTLED)
        rows = list(_rows(ours, count, seconds, stack))
    return Section(title, rows, f"by {count} more of each; idle for {seconds:g} s")
