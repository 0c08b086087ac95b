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

from ptstream.daemon.openai_api import RelayedResponse
from ptstream.daemon.spooled_buffer import MOST_OF_ALL, Quota, SpooledBuffer
from ptstream.errors import StreamFailed
from tests.conftest import Cli

pytestmark = pytest.mark.anyio


async def test_what_is_beyond_memory_waits_in_a_file_until_it_is_taken(tmp_path: Path) -> None:
    buffer = SpooledBuffer(str(tmp_path), memory=4)
    runs = aiter(buffer.runs())
    buffer.put(b"abc")
    assert buffer.on_disk == 0
    buffer.put(b"de")
    buffer.put(b"f")
    assert buffer.on_disk == 3
    assert os.listdir(tmp_path) == []
    assert [await anext(runs), await anext(runs)] == [b"abc", b"def"]
    assert buffer.on_disk == 0
    buffer.put(b"gh")
    assert buffer.on_disk == 0
    buffer.end()
    assert [data async for data in runs] == [b"gh"]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5), max_size=9))
async def test_nothing_is_lost_and_nothing_comes_twice(rounds: list[list[bytes]]) -> None:
    """In each round several things come, and the reader takes once: it falls behind, and catches up at the end."""
    buffer, got = SpooledBuffer(tempfile.gettempdir(), memory=7), b""
    runs = aiter(buffer.runs())
    for each in rounds:
        for data in each:
            buffer.put(data)
        got += await anext(runs)
    buffer.end()
    got += b"".join([data async for data in runs])
    assert got == b"".join(map(b"".join, rounds))
    assert buffer.on_disk == 0


async def test_a_reader_that_waits_is_woken(tmp_path: Path) -> None:
    buffer = SpooledBuffer(str(tmp_path))
    got = []

    async def read() -> None:
        got.extend([data async for data in buffer.runs()])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        buffer.put(b"a")
        await anyio.wait_all_tasks_blocked()
        assert got == []  # it is a list when all is over
        buffer.end()
    assert got == [b"a"]


async def test_an_error_comes_after_all_that_waits(tmp_path: Path) -> None:
    buffer = SpooledBuffer(str(tmp_path), memory=1)
    buffer.put(b"ab")
    buffer.end(StreamFailed("broken"))
    buffer.end()
    buffer.put(b"c")
    runs = aiter(buffer.runs())
    assert await anext(runs) == b"ab"
    with pytest.raises(StreamFailed, match="broken"):
        await anext(runs)


async def test_nothing_waits_for_a_reader_that_has_left(tmp_path: Path) -> None:
    buffer = SpooledBuffer(str(tmp_path), memory=1)
    buffer.put(b"ab")
    buffer.leave()
    buffer.put(b"cd")
    assert buffer.on_disk == 0


async def test_nothing_waits_for_a_client_that_has_gone(tmp_path: Path) -> None:
    buffer = SpooledBuffer(str(tmp_path), memory=1)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    await RelayedResponse(buffer, 200, {})({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    buffer.put(b"more")
    assert buffer.on_disk == 0


async def test_a_full_disk_gives_up_the_reader_alone(small: Cli) -> None:
    folder = os.path.dirname(small.home.path)
    buffer = SpooledBuffer(folder, memory=2)
    for _ in range(9):
        buffer.put(b"x" * 1_000_000)
    buffer.put(b"after")
    got = b""
    with pytest.raises(StreamFailed, match="No space left"):
        async for data in buffer.runs():
            got += data
    assert got == b"x" * len(got)
    assert 3_000_000 < len(got) < 5_000_000


async def test_what_waits_for_a_client_is_bounded_and_given_back(tmp_path: Path) -> None:
    quota = Quota()
    buffer = SpooledBuffer(str(tmp_path), quota, memory=4, most=10)
    buffer.put(b"abcd")
    buffer.put(b"efghijklmn")
    assert (buffer.on_disk, quota.free) == (10, MOST_OF_ALL - 10)
    buffer.put(b"o")
    assert (buffer.on_disk, quota.free) == (0, MOST_OF_ALL)
    buffer.put(b"p")
    assert buffer.on_disk == 0
    with pytest.raises(StreamFailed, match="too far behind"):
        await anext(aiter(buffer.runs()))


async def test_what_waits_for_all_clients_is_bounded(tmp_path: Path) -> None:
    quota = Quota(10)
    one, two = (SpooledBuffer(str(tmp_path), quota, memory=0) for _ in range(2))
    one.put(b"123456")
    two.put(b"12345")
    assert (one.on_disk, two.on_disk, quota.free) == (6, 0, 4)
    assert await anext(aiter(one.runs())) == b"123456"
    assert quota.free == 10
    with pytest.raises(StreamFailed):
        await anext(aiter(two.runs()))
    one.leave()


async def test_a_client_that_is_always_a_little_behind_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has taken does not lie on the disk any more, though the disk is never empty."""
    monkeypatch.setattr("ptstream.daemon.spooled_buffer.FILE", 4)
    monkeypatch.setattr("ptstream.daemon.spooled_buffer.AT_ONCE", 2)
    quota = Quota()
    buffer = SpooledBuffer(str(tmp_path), quota, memory=0, most=12)
    runs = aiter(buffer.runs())
    got = b""
    for number in range(100):
        buffer.put(b"%02d" % number)
        if number >= 3:
            got += await anext(runs)
        assert buffer.on_disk <= 12
    buffer.end()
    got += b"".join([data async for data in runs])
    assert got == b"".join(b"%02d" % number for number in range(100))
    assert quota.free == MOST_OF_ALL


async def test_a_client_that_takes_nothing_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptstream.daemon.openai_api.STALLED", 0.01)
    buffer = SpooledBuffer(str(tmp_path), memory=1)
    buffer.put(b"ab")

    async def receive() -> Message:
        await anyio.sleep_forever()
        return {}

    async def send(_: Message) -> None:
        await anyio.sleep_forever()

    with pytest.raises(StreamFailed, match="took nothing"):
        await RelayedResponse(buffer, 200, {})({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert buffer.on_disk == 0
    buffer.put(b"more")
    assert buffer.on_disk == 0
