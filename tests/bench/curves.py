"""What the commands take while the database grows: 10 to 10,000 streams in it, at the last with one of 100 MB.

Each size has a home of its own, filled with ended streams of 2 kB in one transaction; no daemon runs. A command is a
process, started in one home after the other, so that all see the machine in the same seconds; a ratio is the median of
the rounds' ratios to the same command beside 10 streams. It is 1 where a command does not touch what it does not need.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ptstream.engine.sqlite import migration, statements
from ptstream.settings import Home
from ptstream.streams import Claim
from tests.bench.english import pieces
from tests.bench.report import Row, Section, compared, number
from tests.bench.surroundings import claimed, output, running, temporary_home

SIZES = (10, 100, 1_000, 10_000)

HUGE = 100_000_000
"""Bytes of the one large stream."""

SMALL = "".join(pieces(600))[:2000]

CHUNK = 1000
"""Characters of a chunk: a paragraph."""

NEAR = 1000
"""Bytes before the end where `cat --offset` begins."""

MEGABYTE = 1_000_000


@dataclass(slots=True, eq=False)
class Grown:
    """A home with many streams; `taken` are the seconds of each command's runs in it."""

    home: Home
    small: str
    first: str
    taken: dict[str, list[float]] = field(default_factory=dict)

    def commands(self) -> Mapping[str, Sequence[str]]:
        """Label → words. The victim of `rm` is made here."""
        (victim,) = _add_ended(self.home, [SMALL])
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


def _grown(home: Home, streams: int, first: str) -> Grown:
    ids = _add_ended(home, [first, *[SMALL] * (streams - 1)])
    return Grown(home, ids[streams // 2], ids[0])


def _add_ended(home: Home, texts: Sequence[str]) -> list[str]:
    """Streams that are `done` and hold these texts; their ids."""
    claims = claimed(home, len(texts))
    with closing(migration.connect_writer(home)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for claim, text in zip(claims, texts, strict=True):
            _end(connection, claim, text)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # nobody else is there
    return [claim.id for claim in claims]


def _end(connection: sqlite3.Connection, claim: Claim, text: str) -> None:
    """Chunks as an owner's commits would leave them; the text is ASCII."""
    for start in range(0, len(text), CHUNK):
        part = text[start : start + CHUNK]
        stop = start + len(part)
        end = "done" if stop == len(text) else None
        row = (claim.id, 1, start, stop, part, time.time(), 1, end, None, None, None)
        connection.execute(statements.flush_statement(1), row).fetchall()


def _argv(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "ptstream.cli.entry", *words]


def _seconds(home: Home, argv: Sequence[str], length: int | None = None) -> float:
    """How long it runs. Its output must have this many bytes, if any number is given."""
    began = time.perf_counter()
    with running(argv, home) as process:
        data = output(process)
        taken = time.perf_counter() - began
    assert length is None or len(data) == length, f"{argv} printed {len(data)} bytes, not {length}"
    return taken


def _run_all(homes: Sequence[Grown], rounds: int) -> None:
    for turn in range(-1, rounds):
        begin = turn % len(homes)
        lists = [(grown, grown.commands()) for grown in (*homes[begin:], *homes[:begin])]  # none is always the first
        for label in lists[0][1]:
            for grown, commands in lists:
                seconds = _seconds(grown.home, _argv(commands[label]))
                if turn >= 0:  # the first one writes the byte code
                    grown.taken.setdefault(label, []).append(seconds)


def _curve(label: str, homes: Sequence[Grown]) -> Row:
    """The largest against the smallest, those in between as ratios."""
    least, *between, most = (grown.taken[label] for grown in homes)
    ratios = "".join(f", {_ratio(taken, least):.2f}x" for taken in between)
    against = f"{SIZES[0]} streams {number(median(least) * 1000)} ms{ratios}"
    return Row(label, f"{number(median(most) * 1000)} ms", against, _ratio(most, least))


def _ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    return median(mine / theirs for mine, theirs in zip(ours, other, strict=True))


def _large(grown: Grown, text: str, rounds: int) -> list[Row]:
    """`cat` of the large stream: its end, all of it, and the memory that takes."""
    file = Path(grown.home.path).with_name("text")
    file.write_text(text, encoding="ascii")
    ways = {
        "small": (_argv(("cat", grown.small)), len(SMALL)),
        "end": (_argv(("cat", "--offset", str(len(text) - NEAR), grown.first)), NEAR),
        "all": (_argv(("cat", grown.first)), len(text)),
        "file": (["cat", str(file)], len(text)),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (argv, length) in ways.items():
            taken[way].append(_seconds(grown.home, argv, length))
    size = len(text) / MEGABYTE
    small, end, whole, plain = (median(values) for values in taken.values())
    first, last = _peaks(grown.home, ways["all"][0], len(text))
    return [
        compared(f"cat --offset, the last {NEAR:,} bytes of {size:.0f} MB", end * 1000, small * 1000, "ms", "cat ID"),
        compared(f"cat of all {size:.0f} MB (more is better)", size / whole, size / plain, "MB/s", "cat FILE"),
        compared("peak memory of cat of all", last, first, "MB", "after its first MB"),
    ]


def _peaks(home: Home, argv: Sequence[str], length: int) -> tuple[float, float]:
    """The process's peak memory in MB after its first megabyte of output, and when little is left of it (Linux)."""
    peaks: list[float] = []
    with running(argv, home) as process:
        assert process.stdout is not None
        for place in (MEGABYTE, length - MEGABYTE):  # the rest does not fit into the pipe: it lives
            process.stdout.read(place)
            peaks.append(_peak(process.pid))
    return peaks[0], peaks[1]


def _peak(pid: int) -> float:
    """Of this program alone: what `wait4` tells counts its parent's, too."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise RuntimeError(f"process {pid} has ended")


def measure(quick: bool) -> Section:
    """The section."""
    sizes, rounds, length = (SIZES[::3], 3, HUGE // 5) if quick else (SIZES, 7, HUGE)
    block = "".join(pieces(100_000))
    text = (block * (length // len(block) + 1))[:length]
    with ExitStack() as stack:
        homes = [
            _grown(stack.enter_context(temporary_home()), streams, text if streams == sizes[-1] else SMALL)
            for streams in sizes
        ]
        _run_all(homes, rounds)
        rows = [_curve(label, homes) for label in homes[0].taken]
        rows += _large(homes[-1], text, rounds)
    between = f"; the first ratios: {' and '.join(f'{streams:,}' for streams in sizes[1:-1])}" if sizes[1:-1] else ""
    return Section(
        f"Commands beside {sizes[-1]:,} streams, one of them of {length // MEGABYTE} MB",
        rows,
        f"{rounds} processes each, in turn{between}",
    )
