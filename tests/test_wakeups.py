"""What wakes watchers when the database's log is written, and when nothing need wake them."""

from __future__ import annotations

import math
import os
import sys

import anyio
import anyio.lowlevel
import pytest

from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.file_changes import Watch
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.waiting_cursors import LiveCursor
from ptstream.engine.sqlite.wakeups import Watched
from tests.conftest import LIMIT, sqlite_itself

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


async def test_a_file_system_that_tells_of_nothing_is_known_by_the_second_text_that_it_did_not_tell_of(
    store: Store,
) -> None:
    """By the first it is not: a process that was stopped may meet the silence first, and text that came meanwhile."""
    watches: list[Watch] = []
    left: list[Watch] = []

    class Untold(Watched):
        def watch(self, tail: str) -> Watch:
            watches.append(Watch(tail, 1))
            return watches[-1]

        def leave(self, watch: Watch) -> None:
            left.append(watch)

    async def silent() -> None:
        while not watches[0].bell.is_awaited:
            await anyio.lowlevel.checkpoint()
        watches[0].ring_for_silence()

    async with attached(store) as engine, engine.writer() as writer:
        claim = await writer.claim(store.create().id)
        tail = await writer.tail(claim)
        cursor = LiveCursor(store, {}, lambda: Untold(store), claim.id, 0)
        for told in (False, True, False, True, False, False):
            assert await cursor.read() == b""
            assert not left
            tail.append(b"text")
            if told:
                watches[0].ring()
            with anyio.fail_after(LIMIT):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cursor.wait)
                    if watches and not told:
                        tasks.start_soon(silent)
            assert await cursor.read() == b"text"
        assert await cursor.read() == b""
        assert left == watches
        cursor.close()
        tail.discard()
