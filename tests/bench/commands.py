"""Homes that are filled for a command to be timed in, and how it is."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from ptstream.engine.sqlite import migration, statements
from ptstream.settings import Home
from ptstream.streams import Claim
from tests.bench.surroundings import claimed, running

CHUNK = 1000
"""Characters of a chunk: a paragraph."""

AT_ONCE = 1024 * 1024


def add_ended(home: Home, texts: Sequence[str], chunk: int = CHUNK) -> list[str]:
    """Streams that are `done` and hold these texts; their ids."""
    claims = claimed(home, len(texts))
    with closing(migration.connect_writer(home)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for claim, text in zip(claims, texts, strict=True):
            _end(connection, claim, _parts(text, chunk), len(text))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # nobody else is there
    return [claim.id for claim in claims]


def add_large(home: Home, block: str, size: int) -> str:
    """One stream of `size` bytes, which are the block again and again, a chunk each; its id."""
    (claim,) = claimed(home, 1)
    with closing(migration.connect_writer(home)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        whole, rest = divmod(size, len(block))
        parts = (block if place < whole else block[:rest] for place in range(whole + (rest > 0)))
        _end(connection, claim, parts, size)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return claim.id


def _parts(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _end(connection: sqlite3.Connection, claim: Claim, parts: Iterator[str], size: int) -> None:
    """Chunks as an owner's commits would leave them; the text is ASCII."""
    start, statement = 0, statements.flush_statement(1)
    for part in parts:
        stop = start + len(part)
        end = "done" if stop == size else None
        row = (claim.id, 1, start, stop, part, time.time(), 1, end, None, None, None)
        connection.execute(statement, row).fetchall()
        start = stop


def argv(words: Sequence[str]) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "ptstream.cli.entry", *words]


def seconds(home: Home, argv: Sequence[str], length: int | None = None) -> float:
    """How long it runs. Its output must have this many bytes, if any number is given; it is read, and not kept."""
    buffer, size = bytearray(AT_ONCE), 0
    began = time.perf_counter()
    with running(argv, home) as process:
        assert process.stdout is not None
        while got := process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            size += got
        code = process.wait()
        taken = time.perf_counter() - began
    assert code == 0, f"{argv} ended with exit code {code}"
    assert length is None or size == length, f"{argv} printed {size} bytes, not {length}"
    return taken
