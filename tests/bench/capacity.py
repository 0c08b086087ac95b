"""What one PostgreSQL primary carries: the costs that ptstream-scaling(7) rests on, and what follows from them.

The costs are processor time and bytes of the servers, a primary and a synchronous standby together, which depend less
on what else a machine does than any latency. `Load` is the model that the page's numbers are computed by.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

import anyio
import psycopg

from ptstream.engine.postgres.looks import LOOK, POLL, SLOWEST
from ptstream.settings import Home
from tests.bench.engine import line, pair, tell
from tests.bench.engine_peers import engine_at
from tests.bench.report import Row, Section, number
from tests.bench.surroundings import module, running
from tests.faults.cluster.nodes import Servers
from tests.postgres import programs

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What the servers spend: microseconds of a processor, bytes."""

    piece: float
    """To keep one, in a batch with those of 99 other streams."""
    chunk: float
    """To flush one, in a group with those of 15 other streams."""
    look: float
    """To look at one running stream of which there is news, together with 99 others."""
    quiet: float
    """The same, without news."""
    create: float
    """To make a stream and to claim it."""
    wal: float
    """Bytes of the log that a piece takes."""
    disk: float
    """Bytes of the tables that a stored stream of eight chunks takes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the servers, all of it a second, unless it says otherwise."""

    running: float
    """Streams that are driven at a time."""
    pieces: float = 50.0
    """Pieces of each."""
    chunks: float = 2.0
    """Chunks of each."""
    daemons: float = 1.0
    """Processes that read."""
    followed: float = 0.0
    """Running streams that each of them follows, driven elsewhere."""
    waited: float = 0.0
    """Streams without news that each of them follows."""
    created: float = 0.0
    """Streams made."""

    def cores(self, costs: Costs) -> float:
        """Processors that are busy with it."""
        written = self.running * (self.pieces * costs.piece + self.chunks * costs.chunk)
        read = self.daemons * (self.followed / POLL * costs.look + self.waited / SLOWEST * costs.quiet)
        return (written + read + self.created * costs.create) / 1e6


def measure(quick: bool) -> Section:
    """The section."""
    title = "What PostgreSQL's servers spend"
    if programs() is None:
        return Section(title, [], "not measured: PostgreSQL is not installed")
    with pair() as nodes:
        costs = measured(nodes, 1 if quick else 10)
    rows = [
        Row("keeping a piece", f"{number(costs.piece)} us"),
        Row("flushing a chunk", f"{number(costs.chunk)} us"),
        Row("a look at a stream with news", f"{number(costs.look)} us"),
        Row("a look at a stream without", f"{number(costs.quiet)} us"),
        Row("a stream made and claimed", f"{number(costs.create)} us"),
        Row("log of a piece", f"{number(costs.wal)} B"),
        Row("disk of a stream of eight chunks", f"{number(costs.disk)} B"),
    ]
    return Section(title, rows, "processor time of a primary and a synchronous standby together")


def measured(nodes: Servers, seconds: float) -> Costs:
    """The costs here and now."""
    url = nodes.url()
    anyio.run(_ready, url)
    piece, wal = _kept(nodes, url, seconds)
    chunk = _flushed(nodes, url, int(100 * seconds))
    look, quiet = _looked(nodes, url, int(50 * seconds))
    create, disk = _stored(nodes, url, int(100 * seconds))
    return Costs(piece, chunk, look, quiet, create, wal, disk)


async def _ready(url: str) -> None:
    async with engine_at(url) as engine:
        await engine.listed(1)


@dataclass(frozen=True, slots=True)
class Spent:
    """What the servers spent on a peer: seconds of processors until it was ready, and from then on; bytes of log."""

    before: float
    cpu: float
    log: float


def _spent(nodes: Servers, *words: str) -> Spent:
    """By an owner of `engine_peers`, from its start to its end."""
    began = nodes.cpu()
    with running(module("engine_peers", *words), Home("/nonexistent"), stdin=subprocess.PIPE) as peer:
        line(peer)
        ready, log = nodes.cpu(), _log(nodes)
        tell(peer, "go")
        line(peer)
        return Spent(ready - began, nodes.cpu() - ready, _log(nodes) - log)


def _log(nodes: Servers) -> float:
    return float(nodes.primary.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])


def _kept(nodes: Servers, url: str, seconds: float) -> tuple[float, float]:
    spent = _spent(nodes, "owner", "ours", url, "100", "50", str(seconds))
    pieces = 100 * 50 * seconds
    return spent.cpu / pieces * 1e6, spent.log / pieces


def _flushed(nodes: Servers, url: str, groups: int) -> float:
    return _spent(nodes, "chunks", "ours", url, "16", str(groups)).cpu / (16 * groups) * 1e6


def _looked(nodes: Servers, url: str, count: int) -> tuple[float, float]:
    """A look at a hundred streams, each of which has a chunk and two pieces that are new, or nothing that is."""
    with psycopg.connect(url, autocommit=True) as connection:
        ids = [f"look{n:08}" for n in range(100)]
        text = b"It rained all night, and in the morning the river had come up."
        size = len(text)
        connection.cursor().executemany(
            "INSERT INTO streams (id, status, owner, epoch) VALUES (%s, 'streaming', 'bench', 1)", [(id,) for id in ids]
        )
        connection.cursor().executemany(
            "INSERT INTO chunks (stream, start, stop, epoch, text) VALUES (%s, %s, %s, 1, %s)",
            [(id, n * size, (n + 1) * size, text) for id in ids for n in range(4)],
        )
        connection.cursor().executemany(
            "INSERT INTO pieces (stream, start, epoch, text) VALUES (%s, %s, 1, %s)",
            [(id, 4 * size + 8 * n, b"a piece ") for id in ids for n in range(2)],
        )
        found = []
        for offset in (4 * size, 4 * size + 16):
            values: dict[str, Any] = {"ids": ids, "offsets": [offset] * 100, "lives": [True] * 100, "all": False}
            connection.cursor(binary=True).execute(LOOK.encode(), values).fetchall()
            before = nodes.cpu()
            for _ in range(count):
                connection.cursor(binary=True).execute(LOOK.encode(), values).fetchall()
            found.append((nodes.cpu() - before) / (100 * count) * 1e6)
        connection.execute("DELETE FROM streams WHERE owner = 'bench'")
        return found[0], found[1]


def _stored(nodes: Servers, url: str, count: int) -> tuple[float, float]:
    """Streams made, claimed and left: what that takes, and what eight chunks of each take on disk."""
    sizes = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ('streams', 'attempts', 'chunks')"
    before = float(nodes.primary.sql(sizes)[0][0])
    spent = _spent(nodes, "chunks", "ours", url, str(count), "8")
    return spent.before / count * 1e6, (float(nodes.primary.sql(sizes)[0][0]) - before) / count
