"""Many streams at once, many in the database, and a huge one: all exact, and what does not touch them stays as fast."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing

from ptstream.engine.sqlite import migration, statements
from ptstream.ids import new_id
from ptstream.streams import GenerationRequest
from tests.faults.ground import Ground, ground, read
from tests.faults.runs import Run
from tests.faults.scenes import text_file
from tests.faults.tally import Tally
from tests.faults.text import numbered
from tests.faults.verdict import Told, judge

SMALL = 2_000

CHUNK = 1000
"""Characters of a chunk of the huge stream."""


def at_once(run: Run, tally: Tally, count: int) -> None:
    """A thousand streams through the daemon, each with a text of its own."""
    streams = 100 if run.quick else 1000
    with run.case(tally, 0) as chance, ground(chance) as here:
        told = _small_streams(here, streams)
        daemon = here.daemon()
        began = time.monotonic()
        for stream in told:
            here.drive(stream.id)
        started = time.monotonic()
        with here.store() as store:
            here.ears.until(lambda: not store.streaming(), "the ends")
            ended = time.monotonic()
            rows = sum(store.counts(stream.id)[1] for stream in told)
        daemon.kill()
        tally.times = streams
        tally.notes.append(
            f"{streams:,} streams of {SMALL:,} bytes at 20 pieces/s: started in {started - began:.1f} s, all ended"
            f" {ended - began:.1f} s after the first, {rows:,} chunks"
        )
        judge(here, tally, told)


def _small_streams(here: Ground, count: int) -> list[Told]:
    told = []
    with here.store() as store:
        for number in range(count):
            path, text = text_file(here, f"m{number}", SMALL)
            model = f"replay:{path}?rate=20&size=20"
            told.append(Told(store.create(GenerationRequest(prompt="x", model=model)).id, text, whole=True))
    return told


def stored(run: Run, tally: Tally, count: int) -> None:
    """`create`, `ls -n 10`, `cat` of a small one and `watch` in a full home, against an almost empty one."""
    streams, huge = (1000, 10_000_000) if run.quick else (10_000, 100_000_000)
    with run.case(tally, 0) as chance, ground(chance) as empty, ground(chance) as full:
        (small,) = _make_ended(empty, [numbered("small", SMALL)])
        others = [f"text {number}".encode() for number in range(streams - 2)]
        big, *_, its_small = _make_ended(full, [numbered("huge", huge), *others, numbered("small", SMALL)])
        tally.times = streams
        for name, words in _commands(small.id).items():
            alone = _seconds(empty, words, run.quick)
            beside = _seconds(full, _commands(its_small.id)[name], run.quick)
            tally.notes.append(
                f"{name}: {beside * 1000:.0f} ms beside {streams:,} streams and {huge // 10**6} MB,"
                f" {alone * 1000:.0f} ms in an empty home ({beside / alone:.2f}x)"
            )
        with full.store() as store:
            tally.check(read(store, big.id)[0] == big.text, "the huge one differs")
        judge(full, tally, [its_small, big])


def _commands(small: str) -> dict[str, Sequence[str]]:
    return {
        "create": ("create", "x"),
        "ls -n 10": ("ls", "-n", "10"),
        "cat of a small one": ("cat", small),
        "watch of a small one": ("watch", small),
    }


def _seconds(here: Ground, words: Sequence[str], quick: bool) -> float:
    """The middle of several runs of the command."""
    taken = []
    for _ in range(3 if quick else 9):
        began = time.monotonic()
        here.ask(*words)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def _make_ended(here: Ground, texts: Sequence[bytes]) -> list[Told]:
    """Streams that are `done`, as an owner's commits would leave them, but all in one transaction."""
    with closing(migration.connect_writer(here.home)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        told = [_insert_ended(connection, text) for text in texts]
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nobody else is there
    return told


def _insert_ended(connection: sqlite3.Connection, text: bytes) -> Told:
    id = new_id()
    connection.execute("INSERT INTO streams (id, opening, created_at) VALUES (?, 'x', ?)", (id, time.time()))
    claim = {"id": id, "owner": "many", "boot": "", "at": time.time(), "model": None, "place": None}
    connection.execute(statements.CLAIM, claim).fetchall()
    words, offset = text.decode(), 0
    for at in range(0, len(words), CHUNK):
        part = words[at : at + CHUNK]
        stop = offset + len(part.encode())
        end = "done" if stop == len(text) else None
        row = (id, 1, offset, stop, part, time.time(), 1, end, None, None, None)
        connection.execute(statements.flush_statement(1), row).fetchall()
        offset = stop
    return Told(id, text, whole=True)
