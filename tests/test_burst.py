"""Pieces that come in one turn of the event loop: kept as one, and as they would have been one by one."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Callable

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream.burst import TURN, Burst
from ptstream.drive import Drive
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite.store import Store
from ptstream.errors import GeneratorDropped, GeneratorError
from ptstream.generators import Event, Note, Quiet, Source
from ptstream.generators.surrogates import mend
from ptstream.owner import open_owner
from ptstream.sentences import Cutter
from ptstream.streams import Claim, Flush, Status
from tests.conftest import owning, read

pytestmark = pytest.mark.anyio

Generate = Callable[[], AsyncGenerator[Event, None]]


def at_once() -> float:
    """A clock that stands still: all comes in one turn."""
    return 100.0


async def drive_of(engine: Engine, writer: object, generate: Generate, *, shows: bool = False) -> Drive:
    """A claimed stream's, not begun yet."""
    claim = await writer.claim((await engine.create()).id)  # type: ignore[attr-defined]
    tail = await writer.tail(claim)  # type: ignore[attr-defined]
    source = Source("test", "here", Flush.SENTENCES, generate, shows_its_text=shows)
    return Drive(claim, source, tail, Cutter(Flush.SENTENCES), writer, clock=at_once)  # type: ignore[arg-type]


async def text_of(engine: Engine, generate: Generate) -> tuple[str, Drive]:
    """All of a stream's text, once it has ended."""
    async with engine.writer() as writer:
        drive = await drive_of(engine, writer, generate)
        await drive.run()
    return (await engine.text(drive.claim.id)).decode(), drive


def test_what_comes_alone_is_not_gathered() -> None:
    burst = Burst(10)
    assert [burst.takes("a", now) for now in (0, TURN / 2, TURN, 3 * TURN)] == [False, True, True, False]
    assert burst.take() == ["a", "a"]
    assert burst.take() == []
    none = Burst(0)
    assert [none.takes("a", 0), none.takes("a", 0)] == [False, False]


def test_it_is_bounded() -> None:
    burst = Burst(10)
    assert [burst.takes("abcd", 0) for _ in range(4)] == [False, True, True, False]
    assert burst.take() == ["abcd"] * 2
    assert burst.takes("abcd", 0)


@given(st.lists(st.text("ab. \n\ud83d\ude00é😀", max_size=300), max_size=12))
def test_it_is_kept_as_it_would_be_piece_by_piece(pieces: list[str]) -> None:
    """Halves of a character that come apart are two that Unicode does not have, in a burst as well."""
    kept: list[bytes] = []

    class Kept:
        """A tail in memory."""

        kept = end = 0
        trouble = None

        def append(self, data: bytes) -> bool:
            kept.append(data)
            return True

    async def generate() -> AsyncGenerator[Event, None]:
        for piece in pieces:
            yield piece

    async def run() -> str:
        source = Source("test", "here", Flush.SENTENCES, generate)
        drive = Drive(Claim("bench", 1, 0), source, Kept(), Cutter(Flush.SENTENCES), None, clock=at_once)  # type: ignore[arg-type]
        async for event in generate():
            await drive._take(event)
        await drive._end_burst()
        return drive._flusher.rest()

    expected = "".join(mend(piece) for piece in pieces)
    assert anyio.run(run) == expected
    assert b"".join(kept).decode() == expected


async def test_it_is_kept_before_anybody_has_a_turn(engine: Engine) -> None:
    """As one, when its generator waits, without a further piece."""
    waiting = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        for word in ("One ", "two ", "three. "):
            yield word
        waiting.set()
        await anyio.sleep_forever()

    async with engine.writer() as writer, anyio.create_task_group() as tasks:
        drive = await drive_of(engine, writer, generate)
        tasks.start_soon(drive.run)
        await waiting.wait()
        assert drive.offset == len("One two three. ")
        await anyio.lowlevel.checkpoint()
        assert await engine.text(drive.claim.id) == b"One two three. "
        drive.stop(Status.CANCELLED, None)
        await drive.ended.wait()


async def test_an_end_in_the_same_turn_has_all_of_it(engine: Engine) -> None:
    """Whoever ends it says at which byte: that is behind what was gathered."""
    drive: Drive | None = None

    async def generate() -> AsyncGenerator[Event, None]:
        assert drive
        yield "One "
        yield "two "
        drive.stop(Status.CANCELLED, f"cancelled at byte {drive.offset}")
        yield "three"

    async with engine.writer() as writer:
        drive = await drive_of(engine, writer, generate)
        await drive.run()
    assert await engine.text(drive.claim.id) == b"One two "
    assert (await engine.recovered(drive.claim.id)).error == "cancelled at byte 8"


@pytest.mark.parametrize("error", [GeneratorError("it failed"), LookupError("it failed")])
async def test_a_failure_behind_it_loses_none_of_it(engine: Engine, error: Exception) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "One "
        yield "two "
        raise error

    text, drive = await text_of(engine, generate)
    assert text == "One two "
    assert drive.end is not None
    assert drive.end.status is Status.ERROR


async def test_what_is_said_behind_it_comes_behind_it(engine: Engine) -> None:
    """A note is not taken for the reason of a silence that text has ended; the longer silence that is asked for is."""
    seen: list[tuple[int, str | None]] = []
    drive: Drive | None = None

    async def generate() -> AsyncGenerator[Event, None]:
        assert drive
        yield "One "
        yield "two "
        yield Note("halfway")
        seen.append((drive._tail.end, drive._report.last))
        yield "three "
        yield "four "
        yield Quiet(60)
        seen.append((drive._tail.end, drive._report.last))
        assert drive._timeouts._quiet == 60

    async with engine.writer() as writer:
        drive = await drive_of(engine, writer, generate)
        await drive.run()
    assert seen == [(8, "halfway"), (19, None)]


async def test_whoever_shows_its_text_has_each_piece_kept(engine: Engine) -> None:
    ends: list[int] = []
    drive: Drive | None = None

    async def generate() -> AsyncGenerator[Event, None]:
        assert drive
        for _ in range(3):
            yield "abc"
            ends.append(drive._tail.kept)

    async with engine.writer() as writer:
        drive = await drive_of(engine, writer, generate, shows=True)
        await drive.run()
    assert ends == [3, 6, 9]


async def test_what_breaks_off_behind_it_goes_on_behind_it(engine: Engine) -> None:
    attempts: list[str] = []

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One "
        yield "two "
        raise GeneratorDropped("broke off")

    async def resume(begun: str) -> AsyncGenerator[Event, None]:
        attempts.append(begun)
        yield "three "
        yield "four."

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        source = Source("test", "here", Flush.SENTENCES, generate, resume=resume)
        drive = await owner.start(id, source, on_drop=True)
        await drive.ended.wait()
    assert attempts == ["One two "]
    assert await engine.text(id) == b"One two three four."


async def test_a_disk_that_is_full_holds_up_what_comes_behind_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real, full = os.write, True

    def write(descriptor: int, data: bytes) -> int:
        if full and bytes(data).startswith(b"two"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    async def generate() -> AsyncGenerator[Event, None]:
        for word in ("One ", "two ", "three "):
            yield word
        await anyio.lowlevel.checkpoint()
        yield "four "
        yield "five"

    async with owning(store) as owner, anyio.create_task_group() as tasks:
        monkeypatch.setattr(os, "write", write)
        drive = await drive_of(owner.engine, owner._writer, generate)
        tasks.start_soon(drive.run)
        while not drive.paused:
            await anyio.sleep(0.001)
        assert drive.pieces == 4
        full = False
        await drive.ended.wait()
    assert read(store, drive.claim.id) == b"One two three four five"
