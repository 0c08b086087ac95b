"""PostgreSQL, a primary and a synchronous standby that both flush, beside SQLite and beside bare psycopg.

The other side of a row says the engine's own statements by psycopg alone, in the same run, turn and turn about. Pieces
go from one process to another; chunks are appended each as soon as the last one is durable. All is on one machine and
one disk: to be read as ratios.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from statistics import median
from typing import Any, TypeVar

import anyio
import psycopg

from ptstream.engine.postgres import changes, queries
from ptstream.engine.postgres.looks import LOOK
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite import migration
from ptstream.ids import new_id
from ptstream.settings import Home
from tests.bench.engine_peers import engine_at
from tests.bench.report import Goal, Row, Section, compared, percentile
from tests.bench.surroundings import module, running, temporary_home
from tests.faults.cluster.nodes import Servers, servers
from tests.faults.ears import Ears
from tests.postgres import programs

Turn = TypeVar("Turn")

BARE = Goal(1.5, "the same statements, and what is made of their rows")
BARE_RATE = Goal(0.67, "the same statements, and what is made of their rows", at_least=True)

RATE = 50
"""Pieces a second of a stream."""

STORED_CHUNKS = 4
"""Of each stored stream."""


def measure(quick: bool) -> Section:
    """The section."""
    title = "PostgreSQL, with a synchronous standby"
    if programs() is None:
        return Section(title, [], "not measured: PostgreSQL is not installed")
    with pair() as nodes, temporary_home() as home:
        rows = [
            *_pieces(nodes, home, quick),
            *_idle(nodes, quick),
            *_chunks(nodes, home, quick),
            *_stored(nodes, home, (1_000,) if quick else (10_000, 100_000)),
        ]
    return Section(
        title, rows, "pieces are shown when two disks have them; SQLite's are on none until their sentence is"
    )


@contextmanager
def pair() -> Iterator[Servers]:
    """A primary and a synchronous standby, which wait for the disk."""
    with closing(Ears()) as ears, servers(ears, durable=True, count=2) as nodes:
        yield nodes


# --- pieces to a reader in another process


def _pieces(nodes: Servers, home: Home, quick: bool) -> Iterator[Row]:
    seconds = 1 if quick else 5
    for count in (1, 100):
        ways = {"ours": nodes.url(), "bare": nodes.url(), "sqlite": home.path}
        found = _turns(ways, 1 if quick else 3, partial(_flow, nodes, count, seconds))
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            late = {way: median(percentile(turn.late, share) for turn in turns) / 1e6 for way, turns in found.items()}
            label = f"a piece to a reader, {count} stream{'s'[: count - 1]}, {name}"
            yield compared(label, late["ours"], late["bare"], "ms", "psycopg", BARE)
            yield compared(f"… on SQLite, {name}", late["sqlite"], late["ours"], "ms", "PostgreSQL")
        for what in ("owner", "reader", "server"):
            cost = {
                way: median(getattr(turn, what) / turn.pieces for turn in turns) * 1e6 for way, turns in found.items()
            }
            yield compared(f"… CPU of the {what} a piece", cost["ours"], cost["bare"], "us", "psycopg", BARE)


class Flow:
    """What a turn took: seconds of processors, and how late each piece was, in nanoseconds."""

    def __init__(self, pieces: int, owner: float, reader: float, server: float, late: list[int]) -> None:
        self.pieces, self.owner, self.reader, self.server, self.late = pieces, owner, reader, server, late


def _flow(nodes: Servers, count: int, seconds: float, way: str, place: str) -> Flow:
    """So many streams from one process to another."""
    side = "bare" if way == "bare" else "ours"
    home = Home("/nonexistent")
    piped = {"stdin": subprocess.PIPE}
    with (
        running(
            module("engine_peers", "owner", side, place, str(count), str(RATE), str(seconds)), home, **piped
        ) as owner,
        running(module("engine_peers", "reader", side, place), home, **piped) as reader,
    ):
        ids = line(owner)
        tell(reader, ids)
        line(reader)
        before = nodes.cpu()
        tell(owner, "go")
        pieces, owner_cpu = line(owner)
        reader_cpu, late = line(reader)
        return Flow(pieces, owner_cpu, reader_cpu, nodes.cpu() - before, late)


def _idle(nodes: Servers, quick: bool) -> Iterator[Row]:
    """The server's work a piece, without and with readers in other processes that wait for something else."""
    count, processes = (20, 2) if quick else (200, 10)
    url, found = nodes.url(), {}
    for idle in (0, count):
        with ExitStack() as stack:
            if idle:
                waiting = anyio.run(_claimed, url, count)
                for n in range(processes):
                    peer = running(module("engine_peers", "reader", "ours", url), Home("/x"), stdin=subprocess.PIPE)
                    process = stack.enter_context(peer)
                    tell(process, waiting[n::processes])
                    line(process)
            flows = [_flow(nodes, 100, 1 if quick else 5, "ours", url) for _ in range(1 if quick else 3)]
        found[idle] = median(flow.server / flow.pieces for flow in flows) * 1e6
    label = f"CPU of the servers a piece, {count} idle readers, {processes} processes"
    yield compared(label, found[count], found[0], "us", "none")


async def _claimed(place: str, count: int) -> list[str]:
    """Streams that nothing happens to."""
    async with engine_at(place) as engine:
        return [(await engine.create()).id for _ in range(count)]


# --- chunks


def _chunks(nodes: Servers, home: Home, quick: bool) -> Iterator[Row]:
    for owners in (1, 3):
        for count in (1, 16, 256):
            groups = max(4, (200 if quick else 2000) // count)
            ways = {"ours": nodes.url(), "bare": nodes.url(), "sqlite": home.path}
            found = _turns(ways, 1 if quick else 3, partial(_append, count, owners, groups))
            rates = {way: median(turns) for way, turns in found.items()}
            label = f"chunks/s, {count} stream{'s'[: count - 1]}, {owners} owner{'s'[: owners - 1]}"
            yield compared(label, rates["ours"], rates["bare"], "/s", "psycopg", BARE_RATE)
            yield compared("… on SQLite", rates["sqlite"], rates["ours"], "/s", "PostgreSQL")


def _append(count: int, owners: int, groups: int, way: str, place: str) -> float:
    """Chunks a second of all owners."""
    side = "bare" if way == "bare" else "ours"
    words = ["chunks", side, place, str(count), str(groups)]
    with ExitStack() as stack:
        peers = [
            stack.enter_context(running(module("engine_peers", *words), Home("/x"), stdin=subprocess.PIPE))
            for _ in range(owners)
        ]
        for peer in peers:
            line(peer)
        for peer in peers:
            tell(peer, "go")
        return float(sum(chunks / seconds for chunks, seconds in map(line, peers)))


# --- many stored


def _stored(nodes: Servers, home: Home, sizes: Sequence[int]) -> Iterator[Row]:
    """A list, a text, a search and a new stream among so many."""
    url, there = nodes.url(), 0
    for size in sizes:
        ids = _fill(nodes, home, size - there)
        there = size
        ours = anyio.run(_looks, url, ids)
        local = anyio.run(_looks, home.path, ids)
        plain = anyio.run(_bare_looks, url, ids)
        for what, taken in ours.items():
            if what in plain:
                yield compared(f"{what}, {size:,} stored", taken * 1e3, plain[what] * 1e3, "ms", "psycopg", BARE)
            yield compared(f"{what}, {size:,} stored, beside", taken * 1e3, local[what] * 1e3, "ms", "SQLite")


def _fill(nodes: Servers, home: Home, count: int) -> list[str]:
    """So many ended streams in both places; some of their ids."""
    ids = [new_id() for _ in range(count)]
    text = "It rained all night, and in the morning the river had come up to the houses; nobody was there to see it. "
    size = len(text)
    streams = [(id, "done", STORED_CHUNKS * size, time.time(), time.time()) for id in ids]
    chunks = [(id, n * size, (n + 1) * size, 1, time.time(), text) for id in ids for n in range(STORED_CHUNKS)]
    with psycopg.connect(nodes.primary.url) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY streams (id, status, bytes, created_at, ended_at) FROM STDIN") as copy:
            for stream in streams:
                copy.write_row(stream)
        with cursor.copy("COPY chunks (stream, start, stop, epoch, at, text) FROM STDIN") as copy:
            for *row, words in chunks:
                copy.write_row((*row, words.encode()))
    nodes.primary.sql("VACUUM ANALYZE")
    with closing(migration.connect_writer(home)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO streams (id, status, bytes, created_at, ended_at) VALUES (?, ?, ?, ?, ?)", streams
        )
        database.executemany(
            "INSERT INTO chunks (stream, start, stop, epoch, at, text) VALUES (?, ?, ?, ?, ?, ?)", chunks
        )
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ids[:: max(1, count // 50)]


async def _looks(place: str, ids: Sequence[str]) -> dict[str, float]:
    async with engine_at(place) as engine:
        return {
            "a list of 50": await _middle(ids, lambda _: engine.listed(50)),
            "a text": await _middle(ids, engine.text),
            "a new stream": await _middle(ids, lambda _: engine.create()),
            "a search through all": await _middle(ids[:3], lambda _: _searched(engine)),
        }


async def _searched(engine: Engine) -> int:
    async with engine.search("nowhere to be found") as hits:
        return len([hit async for hit in hits])


async def _middle(ids: Sequence[str], look: Callable[[str], Any]) -> float:
    taken = []
    for id in ids:
        began = time.perf_counter()
        await look(id)
        taken.append(time.perf_counter() - began)
    return median(taken)


async def _bare_looks(url: str, ids: Sequence[str]) -> dict[str, float]:
    """The same statements by psycopg alone, whose rows are left as they come."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def rows(sql: str, values: Any) -> None:
            cursor = connection.cursor(binary=True)
            await (await cursor.execute(sql.encode(), values)).fetchall()

        def text(id: str) -> dict[str, Any]:
            return {"ids": [id], "offsets": [0], "lives": [True], "all": True}

        create = changes.MADE.format("id", "%(id)s")
        new = {"the_prompt": None, "the_system": None}
        return {
            "a list of 50": await _middle(ids, lambda _: rows(queries.LISTING.format(""), (50,))),
            "a text": await _middle(ids, lambda id: rows(LOOK, text(id))),
            "a new stream": await _middle(ids, lambda _: rows(create, new | {"id": new_id()})),
        }


# --- turns


def _turns(ways: dict[str, str], turns: int, turn: Callable[[str, str], Turn]) -> dict[str, list[Turn]]:
    """Each way so often, one after the other."""
    found: dict[str, list[Turn]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, place in ways.items():
            found[way].append(turn(way, place))
    return found


def line(process: subprocess.Popen[bytes]) -> Any:
    """What a peer says next. Raises RuntimeError when it has ended."""
    assert process.stdout
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"{process.args!r} ended")
    return json.loads(said)


def tell(process: subprocess.Popen[bytes], what: object) -> None:
    """Tell a peer something."""
    assert process.stdin
    process.stdin.write(json.dumps(what).encode() + b"\n")
    process.stdin.flush()
