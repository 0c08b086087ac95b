"""`python -m tests.bench.engine_peers OWNER|READER WAY PLACE …`: who writes and who reads, each in a process.

WAY is `ours` (ptstream's engine at PLACE, a URL or a home) or `bare`: psycopg alone with the engine's own statements,
batched as the engine does, without its claims, retries, lease and recovery.

    owner WAY PLACE COUNT RATE SECONDS   makes COUNT streams, prints their ids, and on a line of stdin begins: so many
                                         pieces a second each, which say when they were given; prints what it took
    chunks WAY PLACE COUNT GROUPS        the same with chunks alone, each stream's next one when the last is durable
    reader WAY PLACE                     reads ids from stdin, follows those streams, prints how late each piece came
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import anyio.to_thread
import psycopg

from ptstream.engine import open_engine
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.looks import LOOK
from ptstream.engine.postgres.recovery import joined
from ptstream.engine.protocol import Engine, Tail, Writer
from ptstream.follow import Follow
from ptstream.ids import new_id
from ptstream.settings import Home
from ptstream.streams import Claim, Status

WINDOW = 0.01
POLL = 0.02
SWEEP = 0.1
"""Seconds, as in the engine: between two batches of pieces, two polls, two sweeps."""

PIECES_A_CHUNK = 20

CHUNK = "It rained all night, and in the morning the river had come up to the first of the houses; nobody was there. "


class Side(Protocol):
    """Who writes."""

    async def make(self, count: int) -> list[str]:
        """So many streams that are driven here; their ids."""

    def piece(self, n: int, text: bytes) -> None:
        """A piece of the n-th."""

    async def chunk(self, n: int, text: str) -> None:
        """A chunk of the n-th; returns when it is durable."""

    async def end(self, n: int, text: str) -> None:
        """Its end, with what is in no chunk yet."""


@dataclass(slots=True, eq=False)
class Ours:
    """By the engine."""

    engine: Engine
    writer: Writer
    claims: list[Claim] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    async def make(self, count: int) -> list[str]:
        """See Side."""
        for _ in range(count):
            claim = await self.writer.claim((await self.engine.create()).id)
            self.claims.append(claim)
            self.tails.append(await self.writer.tail(claim))
            self.offsets.append(0)
        return [claim.id for claim in self.claims]

    def piece(self, n: int, text: bytes) -> None:
        """See Side."""
        self.tails[n].append(text)

    async def chunk(self, n: int, text: str) -> None:
        """See Side."""
        start, self.offsets[n] = self.offsets[n], self.offsets[n] + len(text)
        await self.writer.append(self.claims[n], start, text, PIECES_A_CHUNK)

    async def end(self, n: int, text: str) -> None:
        """See Side."""
        await self.writer.finish(self.claims[n], self.offsets[n], text, 1, Status.DONE, None, None)
        self.tails[n].discard()


@asynccontextmanager
async def ours(place: str) -> AsyncIterator[Ours]:
    """A side of ours."""
    async with engine_at(place) as engine, engine.writer() as writer:
        yield Ours(engine, writer)


def engine_at(place: str) -> Any:
    """The engine of a URL or a home."""
    return open_engine(Home("/nonexistent"), place) if "://" in place else open_engine(Home(place))


@dataclass(slots=True, eq=False)
class Bare:
    """By psycopg: what waits goes in a batch, one in flight."""

    keeping: psycopg.AsyncConnection[Any]
    flushing: psycopg.AsyncConnection[Any]
    sweeping: psycopg.AsyncConnection[Any]
    ids: list[str] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    flushed: list[int] = field(default_factory=list)
    pieces: dict[int, bytes] = field(default_factory=dict)
    flushes: dict[int, tuple[str, str | None, anyio.Event]] = field(default_factory=dict)
    wanted: anyio.Event = field(default_factory=anyio.Event)

    async def make(self, count: int) -> list[str]:
        """See Side."""
        self.ids = [new_id() for _ in range(count)]
        self.given, self.flushed = [0] * count, [0] * count
        for id in self.ids:
            await self.flushing.execute("INSERT INTO streams (id) VALUES (%s)", (id,))
            values = {"id": id, "owner": "bench", "model": None, "place": None}
            await self.flushing.execute(schema.CLAIM.encode(), values)
        return self.ids

    def piece(self, n: int, text: bytes) -> None:
        """See Side."""
        self.pieces[n] = self.pieces.get(n, b"") + text

    async def chunk(self, n: int, text: str) -> None:
        """See Side."""
        await self._flush(n, text, None)

    async def end(self, n: int, text: str) -> None:
        """See Side."""
        await self._flush(n, text, "done")

    async def _flush(self, n: int, text: str, status: str | None) -> None:
        durable = anyio.Event()
        self.flushes[n] = (text, status, durable)
        self.wanted.set()
        await durable.wait()

    async def keep(self) -> None:
        """Batches of pieces."""
        while True:
            began = time.monotonic()
            if self.pieces:
                batch, self.pieces = self.pieces, {}
                starts = [self.given[n] for n in batch]
                for n, text in batch.items():
                    self.given[n] += len(text)
                values = {"n": [*batch], "id": [self.ids[n] for n in batch], "epoch": [1] * len(batch)}
                await self._rows(self.keeping, schema.KEEP, values | {"start": starts, "text": [*batch.values()]})
            await anyio.sleep(max(0.0, began + WINDOW - time.monotonic()))

    async def flush(self) -> None:
        """Groups of chunks."""
        while True:
            if not self.flushes:
                self.wanted = anyio.Event()
                await self.wanted.wait()
            group, self.flushes = self.flushes, {}
            none = [None] * len(group)
            starts = [self.flushed[n] for n in group]
            for n, (text, *_) in group.items():
                self.flushed[n] += len(text)
            values = {
                "n": [*group],
                "id": [self.ids[n] for n in group],
                "epoch": [1] * len(group),
                "start": starts,
                "stop": [self.flushed[n] for n in group],
                "text": [text.encode() for text, *_ in group.values()],
                "pieces": [PIECES_A_CHUNK] * len(group),
                "status": [status for _, status, _ in group.values()],
                **dict.fromkeys(("cause", "usage", "note"), none),
            }
            await self._rows(self.flushing, schema.FLUSH, values)
            for *_, durable in group.values():
                durable.set()

    async def sweep(self) -> None:
        """Pieces that are in chunks."""
        await self.sweeping.execute("SET synchronous_commit = off")
        while True:
            await anyio.sleep(SWEEP)
            await self._rows(self.sweeping, schema.SWEEP, {"id": self.ids, "stop": self.flushed})

    async def _rows(self, connection: psycopg.AsyncConnection[Any], sql: str, values: dict[str, Any]) -> None:
        await (await connection.cursor(binary=True).execute(sql.encode(), values)).fetchall() if "SELECT" in sql else (
            await connection.cursor(binary=True).execute(sql.encode(), values)
        )


@asynccontextmanager
async def bare(place: str) -> AsyncIterator[Bare]:
    """A side without us."""
    connections = [await psycopg.AsyncConnection.connect(place, autocommit=True) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        made = Bare(connections[0], connections[1], connections[2])
        for task in (made.keep, made.flush, made.sweep):
            tasks.start_soon(task)
        yield made
        tasks.cancel_scope.cancel()
    for connection in connections:
        await connection.close()


SIDES: dict[str, Callable[[str], Any]] = {"ours": ours, "bare": bare}


async def owner(way: str, place: str, count: str, rate: str, seconds: str) -> None:
    """Pieces at a steady rate, and a chunk now and then."""
    async with SIDES[way](place) as side:
        _say(await side.make(int(count)))
        await anyio.to_thread.run_sync(sys.stdin.readline)
        began = time.process_time()
        given = await _give(side, int(count), float(rate), float(seconds))
        _say([given, time.process_time() - began])


async def _give(side: Side, count: int, rate: float, seconds: float) -> int:
    rest, busy = [""] * count, [False] * count

    async def flush(n: int) -> None:
        text, rest[n] = rest[n], ""
        await side.chunk(n, text)
        busy[n] = False

    begin, total = time.monotonic() + 0.1, int(count * rate * seconds)
    async with anyio.create_task_group() as tasks:
        for number in range(total):
            n = number % count
            if (wait := begin + number / (count * rate) - time.monotonic()) > 0:
                await anyio.sleep(wait)
            text = f"{time.monotonic_ns()} "
            side.piece(n, text.encode())
            rest[n] += text
            if len(rest[n]) > PIECES_A_CHUNK * len(text) and not busy[n]:
                busy[n] = True
                tasks.start_soon(flush, n)
    async with anyio.create_task_group() as tasks:
        for n in range(count):
            tasks.start_soon(side.end, n, rest[n])
    return total


async def chunks(way: str, place: str, count: str, groups: str) -> None:
    """Chunks as fast as they are durable."""
    async with SIDES[way](place) as side:
        await side.make(int(count))
        _say("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        began = time.perf_counter()

        async def append(n: int) -> None:
            for _ in range(int(groups)):
                await side.chunk(n, CHUNK)

        async with anyio.create_task_group() as tasks:
            for n in range(int(count)):
                tasks.start_soon(append, n)
        _say([int(count) * int(groups), time.perf_counter() - began])


class Late:
    """How late pieces came, in nanoseconds."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self._rest: dict[str, bytes] = {}

    def take(self, id: str, data: bytes) -> None:
        """Text that has just come."""
        now = time.monotonic_ns()
        *words, self._rest[id] = (self._rest.get(id, b"") + data).split(b" ")
        self.found += [now - int(word) for word in words]


async def reader(way: str, place: str) -> None:
    """Live, to the end of all."""
    ids = json.loads(await anyio.to_thread.run_sync(sys.stdin.readline))
    late = Late()
    began = time.process_time()
    await (_read_ours if way == "ours" else _read_bare)(place, ids, late)
    _say([time.process_time() - began, late.found])


async def _read_ours(place: str, ids: list[str], late: Late) -> None:
    async with engine_at(place) as engine, anyio.create_task_group() as tasks:

        async def read(id: str) -> None:
            async for data in Follow(engine.cursor(id)):
                late.take(id, data)

        for id in ids:
            tasks.start_soon(read, id)
        _say("ready")


async def _read_bare(place: str, ids: list[str], late: Late) -> None:
    """One statement for all of them, again and again."""
    offsets = dict.fromkeys(ids, 0)
    async with await psycopg.AsyncConnection.connect(place, autocommit=True) as connection:
        _say("ready")
        while offsets:
            asked = [*offsets]
            values = {"ids": asked, "offsets": [*offsets.values()], "lives": [True] * len(asked), "all": False}
            cursor = await connection.cursor(binary=True).execute(LOOK.encode(), values)
            for n, status, size, *_, starts, texts, text, _ in await cursor.fetchall():
                id = asked[n - 1]
                pieces = zip(starts, texts, strict=True) if starts else ()
                data = joined(offsets[id], pieces) or bytes(text or b"")
                late.take(id, data)
                offsets[id] += len(data)
                if status == "done" and offsets[id] >= size:
                    del offsets[id]
            await anyio.sleep(POLL)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


ROLES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"owner": owner, "chunks": chunks, "reader": reader}

if __name__ == "__main__":
    role, *words = sys.argv[1:]
    anyio.run(ROLES[role], *words)
