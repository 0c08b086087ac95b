"""Replaying a file: its text byte for byte, on a schedule without drift."""

from __future__ import annotations

import os
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators.replay import BLOCK, Replay, generate, parse, source

pytestmark = pytest.mark.anyio


async def replayed(replay: Replay) -> list[str]:
    async with aclosing(generate(replay)) as pieces:
        return [str(piece) async for piece in pieces]


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize(
    "text",
    ["", "one", "A word. And\n\n  more 😀 words.\n", "x" * 100_000, "日本語の文。" * 20_000, " \n" * BLOCK],
)
async def test_the_pieces_are_the_text(tmp_path: Path, text: str, size: int | None) -> None:
    file = tmp_path / "text"
    file.write_bytes(text.encode())
    pieces = await replayed(Replay(str(file), 0, size))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= (size or 64) for piece in pieces)


async def test_words_come_as_pieces(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("It was dark.\nVery dark. ", encoding="utf-8")
    assert await replayed(Replay(str(tmp_path / "text"), 0)) == ["It ", "was ", "dark.\n", "Very ", "dark. "]


async def test_what_is_not_utf8_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\xff b\xf0\x9f")
    assert "".join(await replayed(Replay(str(tmp_path / "text"), 0))) == "a\ufffd b\ufffd"


async def test_each_piece_has_its_own_time_since_the_begin(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b c d", encoding="utf-8")
    times: list[float] = []

    async def sleep_until(time: float) -> None:
        times.append(time)

    async with aclosing(generate(Replay(str(tmp_path / "text"), 4), sleep_until=sleep_until)) as pieces:
        assert [piece async for piece in pieces] == ["a ", "b ", "c ", "d"]
    assert [time - times[0] for time in times] == pytest.approx([0, 0.25, 0.5, 0.75])


async def test_without_a_rate_it_can_still_be_cancelled(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("word " * 1000, encoding="utf-8")
    count = 0
    with anyio.CancelScope() as scope:
        async with aclosing(generate(Replay(str(tmp_path / "text"), 0))) as pieces:
            async for _ in pieces:
                count += 1
                scope.cancel()
    assert count == 1


def test_its_name_says_what_to_replay() -> None:
    assert parse("replay:/a b/c?rate=5&size=3", "/home") == Replay("/a b/c", 5, 3)
    assert parse("replay:c", "/home") == Replay("/home/c")
    assert source("replay:/c?rate=0", "/home").place == "/c"


@pytest.mark.parametrize("name", ["/c?rate=x", "/c?rate=-1", "/c?rate=inf", "/c?size=0", "/c?speed=1", "", "?rate=1"])
def test_a_name_that_cannot_be_read(name: str) -> None:
    with pytest.raises(ConfigurationError, match="replay:"):
        parse(f"replay:{name}", "/home")


async def test_what_cannot_be_replayed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(GeneratorError, match=str(tmp_path)):
            await replayed(Replay(str(tmp_path / name)))
