"""Durable chunks a second: `Writer` with 1, 16 and 256 streams that append at once, against the sqlite3 module.

The other writes the same rows (a chunk, its stream, its attempt) into a database of the same kind, in groups of the
same size, each group one transaction on one thread, with the same pragmas (`synchronous=FULL`) and the same
checkpoints. It asks nobody's leave: no fence, no waiting tasks. Turns of a fraction of a second, medians of the turns'
ratios.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

import anyio

from ptstream.engine.sqlite import migration
from ptstream.engine.sqlite.checkpoints import CHECKPOINT_BYTES
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.settings import Home
from ptstream.streams import Claim
from tests.bench.english import pieces
from tests.bench.report import Goal, Row, Section, number
from tests.bench.surroundings import claimed, temporary_home

STREAMS = (1, 16, 256)

TEXT = "".join(pieces(25))
"""A chunk: about a sentence."""

SIZE = len(TEXT)


@dataclass(slots=True, eq=False)
class Ours:
    """Streams that append through one `Writer`, each as soon as its last chunk is durable."""

    writer: SqliteWriter
    claims: list[Claim]
    offset: int = 0

    async def run(self, groups: int) -> float:
        """Seconds for so many chunks of each."""
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for claim in self.claims:
                tasks.start_soon(self._append, claim, groups)
        self.offset += groups * SIZE
        return time.perf_counter() - began

    async def _append(self, claim: Claim, count: int) -> None:
        for place in range(count):
            await self.writer.append(claim, self.offset + place * SIZE, TEXT, place)


@dataclass(slots=True, eq=False)
class Plain:
    """The same rows by hand."""

    home: Home
    connection: sqlite3.Connection
    ids: list[str]
    offset: int = field(default=0)

    def run(self, groups: int) -> float:
        """Seconds for so many transactions of one chunk of each stream."""
        began = time.perf_counter()
        for place in range(groups):
            self._commit(place)
            if os.stat(self.home.database + "-wal").st_size > CHECKPOINT_BYTES:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return time.perf_counter() - began

    def _commit(self, pieces: int) -> None:
        start, stop, now = self.offset, self.offset + SIZE, time.time()
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO chunks (stream, start, stop, epoch, at, text) VALUES (?, ?, ?, 1, ?, ?)",
            [(id, start, stop, now, TEXT) for id in self.ids],
        )
        self.connection.executemany("UPDATE streams SET bytes = ? WHERE id = ?", [(stop, id) for id in self.ids])
        self.connection.executemany(
            "UPDATE attempts SET pieces = ? WHERE stream = ? AND epoch = 1", [(pieces, id) for id in self.ids]
        )
        self.connection.execute("COMMIT")
        self.offset = stop


async def _compare(streams: int, turns: int, seconds: float) -> Row:
    with ExitStack() as stack:
        our_home, other_home = (stack.enter_context(temporary_home()) for _ in range(2))
        plain = _plain(other_home, streams)
        stack.callback(plain.connection.close)
        ours = Ours(SqliteWriter(stack.enter_context(Store(our_home)), "bench"), claimed(our_home, streams))
        async with ours.writer.open():
            groups = max(2, int(seconds / (plain.run(5) / 5)))
            await ours.run(2)
            pairs = [(await ours.run(groups), plain.run(groups)) for _ in range(turns)]
    rates = [[groups * streams / taken for taken in pair] for pair in pairs]
    mine, theirs = (median(side) for side in zip(*rates, strict=True))
    return Row(
        f"{streams} stream{'s'[: streams - 1]} at once",
        f"{number(mine)} /s",
        f"sqlite3, {streams} a transaction {number(theirs)} /s",
        median(rate / other for rate, other in rates),
        Goal(0.85, "the rest is Python's way to the writer's thread and back", at_least=True),
        mine,
        theirs,
    )


def _plain(home: Home, streams: int) -> Plain:
    """A database of ours with so many streams, and a connection as ours are."""
    ids = [claim.id for claim in claimed(home, streams)]
    return Plain(home, migration.connect_writer(home), ids)


def measure(quick: bool) -> Section:
    """The section."""
    turns, seconds = (3, 0.1) if quick else (9, 0.12)
    rows = [anyio.run(_compare, streams, turns, seconds) for streams in STREAMS]
    return Section("Durable chunks a second (more is better)", rows, f"{SIZE} bytes a chunk; {turns} turns each", turns)
