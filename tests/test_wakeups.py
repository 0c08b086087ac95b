"""What wakes watchers when the database's log is written, and when nothing need wake them."""

from __future__ import annotations

import math
import os
import sys

import anyio
import anyio.lowlevel
import pytest

from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.wakeups import Watched
from tests.conftest import sqlite_itself

pytestmark = [
    pytest.mark.anyio,
    sqlite_itself,
    pytest.mark.skipif(sys.platform != "linux", reason="watchfiles takes what happens in a thread of its own"),
]


async def _commit(store: Store, times: int = 1) -> None:
    for _ in range(times):
        store.create()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()


async def test_while_all_watchers_pause_no_hint_is_taken_and_none_is_lost(store: Store) -> None:
    store.create()
    wakes = Watched(store)
    wakes.begin()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wakes.run)
        tasks.start_soon(wakes.pause, 3600)
        await _commit(store)
        first = wakes.hinted_at
        await _commit(store, 5)
        assert wakes.hinted_at == first > -math.inf
        assert await wakes.hint(60)
        tasks.cancel_scope.cancel()


async def test_who_pauses_keeps_no_hint_from_another_watcher(store: Store) -> None:
    store.create()
    wakes = Watched(store)
    wakes.begin()
    hints = []

    async def hope() -> None:
        hints.append(await wakes.hint(60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wakes.run)
        tasks.start_soon(wakes.pause, 3600)
        for _ in range(3):
            async with anyio.create_task_group() as hoping:
                hoping.start_soon(hope)
                await _commit(store)
        tasks.cancel_scope.cancel()
    assert hints == [True] * 3


async def test_who_pauses_keeps_no_write_of_a_tail_from_its_reader(store: Store) -> None:
    store.create()
    path = os.path.join(store.home.path, "a tail")
    wakes = Watched(store)
    wakes.begin()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wakes.run)
        tasks.start_soon(wakes.pause, 3600)
        await _commit(store)
        with open(path, "wb", buffering=0) as tail:
            watch = wakes.watch(path)
            assert watch is not None
            for _ in range(3):
                written = watch.bell.next()
                tail.write(b"A piece.")
                with anyio.fail_after(60):
                    await written.wait()
            wakes.leave(watch)
        tasks.cancel_scope.cancel()
