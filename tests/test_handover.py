"""A daemon that ends in order leaves what can be gone on with to another one, and nobody who reads it notices."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from typing import Any

import anyio
import pytest

from ptstream.bell import Bell
from ptstream.config import Limits, Settings
from ptstream.drive import Drive
from ptstream.engine.handover import WAITS, HandedOver, cause_of_death
from ptstream.engine.protocol import Engine, Writer
from ptstream.errors import ClaimLost
from ptstream.follow import Follow
from ptstream.generators import Event, Source
from ptstream.owner import Owner, open_owner
from ptstream.streams import Claim, Flush, State, Status
from tests.conftest import LIMIT
from tests.test_engine_contract import Place, claimed, engine, now, other, place, until, writer
from tests.test_postgres import sql

__all__ = ["engine", "other", "place", "writer"]

pytestmark = pytest.mark.anyio

CAUSE = "the daemon was stopped at byte 5"


async def handed(engine: Engine, writer: Writer) -> HandedOver:
    """A stream that says `One. ` and waits to be taken."""
    claim = await writer.claim((await engine.create()).id, "m", "here")
    await writer.append(claim, 0, "One. ", 2)
    await writer.hand_over(claim, 5, CAUSE)
    (found,) = await engine.handed_over()
    return found


async def waited(place: Place, handed: HandedOver) -> None:
    """As long as it waits."""
    before = f"nobody@{float(handed.owner.removeprefix('nobody@')) - WAITS}"
    if place.home.store == place.url:
        with closing(sqlite3.connect(place.home.database, isolation_level=None)) as database:
            database.execute("UPDATE attempts SET owner = ? WHERE owner = ?", (before, handed.owner))
    else:
        await sql(place.url, "UPDATE streams SET owner = %s WHERE owner = %s", before, handed.owner)


async def test_it_is_taken_once_and_goes_on(engine: Engine, other: Engine, writer: Writer) -> None:
    first = await claimed(engine, writer)
    reader = other.cursor(first.id)
    tail = await writer.tail(first)
    tail.append(b"One. ")
    assert await until(reader, b"One. ") == b"One. "
    await writer.append(first, 0, "One. ", 2)
    await writer.hand_over(first, 5, CAUSE)
    tail.discard()
    assert await writer.is_over(first)
    for act in (
        writer.append(first, 5, "Old. ", 1),
        writer.reclaim(first, 5, "again"),
        writer.finish(first, 5, "", 1, Status.DONE, None, None),
        writer.hand_over(first, 5, "again"),
        writer.claim(first.id),
    ):
        with pytest.raises(ClaimLost):
            await act
    assert await now(reader) == b""
    assert await engine.recovered(first.id) == State(Status.STREAMING, 5, 5, None, None)
    (waits,) = await other.handed_over()
    async with other.writer() as theirs:
        results: list[Claim | None] = []

        async def take(owner: Writer) -> None:
            try:
                results.append(await owner.take(waits, "m", "there"))
            except ClaimLost:
                results.append(None)

        async with anyio.create_task_group() as tasks:
            for owner in (theirs, writer, theirs, writer):
                tasks.start_soon(take, owner)
        (second,) = [claim for claim in results if claim]
        assert second == Claim(first.id, 2, 5)
        assert await engine.handed_over() == await other.handed_over() == []
        owner = writer if await theirs.is_over(second) else theirs
        tail = await owner.tail(second)
        tail.append(b"Two. ")
        assert await until(reader, b"Two. ") == b"Two. "
        await owner.finish(second, 5, "Two. ", 1, Status.DONE, None, None)
        tail.discard()
        assert await now(reader) == b""
        assert reader.ended
    attempts = await engine.attempts(first.id)
    assert [(a.begin, a.pieces, a.cause, a.place) for a in attempts] == [(0, 2, CAUSE, None), (5, 1, None, "there")]


async def test_what_nobody_takes_ends(place: Place, engine: Engine, other: Engine, writer: Writer) -> None:
    waits = await handed(engine, writer)
    assert (waits.model, waits.place) == ("m", "here")
    assert [stream.status for stream in await other.listed()] == [Status.STREAMING]
    await waited(place, waits)
    cause = cause_of_death(waits.owner, 5)
    assert "no daemon went on" in cause
    with anyio.fail_after(LIMIT):
        assert await other.ended(waits.id) == State(Status.ERROR, 5, 5, cause, None)
    with pytest.raises(ClaimLost):
        await writer.take(waits)
    assert [a.cause for a in await engine.attempts(waits.id)] == [CAUSE, cause]
    assert await engine.text(waits.id) == b"One. "


async def test_what_has_waited_is_not_taken(place: Place, engine: Engine, writer: Writer) -> None:
    await waited(place, await handed(engine, writer))
    (late,) = await engine.handed_over()
    with pytest.raises(ClaimLost):
        await writer.take(late)


async def test_it_is_cancelled_at_once(engine: Engine, other: Engine, writer: Writer) -> None:
    waits = await handed(engine, writer)
    ended = await other.cancel(waits.id)
    assert ended == State(Status.CANCELLED, 5, 5, "cancelled at byte 5", None)
    assert await engine.handed_over() == []
    with pytest.raises(ClaimLost):
        await writer.take(waits)
    assert [a.cause for a in await engine.attempts(waits.id)] == [CAUSE, "cancelled at byte 5"]
    await engine.delete(waits.id)


async def test_what_is_cancelled_is_not_handed_over(engine: Engine, other: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await other.cancel(claim.id)
    with pytest.raises(ClaimLost):
        await writer.hand_over(claim, 0, CAUSE)
    await writer.finish(claim, 0, "", 0, Status.CANCELLED, None, None)


# --- whole drives

WORDS = [f"word{n} " for n in range(30)]


class Telling:
    """A source that says `WORDS` from wherever the text ends: as many as it is let, and never the last one."""

    def __init__(self, **more: Any) -> None:
        self.let = 3
        self._bell = Bell()
        self.source = Source("m", "here", Flush.SENTENCES, lambda: self._tell(""), resume=self._tell, **more)

    def on(self, count: int) -> None:
        """So many in all."""
        self.let = count
        self._bell.ring()

    async def _tell(self, text: str) -> AsyncGenerator[Event, None]:
        for at in range(len(text.split()), len(WORDS)):
            while at >= self.let:
                await self._bell.next().wait()
            yield WORDS[at]


async def driven(engine: Engine, owner: Owner, telling: Telling, **more: Any) -> Drive:
    """A new stream that it tells, as far as it is let."""
    drive = await owner.start((await engine.create()).id, telling.source, on_drop=True, **more)
    with anyio.fail_after(LIMIT):
        while drive.pieces < telling.let:
            await anyio.sleep(0.01)
    return drive


async def test_a_stopped_owners_drives_go_on_at_another_one(engine: Engine, other: Engine) -> None:
    first, second = Telling(), Telling()
    read = b""

    async def follow(id: str) -> None:
        nonlocal read
        async for data in Follow(other.cursor(id)):
            read += data

    async with open_owner(other) as theirs, anyio.create_task_group() as tasks:
        async with open_owner(engine) as owner:
            drive = await driven(engine, owner, first)
            id = drive.claim.id
            tasks.start_soon(follow, id)
            await owner.stop("it was stopped")
            assert drive.end is not None
            assert drive.end.status is Status.STREAMING
        begin = len("".join(WORDS[:3]))
        (waits,) = await other.handed_over()
        second.on(30)
        taken = await theirs.take(waits, second.source, Settings())
        await taken.ended.wait()
        assert taken.end is not None
        assert taken.end.status is Status.DONE
    assert read.decode() == (await engine.text(id)).decode() == "".join(WORDS)
    found = await engine.attempts(id)
    assert [(a.begin, a.cause) for a in found] == [(0, f"it was stopped at byte {begin}"), (begin, None)]
    assert [a.pieces for a in found] == [3, 27]


async def test_who_takes_it_and_dies_ends_it(engine: Engine, other: Engine, writer: Writer) -> None:
    waits = await handed(engine, writer)
    async with other.writer() as theirs:
        claim = await theirs.take(waits, "m", "here")
        await theirs.append(claim, 5, "Two. ", 1)
    assert await engine.recovered(waits.id) == State(Status.ERROR, 10, 10, "its owner died at byte 10", None)


async def test_a_cancel_that_comes_first_is_its_end(engine: Engine, other: Engine) -> None:
    async with open_owner(engine) as owner:
        drive = await driven(engine, owner, Telling())
        await other.cancel(drive.claim.id)
        await owner.stop("it was stopped")
    begin = len("".join(WORDS[:3]))
    assert await other.recovered(drive.claim.id) == State(
        Status.CANCELLED, begin, begin, f"cancelled at byte {begin}", None
    )
    assert await other.handed_over() == []


async def test_what_has_used_up_its_attempts_ends(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptstream.owner.MOST", 1)
    async with open_owner(other) as theirs:
        async with open_owner(engine) as owner:
            drive = await driven(engine, owner, Telling())
            await owner.stop("it was stopped")
        (waits,) = await other.handed_over()
        await theirs.take(waits, Telling().source, Settings())
        await theirs.stop("it was stopped again")
    state = await engine.recovered(drive.claim.id)
    begin = len("".join(WORDS[:3]))
    assert (state.status, state.error) == (Status.ERROR, f"it was stopped again at byte {begin}")
    assert len(await engine.attempts(drive.claim.id)) == 2


async def test_the_limit_of_all_counts_on(engine: Engine, other: Engine) -> None:
    async with open_owner(other) as theirs:
        async with open_owner(engine) as owner:
            drive = await driven(engine, owner, Telling())
            await owner.stop("it was stopped")
        (waits,) = await other.handed_over()
        late = await theirs.take(waits._replace(elapsed=100.0), Telling(limits=Limits(total=100.0)).source, Settings())
        with anyio.fail_after(LIMIT):
            await late.ended.wait()
    state = await engine.recovered(drive.claim.id)
    assert (state.status, state.error) == (Status.TIMEOUT, "not finished within 100 s (total_timeout)")
