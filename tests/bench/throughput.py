"""Pieces a second through one daemon, from the first process to the last: model endpoint, daemon, reader.

The endpoint (`model_server.py`) says its tokens as fast as they are taken, on one connection or on a hundred at once;
the readers are bare sockets in a process of their own. Beside it the same endpoint and the same readers with the barest
relay between them (`bare_relay.py`). What one core carries is the pieces by the processor time of the process in the
middle.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from ptstream.settings import Home
from tests.bench.daemons import Daemon, caller, daemon
from tests.bench.english import pieces
from tests.bench.report import Goal, Row, Section, compared
from tests.bench.surroundings import await_ready, cpu_seconds, module, output, running

STREAMS = (1, 100)

BARE = "bare asyncio"

PACE = 50
"""Pieces a second of an answer, as a hosted model says them."""

GOAL = Goal(0.5, "each piece is checked, cut, kept and written once more than the bare way does", at_least=True)


@dataclass(frozen=True, slots=True)
class Run:
    """Pieces a second as they arrived, and a second of the processor time of who passed them on."""

    rate: float
    carried: float


def _run(socket: str, requests: Sequence[str], count: int, middle: int, home: Home) -> Run:
    """`count` pieces by each request, through the process `middle`."""
    with running(module("text_readers", socket), home, stdin=subprocess.PIPE) as reading:
        assert reading.stdin is not None
        reading.stdin.write(json.dumps(list(requests)).encode() + b"\n")
        reading.stdin.flush()
        await_ready(reading)
        before = cpu_seconds(middle)
        reading.stdin.write(b"\n")
        reading.stdin.flush()
        seconds, size = json.loads(output(reading))
        spent = cpu_seconds(middle) - before
    total = count * len(requests)
    expected = sum(len(piece) for piece in pieces(count)) * len(requests)
    assert size == expected, f"{size} bytes came, not {expected}"
    return Run(total / seconds, total / spent)


def _through(daemon: Daemon, streams: int, count: int, pace: int = 0) -> Run:
    """By the daemon: so many streams of so many pieces, at so many a second (0: as fast as it goes)."""
    body = json.dumps(caller())
    requests = []
    for _ in range(streams):
        path = f"/streams/{daemon.create(f'{count}-{pace}')}/drive?live=1"
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
        requests.append(f"{head}content-length: {len(body)}\r\n\r\n{body}")
    return _run(daemon.home.socket, requests, count, daemon.process.pid, daemon.home)


@dataclass(frozen=True, slots=True)
class Relay:
    """The barest one."""

    process: subprocess.Popen[bytes]
    socket: str
    home: Home

    def through(self, streams: int, count: int, pace: int = 0) -> Run:
        """The same as `_through`."""
        return _run(self.socket, [f"{count}-{pace}\n"] * streams, count, self.process.pid, self.home)


def _rows(daemon: Daemon, relay: Relay, total: int, rounds: int) -> Iterator[Row]:
    for streams in STREAMS:
        ours, bare = _in_turn(daemon, relay, rounds, streams, total // streams)
        label = f"{streams} stream{'s'[: streams - 1]}, first to last process"
        yield compared(label, _rate(ours), _rate(bare), "/s", BARE, GOAL)
        yield compared("… carried by a core in the middle", _carried(ours), _carried(bare), "/s", BARE)
    ours, bare = _in_turn(daemon, relay, 1, STREAMS[-1], total // STREAMS[-1], PACE)
    label = f"answers at {PACE} pieces/s that a core carries"
    yield compared(label, _carried(ours) / PACE, _carried(bare) / PACE, "", BARE)


def _in_turn(
    daemon: Daemon, relay: Relay, rounds: int, streams: int, count: int, pace: int = 0
) -> tuple[list[Run], list[Run]]:
    """The first one is not counted: modules are still imported, and the endpoint makes its tokens."""
    _through(daemon, streams, count)
    pairs = [(_through(daemon, streams, count, pace), relay.through(streams, count, pace)) for _ in range(rounds)]
    ours, bare = zip(*pairs, strict=True)
    return list(ours), list(bare)


def _rate(runs: Sequence[Run]) -> float:
    return median(run.rate for run in runs)


def _carried(runs: Sequence[Run]) -> float:
    return median(run.carried for run in runs)


def measure(quick: bool) -> Section:
    """The section."""
    total, rounds = (5_000, 1) if quick else (20_000, 5)
    with daemon() as ours, ExitStack() as stack:
        socket = os.path.join(os.path.dirname(ours.home.path), "bare.sock")
        relay = stack.enter_context(running(module("bare_relay", socket, ours.endpoint), ours.home))
        await_ready(relay)
        rows = list(_rows(ours, Relay(relay, socket, ours.home), total, rounds))
    note = f"{total:,} pieces of a scripted model over HTTP, {rounds} times, in turn"
    return Section("Pieces a second through one daemon (more is better)", rows, note, rounds)
