"""One attempt, in each of its stages: what is kept, what is shown, how it ends."""

from __future__ import annotations

import errno
import gc
import os
import sqlite3
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptstream.bell import Bell
from ptstream.burst import TURN
from ptstream.cancellation import cancel
from ptstream.config import Limits, Settings
from ptstream.drive import Drive, encoded
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite import file_changes, waiting_cursors, wakeups
from ptstream.engine.sqlite.engine import SqliteEngine
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.errors import GeneratorDropped, GeneratorError, GeneratorTimeout, StoreBusy, StoreUnusable
from ptstream.follow import Follow
from ptstream.generators import Event, Note, Reasoning, Source, Usage
from ptstream.generators.surrogates import slices
from ptstream.outcome import Outcome
from ptstream.owner import Owner, open_owner
from ptstream.remarks import LEFT_OUT, MAX_REMARKS, Remarks
from ptstream.sentences import Cutter
from ptstream.settings import Home
from ptstream.streams import Claim, Flush, Status
from tests.conftest import locked, owning, read, sqlite_itself, stored, tails

pytestmark = pytest.mark.anyio

Generate = Callable[[], AsyncGenerator[Event, None]]
Changes = Callable[[str, str, Callable[[], None]], file_changes.FileChanges]


def source(generate: Generate, *, patient: bool = False, flush: Flush = Flush.SENTENCES) -> Source:
    return Source("test", "here", flush, generate, silence_is_normal=patient)


def writer_of(owner: Owner) -> SqliteWriter:
    """What commits, whose statements a test lets fail."""
    assert isinstance(owner._writer, SqliteWriter)
    return owner._writer


async def driven(owner: Owner, generate: Generate, *, patient: bool = False) -> Drive:
    """A stream driven to its end."""
    attempt = await owner.start((await owner.engine.create()).id, source(generate, patient=patient))
    await attempt.ended.wait()
    return attempt


async def test_text_usage_and_remarks(engine: Engine, home: Home) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield Reasoning("Let me think.")
        yield "One. "
        yield Note("halfway")
        yield ""
        yield "Two."
        yield Usage({"total_tokens": 3})

    async with open_owner(engine) as owner:
        attempt = await driven(owner, generate)
        id = attempt.claim.id
        assert attempt.end == Outcome(Status.DONE, None)
        assert attempt.remarks.since(0)[0] == [Reasoning("Let me think."), Note("halfway")]
        assert await engine.text(id) == b"One. Two."
        (kept,) = await engine.attempts(id)
        assert (kept.pieces, kept.usage, kept.model) == (2, {"total_tokens": 3}, "test")
        assert tails(home) == []
        assert owner.running == {}


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (GeneratorError("the line broke"), Status.ERROR, "the line broke"),
        (GeneratorTimeout("no answer"), Status.TIMEOUT, "no answer"),
        (LookupError("what?"), Status.ERROR, "LookupError: what?"),
    ],
)
async def test_a_failing_generator(engine: Engine, error: Exception, status: Status, cause: str) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "The tail, not a whole sentence"
        raise error

    async with open_owner(engine) as owner:
        attempt = await driven(owner, generate)
        state = await engine.recovered(attempt.claim.id)
        assert (state.status, state.error) == (status, cause)
        assert attempt.end is not None
        assert attempt.end.exception is error
        assert await stored(engine, attempt.claim.id) == b"The tail, not a whole sentence"


async def test_what_was_asked_is_let_go_at_the_end(engine: Engine) -> None:
    """A prompt may be large, and keys come with it: they must not wait for Python's collector of cycles."""

    class Asked:
        """Stands for them."""

    def asking() -> tuple[Generate, weakref.ref[Asked]]:
        asked = Asked()

        async def generate() -> AsyncGenerator[Event, None]:
            assert asked
            yield "One. "
            await anyio.lowlevel.checkpoint()
            yield "Two."

        return generate, weakref.ref(asked)

    async with open_owner(engine) as owner:
        generate, asked = asking()
        gc.disable()
        try:
            attempt = await driven(owner, generate)
            del generate
            assert asked() is None
        finally:
            gc.enable()
        assert attempt.end == Outcome(Status.DONE, None)


async def test_every_piece_is_in_the_tail_before_it_is_shown(engine: Engine, home: Home) -> None:
    go_on = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        yield "Half a sen"
        await go_on.wait()
        yield "tence."

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        assert await anext(Follow(engine.cursor(id), audience=owner.audience)) == b"Half a sen"
        async with open_engine(home) as elsewhere:
            assert await elsewhere.text(id) == b"Half a sen"
        assert (await stored(engine, id), tails(home) != []) == (b"", True)
        go_on.set()
        await attempt.ended.wait()
        assert (await engine.histories([id]))[0][1:] == (2, 1)


@sqlite_itself
async def test_commits_of_others_make_no_reader_of_a_tail_ask_the_store(
    engine: Engine, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one in another process; its look once a second is not to come here."""
    monkeypatch.setattr(waiting_cursors, "SLOW_LOOK", 3600)
    send, pieces = anyio.create_memory_object_stream[str](1)

    async def generate() -> AsyncGenerator[Event, None]:
        async for piece in pieces:
            yield piece

    async with open_owner(engine) as owner, open_engine(home) as elsewhere:
        assert isinstance(elsewhere, SqliteEngine)
        id = (await engine.create()).id
        await owner.start(id, source(generate))
        follow, asked = Follow(elsewhere.cursor(id)), list[str]()
        await send.send("first ")
        assert await anext(follow) == b"first "
        assert elsewhere._store.database._reader
        elsewhere._store.database._reader.set_trace_callback(asked.append)
        for _ in range(3):
            await engine.create()
            await send.send("more ")
            assert await anext(follow) == b"more "
        assert asked == []
        send.close()
        with pytest.raises(StopAsyncIteration):
            await anext(follow)
    pieces.close()


async def test_cancel_reaches_a_silent_generator(engine: Engine, home: Home) -> None:
    closed = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        try:
            yield "Begun"
            await anyio.sleep_forever()
        finally:
            closed.set()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        follow = Follow(owner.engine.cursor(id), audience=owner.audience)
        assert await anext(follow) == b"Begun"
        async with open_engine(home) as elsewhere:
            await elsewhere.cancel(id)
        await attempt.ended.wait()
        assert closed.is_set()
        state = await engine.recovered(id)
        assert (state.status, state.error, state.bytes) == (Status.CANCELLED, "cancelled at byte 5", 5)
        with pytest.raises(StopAsyncIteration):
            await anext(follow)


async def test_a_drained_generator_ends_its_stream_at_once_and_tells_its_usage(engine: Engine, home: Home) -> None:
    go_on = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. Two"
        await go_on.wait()
        for _ in range(10_000):
            yield "More. "
        yield Usage({"tokens": 3})

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        while attempt.pieces == 0:
            await anyio.lowlevel.checkpoint()
        await cancel(owner.engine, id, drain=True)
        before = await engine.recovered(id)
        assert (before.status, before.error) == (Status.CANCELLED, "cancelled at byte 8")
        assert ((await engine.attempts(id))[0].usage, id in owner.running) == (None, True)
        go_on.set()
        while id in owner.running:
            await anyio.lowlevel.checkpoint()
        assert (await engine.attempts(id))[0].usage == {"tokens": 3}
        assert await engine.recovered(id) == before
        assert await engine.text(id) == b"One. Two"
        assert tails(home) == []


async def test_one_that_is_drained_while_it_waits_to_go_on_ends(engine: Engine, home: Home) -> None:
    """What it waited for, its last text in the store, has come with the end."""
    begin, dropped = anyio.Event(), anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        await begin.wait()
        yield "One\n"
        await anyio.wait_all_tasks_blocked()  # its flush is on the way
        yield "Two"
        dropped.set()
        raise GeneratorDropped("broke off")

    async def go_on(_: str) -> AsyncGenerator[Event, None]:
        yield pytest.fail("asked to go on")

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        model = replace(source(generate), resume=go_on, flush=Flush.LINES)
        attempt = await owner.start(id, model, on_drop=True)
        with locked(home, "chunks") as sql:
            begin.set()
            await dropped.wait()
            await anyio.wait_all_tasks_blocked()
            attempt.stop(Status.CANCELLED, "cancelled", drain=True)
            sql("UPDATE streams SET drain = true")
        while id in owner.running:
            await anyio.lowlevel.checkpoint()
        assert (await engine.text(id), (await engine.recovered(id)).status) == (b"One\nTwo", Status.CANCELLED)


async def test_a_drained_generator_ends_by_a_further_cancel(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "Begun"
        await anyio.sleep_forever()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        await owner.start(id, source(generate))
        await cancel(owner.engine, id, drain=True)
        assert id in owner.running
        assert (await cancel(owner.engine, id)).status is Status.CANCELLED
        while id in owner.running:
            await anyio.lowlevel.checkpoint()


async def test_a_drained_generator_ends_with_its_owner(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "Begun"
        await anyio.sleep_forever()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        await cancel(owner.engine, id, drain=True)
        await attempt.ended.wait()
        assert id in owner.running
        assert (await engine.recovered(id)).status is Status.CANCELLED


async def test_what_a_generator_says_after_its_end_is_decided_does_not_count(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "Begun"
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()

    async with open_owner(engine) as owner:
        attempt = await owner.start((await engine.create()).id, source(generate))
        while attempt.pieces == 0:
            await anyio.lowlevel.checkpoint()
        attempt.stop(Status.CANCELLED, "first")
        attempt.stop(Status.ERROR, "second")
        await attempt.ended.wait()
        assert attempt.end == Outcome(Status.CANCELLED, "first")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("limits", "pieces", "patient", "cause"),
    [
        (Limits(first=5), 0, False, "nothing came within 5 s (first_timeout)"),
        (Limits(first=5, idle=7), 1, False, "nothing more came for 7 s (idle_timeout)"),
        (Limits(total=9), 1, True, "not finished within 9 s (total_timeout)"),
        (Limits(first=5, idle=7), 0, True, None),
        (Limits(), 1, False, None),
    ],
)
async def test_time_outs(engine: Engine, limits: Limits, pieces: int, patient: bool, cause: str | None) -> None:
    silent, go_on, clock = anyio.Event(), anyio.Event(), Clock()

    async def generate() -> AsyncGenerator[Event, None]:
        for _ in range(pieces):
            yield "piece "
        silent.set()
        await go_on.wait()

    async with engine.writer() as writer, anyio.create_task_group() as tasks:
        claim = await writer.claim((await engine.create()).id)
        tail = await writer.tail(claim)
        attempt = Drive(claim, source(generate, patient=patient), tail, Cutter(Flush.SENTENCES), writer, limits, clock)
        tasks.start_soon(attempt.run)
        await silent.wait()
        clock.now += 60
        if cause is None:
            go_on.set()
        await attempt.ended.wait()
    state = await engine.recovered(claim.id)
    assert (state.status, state.error) == ((Status.TIMEOUT, cause) if cause else (Status.DONE, None))


async def test_a_full_disk_pauses_the_generator(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is taken in part, and then refused for a while."""
    real, full = os.write, True

    def write(descriptor: int, data: bytes) -> int:
        if full and bytes(data).startswith(b"Two"):
            return real(descriptor, data[:2])
        if full and bytes(data).startswith(b"o"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. "
        await anyio.sleep(2 * TURN)
        yield "Two. "
        await anyio.sleep(2 * TURN)
        yield "Three."

    async with owning(store) as owner:
        monkeypatch.setattr(os, "write", write)
        id = store.create().id
        attempt = await owner.start(id, source(generate))
        while not attempt.paused:
            await anyio.sleep(0.001)
        assert attempt.pieces == 2
        assert attempt.remarks.since(0)[0] == [Note("paused: the tail cannot be written: No space left on device")]
        full = False
        await attempt.ended.wait()
    assert read(store, id) == b"One. Two. Three."
    assert store.state(id).status is Status.DONE


async def test_an_end_on_a_full_disk_names_the_byte_where_its_text_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tail did not take is in the last chunk."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if bytes(data).startswith(b"Two"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. "
        await anyio.sleep(2 * TURN)
        yield "Two. "

    async with owning(store) as owner:
        monkeypatch.setattr(os, "write", write)
        id = store.create().id
        attempt = await owner.start(id, source(generate))
        while not attempt.paused:
            await anyio.sleep(0.001)
        store.cancel(id)
        await attempt.ended.wait()
    assert read(store, id) == b"One. Two. "
    assert store.state(id).error == "cancelled at byte 10"


async def test_pieces_go_on_while_the_store_is_locked(engine: Engine, home: Home) -> None:
    begin, go_on = anyio.Event(), anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        await begin.wait()
        for n in range(100):
            yield f"Sentence number {n}. "
        await go_on.wait()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        follow, text = Follow(engine.cursor(id), audience=owner.audience), b""
        with locked(home, "chunks"):
            begin.set()
            while b"number 99." not in text:
                text += await anext(follow)
            assert await stored(engine, id) == b""
        go_on.set()
        await attempt.ended.wait()
    assert await engine.text(id) == text
    assert (await engine.histories([id]))[0].chunks < 10


async def test_a_watcher_gets_every_sentence_and_the_end(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        for n in range(50):
            yield f"Sentence number {n}. "
            await anyio.sleep(0.001)

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        got = b""
        await owner.start(id, source(generate))
        follow = Follow(owner.engine.cursor(id, live=False))
        async for data in follow:
            got += data
        assert got == "".join(f"Sentence number {n}. " for n in range(50)).encode()
        assert follow.cursor.state is not None
        assert follow.cursor.state.status is Status.DONE


@sqlite_itself
async def test_a_watcher_goes_on_without_a_watch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(folder: str, *others: Any) -> file_changes.FileChanges:
        return file_changes.file_changes(f"{folder}/none", *others)

    monkeypatch.setattr(wakeups, "file_changes", nowhere)
    await test_a_watcher_gets_every_sentence_and_the_end(engine)


@sqlite_itself
@pytest.mark.parametrize("changes", [file_changes.file_changes, file_changes.ByWatchfiles])
async def test_what_is_written_to_the_log_is_told(changes: Changes, folder: Path) -> None:
    written = Bell()
    made = changes(str(folder), "db-wal", written.ring)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        tasks.start_soon(_write_now_and_then, folder)
        for _ in range(3):
            await written.next().wait()
        tasks.cancel_scope.cancel()
    made.close()


async def _write_now_and_then(folder: Path) -> None:
    while True:
        (folder / "other").write_text("x")
        with open(folder / "db-wal", "a") as log:
            log.write("x")
        await anyio.sleep(0.05)


@sqlite_itself
def test_where_nothing_can_be_watched_that_is_told(folder: Path) -> None:
    for changes in (file_changes.file_changes, file_changes.ByWatchfiles):
        with pytest.raises(FileNotFoundError):
            changes(str(folder / "none"), "db-wal", lambda: None)


async def test_what_waited_long_enough_is_flushed(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "a few words without an end "
        await anyio.sleep_forever()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate), Settings(max_delay=0.01))
        while not await stored(engine, id):
            await anyio.sleep(0.001)
        assert (await stored(engine, id)).startswith(b"a few words")
        attempt.stop(Status.CANCELLED, None)


async def test_a_deleted_stream_ends_its_attempt(engine: Engine, home: Home) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        while True:
            yield "Sentence. "
            await anyio.sleep(0.001)

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        with locked(home) as sql:
            sql("DELETE FROM streams")
        await attempt.ended.wait()
        assert owner.running == {}
    assert tails(home) == []


async def test_no_room_for_a_tail(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptstream.engine.sqlite import writer

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def generate() -> AsyncGenerator[Event, None]:
        yield "never"

    async with owning(store) as owner:
        id = store.create().id
        monkeypatch.setattr(writer, "FileTail", full)
        with pytest.raises(StoreBusy, match="No space"):
            await owner.start(id, source(generate))
    assert store.state(id).error == "no tail could be made: No space left on device"


async def test_one_bad_generator_takes_nothing_else_along(engine: Engine) -> None:
    go_on = anyio.Event()

    async def good() -> AsyncGenerator[Event, None]:
        yield "One. "
        await go_on.wait()
        yield "Two."

    async def bad() -> AsyncGenerator[Event, None]:
        yield "x"
        raise SystemError("very bad")

    async with open_owner(engine) as owner:
        attempt = await owner.start((await engine.create()).id, source(good))
        for _ in range(3):
            await driven(owner, bad)
        go_on.set()
        await attempt.ended.wait()
        assert attempt.end == Outcome(Status.DONE, None)


async def test_a_cancel_that_came_right_after_the_claim(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the owner before the owner knows the attempt."""

    async def generate() -> AsyncGenerator[Event, None]:
        await anyio.sleep_forever()
        yield ""

    async with open_owner(engine) as owner:
        id, claim = (await engine.create()).id, owner._writer.claim

        async def claim_and_be_cancelled(*words: Any) -> Claim:
            got = await claim(*words)
            await engine.cancel(id)
            await owner._stop_cancelled()
            return got

        monkeypatch.setattr(owner._writer, "claim", claim_and_be_cancelled)
        attempt = await owner.start(id, source(generate))
        await attempt.ended.wait()
    assert (await engine.recovered(id)).status is Status.CANCELLED


async def test_a_living_owner_does_not_give_up_an_end_that_a_broken_database_refuses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else may write it: given up, the stream would be `streaming` for as long as its owner lives."""
    refused = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. Two. "

    async def broken(*_: object) -> None:
        refused.set()
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with owning(store) as owner:
        id = store.create().id
        attempt = await owner.start(id, source(generate))
        monkeypatch.setattr(writer_of(owner), "_execute", broken)
        await refused.wait()
        assert read(store, id) == b"One. Two. "
        monkeypatch.undo()
        await attempt.ended.wait()
        assert owner.trouble is None
        assert read(store, id) == b"One. Two. "
        assert store.state(id).status is Status.ERROR
        assert os.listdir(store.home.tails) == []


async def test_what_no_store_takes_is_left_to_whoever_comes_after_its_owner(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. Two. "

    async def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("ptstream.owner.END_WAIT", 0.1)
    async with owning(store) as owner:
        id = store.create().id
        attempt = await owner.start(id, source(generate))
        monkeypatch.setattr(writer_of(owner), "_execute", broken)
        while attempt.pieces == 0:
            await anyio.lowlevel.checkpoint()
    assert os.listdir(store.home.tails) == [f"{id}.1"]
    assert read(store, id) == b"One. Two. "
    assert store.state(id).status is Status.ERROR


async def test_what_a_locked_store_refused_belongs_to_the_end(store: Store) -> None:
    """The writer gives an append back, then takes the end: nothing is missing in between."""
    from ptstream.engine.sqlite import migration

    go_on = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        yield "One. Two. "
        await go_on.wait()
        yield "Three. Four. "
        await anyio.sleep_forever()

    async with owning(store) as owner:
        id = store.create().id
        attempt = await owner.start(id, source(generate))
        while store.state(id).bytes == 0:
            await anyio.sleep(0.001)
        other = migration.connect_writer(store.home)
        other.execute("BEGIN IMMEDIATE")
        go_on.set()
        while owner.trouble is None:
            await anyio.sleep(0.001)
        append = writer_of(owner)._commit_persistently

        async def let_go_after_one(group: list[Any]) -> None:
            await append(group)
            if other.in_transaction:
                other.execute("ROLLBACK")

        writer_of(owner)._commit_persistently = let_go_after_one  # type: ignore[method-assign]
        writer_of(owner).close()
        await attempt.ended.wait()
        if other.in_transaction:
            other.execute("ROLLBACK")
        other.close()
    assert read(store, id) == b"One. Two. Three. Four. "


async def test_a_failing_checkpoint_harms_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptstream.engine.sqlite import checkpoints

    async def generate() -> AsyncGenerator[Event, None]:
        for n in range(20):
            yield f"Sentence number {n}. "
            await anyio.sleep(0.001)

    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 1)
    async with owning(store) as owner:
        execute, failed = writer_of(owner)._execute, 0

        async def full(sql: str, values: Any) -> Any:
            nonlocal failed
            if "wal_checkpoint" in sql:
                failed += 1
                raise sqlite3.OperationalError("database or disk is full")
            return await execute(sql, values)

        monkeypatch.setattr(writer_of(owner)._checkpoints, "_execute", full)
        attempt = await driven(owner, generate)
        assert attempt.end == Outcome(Status.DONE, None)
        assert failed == 1
        assert writer_of(owner)._checkpoints._not_before > 0
    assert read(store, attempt.claim.id).decode() == "".join(f"Sentence number {n}. " for n in range(20))


async def test_what_is_no_json_and_no_text_is_kept_as_what_can_be(engine: Engine) -> None:
    async def odd() -> AsyncGenerator[Event, None]:
        yield "x"
        yield Usage({"when": object()})
        raise RuntimeError(os.fsdecode(b"\xff"))

    async with open_owner(engine) as owner:
        strange = await driven(owner, odd)
    assert (await engine.recovered(strange.claim.id)).error == "RuntimeError: ?"


async def test_a_row_that_cannot_be_written_takes_no_other_along(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = anyio.Event()

    async def good() -> AsyncGenerator[Event, None]:
        yield "One. "
        await go_on.wait()
        yield "Two."

    async with owning(store) as owner:
        attempt = await owner.start(store.create().id, source(good))
        execute = writer_of(owner)._execute

        async def picky(sql: str, values: Any) -> Any:
            if any(value == "bad" for value in values):
                raise OverflowError("string longer than INT_MAX bytes")
            return await execute(sql, values)

        monkeypatch.setattr(writer_of(owner), "_execute", picky)
        async with anyio.create_task_group() as tasks:
            for text in ("bad", "fine"):
                id = store.create().id
                claim = await writer_of(owner).claim(id)
                tasks.start_soon(_appended, owner, claim, text)
        go_on.set()
        await attempt.ended.wait()
        assert attempt.end == Outcome(Status.DONE, None)


async def _appended(owner: Owner, claim: Claim, text: str) -> None:
    if text == "bad":
        with pytest.raises(StoreUnusable, match="INT_MAX"):
            await writer_of(owner).append(claim, 0, text, 1)
    else:
        await writer_of(owner).append(claim, 0, text, 1)
        assert (await owner.engine.recovered(claim.id)).bytes == len(text)


async def test_an_unfinished_word_first_does_not_stop_the_timer(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield "Wh"
        yield "y is the sky blue and what"
        await anyio.sleep_forever()

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate), Settings(max_delay=0.01))
        while not await stored(engine, id):
            await anyio.sleep(0.001)
        attempt.stop(Status.CANCELLED, None)


def test_remarks_are_bounded() -> None:
    remarks = Remarks()
    for n in range(3000):
        remarks.add(Note(f"{n:>100}"))
    entries, count = remarks.since(0)
    assert count == 3000
    assert len(entries) < 700
    assert entries[-1].text.strip() == "2999"
    assert remarks.since(2999) == ([entries[-1]], 3000)


def test_one_aside_alone_is_bounded_too() -> None:
    remarks = Remarks()
    remarks.add(Reasoning("x" * 10_000_000 + "the end"))
    ((entry,), count) = remarks.since(0)
    assert count == 1
    assert entry.text.startswith(LEFT_OUT)
    assert entry.text.endswith("xxthe end")
    assert len(entry.text) < 2 * MAX_REMARKS


# One piece of any size: in slices, with the loop free between them

LARGE = "J. R. R. " * 8000
"""Text that takes long to be cut: a second or so."""


async def test_others_go_on_while_a_large_piece_is_worked_on(engine: Engine) -> None:
    happened = []

    async def large() -> AsyncGenerator[Event, None]:
        happened.append("large given")
        yield LARGE
        happened.append("large kept")

    async def small() -> AsyncGenerator[Event, None]:
        yield "Small. "
        yield "And more."

    async with open_owner(engine) as owner:
        attempt = await owner.start((await engine.create()).id, source(large))
        while not happened:
            await anyio.lowlevel.checkpoint()
        await driven(owner, small)
        happened.append("small ended")
        await attempt.ended.wait()
        assert happened == ["large given", "small ended", "large kept"]
        assert (await engine.text(attempt.claim.id)).decode() == LARGE
        assert attempt.pieces == 1


async def test_a_large_piece_can_be_cancelled_in_its_middle(engine: Engine) -> None:
    async def generate() -> AsyncGenerator[Event, None]:
        yield LARGE

    async with open_owner(engine) as owner:
        attempt = await owner.start((await engine.create()).id, source(generate))
        while not attempt.offset:
            await anyio.lowlevel.checkpoint()
        attempt.stop(Status.CANCELLED, "enough")
        await attempt.ended.wait()
        kept = (await engine.text(attempt.claim.id)).decode()
        assert kept == LARGE[: len(kept)]
        assert 0 < len(kept) == attempt.offset < len(LARGE)


async def test_what_comes_behind_an_end_in_the_middle_of_a_large_piece_is_not_kept(engine: Engine) -> None:
    """A drained generator goes on, and its piece with it; its stream has ended."""
    over = anyio.Event()

    async def generate() -> AsyncGenerator[Event, None]:
        yield LARGE
        over.set()
        yield Usage({"total_tokens": 3})

    async with open_owner(engine) as owner:
        id = (await engine.create()).id
        attempt = await owner.start(id, source(generate))
        while not attempt.offset:
            await anyio.lowlevel.checkpoint()
        attempt.stop(Status.CANCELLED, None, drain=True)
        await attempt.ended.wait()
        kept = (await engine.text(id)).decode()
        await over.wait()
        assert (await engine.text(id)).decode() == kept == LARGE[: len(kept)] != LARGE


@given(st.text(st.sampled_from("ab\ud83d\ude00é😀"), max_size=40), st.integers(1, 9))
@example("\ud83d\ud83d\ude00", 1)
def test_slices_are_all_of_a_piece_and_part_no_character(piece: str, most: int) -> None:
    parts = list(slices(piece, most))
    assert "".join(parts) == piece
    assert all(0 < len(part) <= most + 1 for part in parts)
    assert "".join(encoded([part])[1] for part in parts) == encoded([piece])[1]
