"""What an answer of 2,000 pieces costs: rows, fsyncs, bytes of the log, and bytes sent to a watcher.

The same seeded English in token-sized pieces, 1,000 a second, is driven by an owner and watched out of the store; and
written as a database is used naively: the whole body updated with every piece, and the watcher given the body at every
commit. Each runs in a process of its own, fsyncs counted by strace between two marks (without strace, the commits
stand for them). What the body would cost if it were sent again at every flush is the sum of our chunks' ends.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass

from ptstream.settings import Home
from tests.bench.report import Row, Section
from tests.bench.surroundings import module, output, running, temporary_home

MARK = "1000000"
"""A descriptor that nobody has: fsyncing it marks a place in the trace."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way to write the answer took."""

    pieces: int
    body: int
    rows: int
    commits: int
    log: int
    sent: int
    resent: int
    """Bytes a watcher gets that is sent the whole body at every flush."""


def _run(way: str, pieces: int, home: Home, trace: str | None) -> tuple[Cost, int | None]:
    """The cost, and the fsyncs if they could be counted."""
    argv = module("answers", way, home.path, str(pieces))
    if trace:
        argv = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", trace, *argv]
    with running(argv, home) as process:
        cost = Cost(**json.loads(output(process)))
    return cost, _count(trace) if trace else None


def _count(trace: str) -> int | None:
    """The fsyncs between the two marks."""
    with open(trace, encoding="utf-8", errors="replace") as file:
        calls = [line for line in file if "sync(" in line]
    marks = [place for place, line in enumerate(calls) if f"sync({MARK})" in line]
    return marks[1] - marks[0] - 1 if len(marks) == 2 else None


def measure(quick: bool) -> Section:
    """The section."""
    pieces = 400 if quick else 2000
    with tempfile.TemporaryDirectory(prefix="pts-bench-") as folder:
        traced = shutil.which("strace") is not None
        found = {}
        for way in ("ours", "naive"):
            with temporary_home() as home:
                found[way] = _run(way, pieces, home, os.path.join(folder, way) if traced else None)
    ours, our_syncs = found["ours"]
    naive, naive_syncs = found["naive"]
    other = "body updated a piece"
    rows = [
        _row("rows written", ours.rows, naive.rows, other),
        _row("commits", ours.commits, naive.commits, other),
        _row("bytes of the log", ours.log, naive.log, other),
        _row("bytes to a watcher", ours.sent, naive.sent, other),
        _row("bytes to a watcher", ours.sent, ours.resent, "body sent a flush"),
    ]
    if our_syncs is not None and naive_syncs is not None:
        rows.insert(2, _row("fsyncs", our_syncs, naive_syncs, other))
    note = "the watcher needs the body once" + ("" if traced else "; no strace here: one fsync a commit")
    return Section(f"An answer of {pieces:,} pieces, {ours.body:,} bytes", rows, note)


def _row(label: str, ours: int, other: int, name: str) -> Row:
    return Row(label, f"{ours:,}", f"{name} {other:,}", ours / other)
