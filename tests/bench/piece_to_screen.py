"""From a generator's piece in the daemon to the stdout of a real `ptstream drive`, against the barest way there.

The daemon is the real one with a scripted generator in place of a model; the other is an asyncio server on a Unix
socket and an asyncio client that writes what comes to its stdout, keeping nothing. A piece's text is the time at which
it is yielded; this process takes the time when it comes out of the pipe. 250 pieces a second, a sentence every 15, in
turns of a quarter of a second: neither way runs while the other does.
"""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ptstream.engine.sqlite.store import Store
from ptstream.streams import GenerationRequest
from tests.bench.report import Goal, Section, compared, latencies
from tests.bench.schedule import PIECES_PER_TURN
from tests.bench.surroundings import await_ready, cpu_seconds, module, output, running, temporary_home

OTHER = "bare asyncio"

SECOND_WRITE = "it is written to the tail first, and goes through one process more"

_STAMP = re.compile(rb"T(\d+)")


@dataclass(slots=True, eq=False)
class Screen:
    """What comes out of one way, and what its processes took of the processor for all turns but the first."""

    reading: subprocess.Popen[bytes]
    pids: Sequence[int]
    late: list[int] = field(default_factory=list)
    _rest: bytes = b""
    _counted_from: int = 0
    _first_cpu: float = 0.0
    _cpu: float = 0.0

    @property
    def microseconds(self) -> float:
        """Of processor time, both processes together, a piece."""
        return (self._cpu - self._first_cpu) / (len(self.late) - self._counted_from) * 1e6

    def take(self) -> bool:
        """What is there now; False at the end."""
        assert self.reading.stdout is not None
        data = os.read(self.reading.stdout.fileno(), 65536)
        now = time.monotonic_ns()
        if not data:
            return False
        *whole, self._rest = (self._rest + data).split(b" ")
        for word in whole:
            if found := _STAMP.match(word):
                self.late.append(now - int(found[1]))
        if not self._counted_from:
            if len(self.late) >= PIECES_PER_TURN:  # in the first turn, modules are still imported
                self._counted_from, self._first_cpu = len(self.late), self._now_cpu()
        elif len(self.late) % PIECES_PER_TURN == 0:  # asked seldom, while both surely live
            self._cpu = self._now_cpu()
        return True

    def _now_cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids)


def _read_all(screens: Sequence[Screen]) -> None:
    with selectors.DefaultSelector() as selector:
        for screen in screens:
            assert screen.reading.stdout is not None
            selector.register(screen.reading.stdout, selectors.EVENT_READ, screen)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.take():
                    selector.unregister(key.fileobj)


def measure(quick: bool) -> Section:
    """The section."""
    turns = 4 if quick else 16
    with temporary_home() as home, ExitStack() as stack:
        socket = os.path.join(os.path.dirname(home.path), "bare.sock")
        server = stack.enter_context(running(module("bare_socket", "serve", socket, str(turns)), home))
        daemon = stack.enter_context(running(module("scripted_daemon", home.path, str(turns)), home))
        await_ready(server)
        await_ready(daemon)
        with Store(home) as store:
            id = store.create(GenerationRequest(prompt="say when")).id
        drive = [sys.executable, "-m", "ptstream.cli.entry", "drive", id]
        ours = stack.enter_context(running(drive, home, stderr=subprocess.DEVNULL))
        client = stack.enter_context(running(module("bare_socket", "read", socket), home))
        screens = [Screen(ours, (daemon.pid, ours.pid)), Screen(client, (server.pid, client.pid))]
        _read_all(screens)
        for process in (ours, client):
            output(process)
    assert all(len(screen.late) == turns * PIECES_PER_TURN for screen in screens), "a piece is missing"
    kept, bare = screens
    late, other = (screen.late[PIECES_PER_TURN:] for screen in screens)
    return Section(
        "A piece, yielded in the daemon, to the stdout of `ptstream drive`",
        [
            *latencies("250 pieces/s", late, other, OTHER, Goal(1.5, SECOND_WRITE), Goal(2, SECOND_WRITE)),
            compared(
                "processor time a piece, both ends",
                kept.microseconds,
                bare.microseconds,
                "µs",
                OTHER,
                Goal(1.5, SECOND_WRITE),
            ),
        ],
        f"{len(late)} pieces each; ours are in the tail before they are shown, and flushed by sentence",
        len(late),
    )
