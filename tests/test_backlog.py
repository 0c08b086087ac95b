"""What waits for a slow client: in memory, then in a file without a name, and in order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from ptstream.daemon.backlog import MOST_OF_ALL, Backlog, Room
from ptstream.daemon.completions import Relayed
from ptstream.errors import StreamFailed
from tests.conftest import Cli

pytestmark = pytest.mark.anyio


async def test_what_is_beyond_memory_waits_in_a_file_until_it_is_taken(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path), memory=4)
    runs = aiter(backlog.runs())
    backlog.put(b"abc")
    assert backlog.on_disk == 0
    backlog.put(b"de")
    backlog.put(b"f")
    assert backlog.on_disk == 3
    assert os.listdir(tmp_path) == []
    assert [await anext(runs), await anext(runs)] == [b"abc", b"def"]
    assert backlog.on_disk == 0
    backlog.put(b"gh")
    assert backlog.on_disk == 0
    backlog.end()
    assert [data async for data in runs] == [b"gh"]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5), max_size=9))
async def test_nothing_is_lost_and_nothing_comes_twice(rounds: list[list[bytes]]) -> None:
    """In each round several things come, and the reader takes once: it falls behind, and catches up at the end."""
    backlog, got = Backlog(tempfile.gettempdir(), memory=7), b""
    runs = aiter(backlog.runs())
    for each in rounds:
        for data in each:
            backlog.put(data)
        got += await anext(runs)
    backlog.end()
    got += b"".join([data async for data in runs])
    assert got == b"".join(map(b"".join, rounds))
    assert backlog.on_disk == 0


async def test_a_reader_that_waits_is_woken(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path))
    got = []

    async def read() -> None:
        got.extend([data async for data in backlog.runs()])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        backlog.put(b"a")
        await anyio.wait_all_tasks_blocked()
        assert got == []  # it is a list when all is over
        backlog.end()
    assert got == [b"a"]


async def test_an_error_comes_after_all_that_waits(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path), memory=1)
    backlog.put(b"ab")
    backlog.end(StreamFailed("broken"))
    backlog.end()
    backlog.put(b"c")
    runs = aiter(backlog.runs())
    assert await anext(runs) == b"ab"
    with pytest.raises(StreamFailed, match="broken"):
        await anext(runs)


async def test_nothing_waits_for_a_reader_that_has_left(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path), memory=1)
    backlog.put(b"ab")
    backlog.leave()
    backlog.put(b"cd")
    assert backlog.on_disk == 0


async def test_nothing_waits_for_a_client_that_has_gone(tmp_path: Path) -> None:
    backlog = Backlog(str(tmp_path), memory=1)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    await Relayed(backlog, 200, {})({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    backlog.put(b"more")
    assert backlog.on_disk == 0


async def test_a_full_disk_gives_up_the_reader_alone(small: Cli) -> None:
    folder = os.path.dirname(small.home.path)
    backlog = Backlog(folder, memory=2)
    for _ in range(9):
        backlog.put(b"x" * 1_000_000)
    backlog.put(b"after")
    got = b""
    with pytest.raises(StreamFailed, match="No space left"):
        async for data in backlog.runs():
            got += data
    assert got == b"x" * len(got)
    assert 3_000_000 < len(got) < 5_000_000


async def test_what_waits_for_a_client_is_bounded_and_given_back(tmp_path: Path) -> None:
    room = Room()
    backlog = Backlog(str(tmp_path), room, memory=4, most=10)
    backlog.put(b"abcd")
    backlog.put(b"efghijklmn")
    assert (backlog.on_disk, room.left) == (10, MOST_OF_ALL - 10)
    backlog.put(b"o")
    assert (backlog.on_disk, room.left) == (0, MOST_OF_ALL)
    backlog.put(b"p")
    assert backlog.on_disk == 0
    with pytest.raises(StreamFailed, match="too far behind"):
        await anext(aiter(backlog.runs()))


async def test_what_waits_for_all_clients_is_bounded(tmp_path: Path) -> None:
    room = Room(10)
    one, two = (Backlog(str(tmp_path), room, memory=0) for _ in range(2))
    one.put(b"123456")
    two.put(b"12345")
    assert (one.on_disk, two.on_disk, room.left) == (6, 0, 4)
    assert await anext(aiter(one.runs())) == b"123456"
    assert room.left == 10
    with pytest.raises(StreamFailed):
        await anext(aiter(two.runs()))
    one.leave()


async def test_a_client_that_is_always_a_little_behind_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has taken does not lie on the disk any more, though the disk is never empty."""
    monkeypatch.setattr("ptstream.daemon.backlog.FILE", 4)
    monkeypatch.setattr("ptstream.daemon.backlog.AT_ONCE", 2)
    room = Room()
    backlog = Backlog(str(tmp_path), room, memory=0, most=12)
    runs = aiter(backlog.runs())
    got = b""
    for number in range(100):
        backlog.put(b"%02d" % number)
        if number >= 3:
            got += await anext(runs)
        assert backlog.on_disk <= 12
    backlog.end()
    got += b"".join([data async for data in runs])
    assert got == b"".join(b"%02d" % number for number in range(100))
    assert room.left == MOST_OF_ALL


async def test_a_client_that_takes_nothing_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptstream.daemon.completions.STALLED", 0.01)
    backlog = Backlog(str(tmp_path), memory=1)
    backlog.put(b"ab")

    async def receive() -> Message:
        await anyio.sleep_forever()
        return {}

    async def send(_: Message) -> None:
        await anyio.sleep_forever()

    with pytest.raises(StreamFailed, match="took nothing"):
        await Relayed(backlog, 200, {})({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert backlog.on_disk == 0
    backlog.put(b"more")
    assert backlog.on_disk == 0
