"""`python -m tests.bench.answers ours|naive HOME PIECES`: writes one answer, watches it, and tells what it cost.

`ours`: an owner drives a generator, a watcher reads out of the store. `naive`: one row holds the body and is updated
with every piece, durably; at every commit a second connection reads it, as a page that is sent the body would.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

import anyio

from ptstream.config import Settings
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.follow import Follow
from ptstream.generators import Event, Source
from ptstream.owner import open_owner
from ptstream.settings import Home
from ptstream.streams import Flush, Status
from tests.bench.english import pieces
from tests.bench.long_answer import MARK, Cost

RATE = 1000
"""Pieces a second: the answer takes as long as its reader may wait for a benchmark, and flushes still find time."""


def mark() -> None:
    """Leaves a mark in strace's output."""
    with contextlib.suppress(OSError):
        os.fsync(int(MARK))


async def _generate(text: list[str]) -> AsyncGenerator[Event, None]:
    began = time.monotonic()
    for number, piece in enumerate(text):
        await anyio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        yield piece


async def _received(home: Home, id: str) -> int:
    """Bytes that a watcher got by the stream's end."""
    size = 0
    with Store(home) as store:
        async with attached(store) as engine:
            async for data in Follow(engine.cursor(id, live=False)):
                size += len(data)
    return size


async def ours(home: Home, text: list[str]) -> Cost:
    """Driven and watched."""
    sent = 0

    async def watch() -> None:
        nonlocal sent
        sent = await _received(home, stream)

    with Store(home) as store:
        async with attached(store) as engine, open_owner(engine) as owner:
            stream = store.create().id
            before = _log_size(home)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                mark()
                source = Source("scripted", "here", Flush.SENTENCES, lambda: _generate(text), silence_is_normal=True)
                await (await owner.start(stream, source, Settings())).ended.wait()
                mark()
            assert store.state(stream).status is Status.DONE
            ends = _ends(home, stream)
            return Cost(
                pieces=store.counts(stream)[0],
                body=ends[-1],
                rows=len(ends),
                commits=len(ends) + 1,  # the claim; the end is in the last chunk's
                log=_log_size(home) - before,
                sent=sent,
                resent=sum(ends),
            )


def naive(home: Home, text: list[str]) -> Cost:
    """One body, updated."""
    os.makedirs(os.path.dirname(home.database))
    writing, watching = (sqlite3.connect(home.database, isolation_level=None) for _ in range(2))
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
        writing.execute(f"PRAGMA {pragma}").fetchall()
    writing.execute("CREATE TABLE bodies (id TEXT PRIMARY KEY, text TEXT NOT NULL)")
    writing.execute("INSERT INTO bodies VALUES ('answer', '')")
    before, sent, body = _log_size(home), 0, ""
    mark()
    for piece in text:
        body += piece
        writing.execute("UPDATE bodies SET text = ? WHERE id = 'answer'", (body,))
        sent += len(watching.execute("SELECT text FROM bodies WHERE id = 'answer'").fetchone()[0].encode())
    mark()
    log = _log_size(home) - before
    watching.close()
    writing.close()
    count = len(text)
    return Cost(pieces=count, body=len(body.encode()), rows=count, commits=count, log=log, sent=sent, resent=sent)


def _ends(home: Home, id: str) -> list[int]:
    """Where each chunk ends."""
    connection = sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)
    rows: list[Any] = connection.execute("SELECT stop FROM chunks WHERE stream = ? ORDER BY start", (id,)).fetchall()
    connection.close()
    return [stop for (stop,) in rows]


def _log_size(home: Home) -> int:
    return os.stat(home.database + "-wal").st_size


def main() -> None:
    """Write it and tell."""
    way, path, count = sys.argv[1:]
    home, text = Home(path), pieces(int(count))
    cost = naive(home, text) if way == "naive" else anyio.run(ours, home, text)
    sys.stdout.write(json.dumps({name: getattr(cost, name) for name in Cost.__slots__}))


if __name__ == "__main__":
    main()
