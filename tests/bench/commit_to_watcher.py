"""From the begin of a chunk's commit to its text in another process: ptstream's watcher against raw inotify.

Each way to watch has a home, a stream and a process of its own; the chunks go to them in turn, so that every way sees
the same disk in the same second and is never woken by another's commits. A chunk's text is the time (CLOCK_MONOTONIC,
one for all processes) at which it was handed to `Writer.append`. Two rhythms: a chunk every 0.1 s, as a fast model
writes, and one every 1.5 s, when the watcher has gone back to sleep. Then nobody writes, and what a watcher takes of a
core is read from its processor clock.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from ptstream.engine.sqlite.liveness import Lease
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.settings import Home
from ptstream.streams import Claim, Status
from tests.bench.report import Goal, Section, compared, latencies
from tests.bench.surroundings import await_ready, cpu_seconds, module, output, running, temporary_home

OURS, RAW = "as it is", "raw inotify"
WOKEN = Goal(2, "woken by the same event, it reads the row and takes it apart")

WARM_UP = 5
FLOWING, SPARSE = 0.1, 1.5
"""Seconds between two chunks of one stream."""

REST = 1.5
"""Seconds after the last commit in which a watcher may still look often."""


@dataclass(slots=True, eq=False)
class Watched:
    """A stream that is written here and watched by a process."""

    claim: Claim
    writer: SqliteWriter
    process: subprocess.Popen[bytes]
    offset: int = 0
    found: list[int] = field(default_factory=list)

    async def commit(self) -> None:
        """One chunk."""
        text = f"{time.monotonic_ns()}\n"
        await self.writer.append(self.claim, self.offset, text, 1)
        self.offset += len(text)

    async def end(self) -> None:
        """End the stream; its watcher tells its latencies, in nanoseconds, and ends too."""
        await self.writer.finish(self.claim, self.offset, "", 1, Status.DONE, None, None)
        self.found = json.loads(await anyio.to_thread.run_sync(output, self.process))


@asynccontextmanager
async def _watched(way: str, home: Home) -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store(home))
        id = store.create().id
        lease = Lease(home)
        stack.callback(lease.release)
        process = stack.enter_context(running(module("watchers", way, home.path, id), home))
        writer = SqliteWriter(store, lease.id)
        await stack.enter_async_context(writer.open())
        claim = await writer.claim(id)
        await anyio.to_thread.run_sync(await_ready, process)
        yield Watched(claim, writer, process)


async def _write(sides: Sequence[Watched], count: int, interval: float) -> None:
    """`count` chunks to each in turn, at irregular times: nobody's poll may keep step with them."""
    chance = random.Random(count)
    for _ in range(count):
        for side in sides:
            await side.commit()
            await anyio.sleep(chance.uniform(0.5, 1.5) * interval / len(sides))


async def _loads(sides: Sequence[Watched], meanwhile: Awaitable[None]) -> list[float]:
    """What each watcher takes of a core meanwhile, in percent."""
    before = [cpu_seconds(side.process.pid) for side in sides]
    began = time.monotonic()
    await meanwhile
    passed = time.monotonic() - began
    return [100 * (cpu_seconds(side.process.pid) - taken) / passed for side, taken in zip(sides, before, strict=True)]


async def _measure(ways: Sequence[str], flowing: int, sparse: int, idle: float) -> Section:
    with ExitStack() as homes:
        async with AsyncExitStack() as stack:
            sides = [
                await stack.enter_async_context(_watched(way, homes.enter_context(temporary_home()))) for way in ways
            ]
            await _write(sides, WARM_UP, FLOWING)
            busy = dict(zip(ways, await _loads(sides, _write(sides, flowing, FLOWING)), strict=True))
            await _write(sides, sparse, SPARSE)
            await anyio.sleep(REST)
            rest = dict(zip(ways, await _loads(sides, anyio.sleep(idle)), strict=True))
            for side in sides:
                await side.end()
    found = {way: side.found[WARM_UP:] for way, side in zip(ways, sides, strict=True)}
    often = {way: values[:flowing] for way, values in found.items()}
    seldom = {way: values[flowing:] for way, values in found.items()}
    assert all(len(values) == flowing + sparse for values in found.values()), "a watcher missed a chunk"
    return Section(
        "A chunk's commit, begun, to its text in a watcher's process",
        [
            *latencies("a chunk every 0.1 s", often[OURS], often[RAW], RAW, WOKEN, WOKEN),
            *latencies("a chunk every 1.5 s", seldom[OURS], seldom[RAW], RAW, WOKEN, WOKEN),
            compared("of a core, a chunk every 0.1 s", busy[OURS], busy[RAW], "%", RAW, WOKEN),
            compared("of a core, idle", rest[OURS], rest[RAW], "%", RAW),
        ],
        f"{flowing} and {sparse} chunks to each; idle for {idle:g} s",
        flowing + sparse,
    )


def measure(quick: bool) -> Section:
    """The section."""
    return anyio.run(_measure, (RAW, OURS), *((20, 2, 0.5) if quick else (60, 6, 5.0)))
