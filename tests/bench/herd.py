"""What watchers of one home pay for the commits of others: a hundred of them, and one alone.

Each watches a stream, in a process of its own, of which nothing comes; an owner in this process commits a chunk of
another stream a hundred times a second. Every commit changes the log, which is what wakes a watcher. What each takes of
a core is read from its processor clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

import anyio

from ptstream.engine.sqlite.liveness import Lease
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.settings import Home
from ptstream.streams import Claim
from tests.bench.report import Goal, Row, Section, compared, number
from tests.bench.surroundings import cpu_seconds, module, running, temporary_home

RATE = 100
"""Commits a second."""

GOAL = Goal(1, "a hundred of them are to leave the machine a core", unit="%")

TEXT = "It rained all night, and in the morning the river had come up.\n"


@dataclass(slots=True, eq=False)
class Other:
    """The stream that the others' commits are of."""

    writer: SqliteWriter
    claim: Claim
    offset: int = 0

    async def commit(self, seconds: float) -> float:
        """RATE chunks a second, if it can; how many a second it were."""
        began, count = time.monotonic(), int(RATE * seconds)
        for place in range(count):
            await anyio.sleep(max(0.0, began + place / RATE - time.monotonic()))
            await self.writer.append(self.claim, self.offset, TEXT, 1)
            self.offset += len(TEXT)
        return count / (time.monotonic() - began)


class Found(NamedTuple):
    """Commits a second; the mean and the largest share of a core, in percent."""

    rate: float
    mean: float
    most: float


async def _watched(other: Other, home: Home, id: str, count: int, seconds: float) -> Found:
    """By so many."""
    with running(module("many_watchers", home.path, id, str(count)), home) as process:
        assert process.stdout is not None
        pids = json.loads(await anyio.to_thread.run_sync(process.stdout.readline))
        await anyio.sleep(0.5)
        before, began = [cpu_seconds(pid) for pid in pids], time.monotonic()
        rate = await other.commit(seconds)
        passed = time.monotonic() - began
        shares = [100 * (cpu_seconds(pid) - taken) / passed for pid, taken in zip(pids, before, strict=True)]
    return Found(rate, mean(shares), max(shares))


async def _measure(counts: Sequence[int], seconds: float) -> list[Found]:
    """For each number of watchers."""
    with temporary_home() as home, ExitStack() as stack:
        store = stack.enter_context(Store(home))
        ids = [store.create().id for _ in range(2)]
        lease = Lease(home)
        stack.callback(lease.release)
        writer = SqliteWriter(store, lease.id)
        async with writer.open():
            watched, other = [await writer.claim(id) for id in ids]
            beside = Other(writer, other)
            return [await _watched(beside, home, watched.id, count, seconds) for count in counts]


def measure(quick: bool) -> Section:
    """The section."""
    counts, seconds = ((1, 20), 1.5) if quick else ((1, 100), 10.0)
    one, many = anyio.run(_measure, counts, seconds)
    rows = [
        Row(
            f"of a core, each of {counts[1]} watchers (mean)",
            f"{number(many.mean)} %",
            f"one watcher {number(one.mean)} %",
            many.mean / one.mean,
            GOAL,
            many.mean,
            one.mean,
        ),
        Row("… the one that takes most", f"{number(many.most)} %", value=many.most),
        compared("commits that the owner made meanwhile", many.rate, RATE, "/s", "asked for"),
    ]
    return Section("Watchers while others commit 100 times a second", rows, f"{seconds:g} s with each number")
