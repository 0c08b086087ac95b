"""What reading takes while one stream grows: 1 kB to 1 GB of text in it; and the largest beside `cat` and `sqlite3`.

All are in one home, ended, in chunks of 16 kB, as large as one gets. The commands are processes that take turns; their
output is read by a pipe and counted. `sqlite3` is SQLite's own shell, which selects the chunks' text in their order.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from ptstream.settings import Home
from tests.bench.commands import add_large, argv, seconds
from tests.bench.english import pieces
from tests.bench.growth import Curve
from tests.bench.report import Goal, Row, Section, compared
from tests.bench.surroundings import running, temporary_home

MEGABYTE = 1_000_000

SIZES = tuple(10**power for power in range(3, 10))
"""Bytes."""

BESIDE = 100 * MEGABYTE
"""Of the one that is compared with others' programs, or the largest that there is."""

BLOCK = "".join(pieces(5000))[: 16 * 1024]

NEAR = 500
"""Bytes before the end where who comes back begins."""

READ = Goal(1, "SQLite's own shell does the same work: what is more is ours", at_least=True)


def _curves(home: Home, ids: dict[int, str], rounds: int) -> Iterator[Curve]:
    for label, words, near in (
        ("cat of all", ("cat",), False),
        ("cat --offset near the end", ("cat", "--offset"), True),
        ("watch --offset near the end", ("watch", "--offset"), True),
    ):
        taken: dict[int, list[float]] = {size: [] for size in ids}
        for turn in range(-1, rounds):
            for size, id in ids.items():
                command, length = (argv((*words, str(size - NEAR), id)), NEAR) if near else (argv((*words, id)), size)
                spent = seconds(home, command, length)
                if turn >= 0:  # the first one writes the byte code, and brings the file into memory
                    taken[size].append(1000 * spent)
        yield Curve(label, "bytes", "ms", taken)


def _beside(home: Home, id: str, size: int, rounds: int) -> Iterator[Row]:
    """`cat` of a large stream beside those who do no more, and the memory that it takes."""
    file = Path(home.path).with_name("text")
    file.write_text((BLOCK * (size // len(BLOCK) + 1))[:size], encoding="ascii")
    select = f"SELECT text FROM chunks WHERE stream = '{id}' ORDER BY start"
    ways = {"ours": argv(("cat", id)), "cat FILE": ["cat", str(file)]}
    if shutil.which("sqlite3"):
        ways["sqlite3"] = ["sqlite3", "-readonly", "-newline", "", home.database, select]
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, words in ways.items():
            taken[way].append(seconds(home, words, size))
    rates = {way: size / MEGABYTE / median(values) for way, values in taken.items()}
    label = f"cat of {size // MEGABYTE} MB (more is better)"
    for other, goal in (("sqlite3", READ), ("cat FILE", None)):
        if other in rates:
            yield compared(label, rates["ours"], rates[other], "MB/s", other, goal)
    first, last = _peaks(home, ways["ours"], size)
    yield compared("… its peak memory", last, first, "MB", "after its first MB")


def _peaks(home: Home, words: Sequence[str], length: int) -> tuple[float, float]:
    """The process's peak memory in MB after its first megabyte of output, and when little is left of it (Linux)."""
    peaks: list[float] = []
    with running(words, home) as process:
        assert process.stdout is not None
        for place in (MEGABYTE, length - 2 * MEGABYTE):  # the rest does not fit into the pipe: it lives
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
    sizes, rounds = (SIZES[:5], 2) if quick else (SIZES, 5)
    with temporary_home() as home:
        ids = {size: add_large(home, BLOCK, size) for size in sizes}
        curves = list(_curves(home, ids, rounds))
        beside = min(BESIDE, sizes[-1])
        rows = [*(curve.row() for curve in curves), *_beside(home, ids[beside], beside, rounds + 2)]
    return Section("Reading, by the size of a stream", rows, f"{rounds} processes each, in turn", rounds, curves)
