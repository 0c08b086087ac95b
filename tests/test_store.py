"""The store's promises: one claim, fenced appends, one end, and recovery by whoever meets a stream."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ptstream.engine.requests import OPENING
from ptstream.engine.sqlite import liveness, migration
from ptstream.engine.sqlite.cursor import TextCursor
from ptstream.engine.sqlite.database import Database
from ptstream.engine.sqlite.engine import LARGE, attached, opened
from ptstream.engine.sqlite.liveness import Lease
from ptstream.engine.sqlite.queries import Standing
from ptstream.engine.sqlite.recovery import recover_all, recover_if_orphaned
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.engine.sqlite.transaction import writing
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.errors import (
    AmbiguousId,
    ClaimLost,
    NameTaken,
    NotFinished,
    OffsetBeyondEnd,
    RequestDiffers,
    StoreBusy,
    StoreUnusable,
    StreamNotFound,
    UsageError,
)
from ptstream.settings import Home
from ptstream.streams import Claim, GenerationRequest, Parent, Status
from tests.conftest import ended, program, read


def row(claim: Claim, start: int, text: str, status: Status | None = None) -> tuple[Any, ...]:
    stop = start + len(text.encode())
    return (claim.id, claim.epoch, start, stop, text, time.time(), 1, status and status.value, None, None)


@pytest.mark.anyio
async def test_one_claim(store: Store) -> None:
    id = store.create(GenerationRequest(prompt="x")).id
    first, second = SqliteWriter(store, "one"), SqliteWriter(store, "two")
    got: list[Claim] = []
    lost: list[ClaimLost] = []

    async def claim(writer: SqliteWriter) -> None:
        try:
            got.append(await writer.claim(id))
        except ClaimLost as error:
            lost.append(error)

    async with first.open(), second.open(), anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(claim, first)
            tasks.start_soon(claim, second)
    assert [c.epoch for c in got] == [1]
    assert len(lost) == 9


@pytest.mark.anyio
async def test_appends_are_fenced_and_nothing_follows_the_end(store: Store) -> None:
    id = store.create().id
    lease = Lease(store.home)
    writer = SqliteWriter(store, lease.id)
    async with writer.open():
        claim = await writer.claim(id)
        await writer.append(claim, 0, "One. ", 1)
        with pytest.raises(ClaimLost):
            await writer.append(Claim(id, claim.epoch + 1, 0), 5, "of another epoch", 1)
        with pytest.raises(ClaimLost):
            await writer.append(claim, 0, "not where the last chunk ends", 1)
        await writer.finish(claim, 5, "Two.", 2, Status.DONE, None, {"total_tokens": 7})
        with pytest.raises(ClaimLost):
            await writer.append(claim, 9, "after the end", 3)
        with pytest.raises(ClaimLost):
            await writer.finish(claim, 9, "", 3, Status.ERROR, "another end", None)
    assert read(store, id) == b"One. Two."
    assert store.state(id).status is Status.DONE
    assert store.attempts(id)[0].usage == {"total_tokens": 7}
    assert store.counts(id) == (2, 2)
    lease.release()


@pytest.mark.anyio
async def test_flushes_of_many_streams_are_one_group(store: Store) -> None:
    ids = [store.create().id for _ in range(600)]
    lease = Lease(store.home)
    writer = SqliteWriter(store, lease.id)
    async with writer.open():
        claims = [await writer.claim(id) for id in ids]
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(writer.finish, claim, 0, f"text of {claim.id}", 1, Status.DONE, None, None)
    assert all(read(store, id) == f"text of {id}".encode() for id in ids)
    lease.release()


@pytest.mark.anyio
async def test_a_locked_store_delays_and_loses_nothing(store: Store) -> None:
    id = store.create().id
    lease = Lease(store.home)
    writer = SqliteWriter(store, lease.id)
    other = migration.connect_writer(store.home)
    async with writer.open(), anyio.create_task_group() as tasks:
        assert writer._connection is not None
        await writer._connection.execute_fetchall("PRAGMA busy_timeout=1")
        claim = await writer.claim(id)
        other.execute("BEGIN IMMEDIATE")
        tasks.start_soon(writer.append, claim, 0, "kept", 1)
        while writer.trouble is None:
            await anyio.sleep(0.001)
        assert "locked" in writer.trouble
        other.execute("ROLLBACK")
    assert store.text(id, 0, 100) == b"kept"
    assert writer.trouble is None
    other.close()
    lease.release()


@pytest.mark.anyio
async def test_a_closing_writer_gives_back_what_a_locked_store_did_not_take(store: Store) -> None:
    id = store.create().id
    writer = SqliteWriter(store, "owner")
    other = migration.connect_writer(store.home)
    async with writer.open():
        assert writer._connection is not None
        await writer._connection.execute_fetchall("PRAGMA busy_timeout=1")
        claim = await writer.claim(id)
        other.execute("BEGIN IMMEDIATE")
        writer.close()
        with pytest.raises(StoreBusy, match="locked"):
            await writer.append(claim, 0, "kept", 1)
    other.close()


def test_the_log_is_checkpointed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ptstream.engine.sqlite import checkpoints as module

    monkeypatch.setattr(module, "CHECKPOINT_BYTES", 200_000)

    async def write() -> None:
        id = store.create().id
        writer = SqliteWriter(store, "owner")
        async with writer.open():
            claim, offset = await writer.claim(id), 0
            for _ in range(60):
                await writer.append(claim, offset, "x" * 10_000, 1)
                offset += 10_000
            assert os.stat(store.home.database + "-wal").st_size < 400_000

    anyio.run(write)


# --- recovery


def orphan(store: Store, chunks: str, tail: bytes) -> tuple[str, Claim]:
    """A stream whose owner died: chunks in the store, more in the tail, a lock file that nobody holds."""
    id = store.create().id
    dead = Lease(store.home)

    async def begin() -> Claim:
        writer = SqliteWriter(store, dead.id)
        async with writer.open():
            claim = await writer.claim(id)
            if chunks:
                await writer.append(claim, 0, chunks, 1)
            return claim

    claim = anyio.run(begin)
    file = FileTail(store.tail_path(id, claim.epoch), 0)
    file.append(tail)
    file.close()
    dead.void()
    return id, claim


def test_whoever_meets_a_dead_owners_stream_ends_it(store: Store) -> None:
    id, claim = orphan(store, "Stored. ", b"Stored. And shown")
    assert read(store, id) == b"Stored. And shown"
    state = store.state(id)
    assert (state.status, state.error) == (Status.ERROR, "its owner died at byte 17")
    assert not os.path.exists(store.tail_path(id, claim.epoch))
    assert os.listdir(store.home.owners) == []
    assert read(store, id, live=False) == b"Stored. And shown"


def test_a_character_cut_by_the_death_is_left_out(store: Store) -> None:
    id, _ = orphan(store, "", "Grüße 🙂".encode()[:-1])
    assert read(store, id) == "Grüße ".encode()
    assert store.state(id).error == "its owner died at byte 8"


def test_a_tail_of_another_boot_is_not_trusted(store: Store) -> None:
    id, _ = orphan(store, "Stored. ", b"Stored. \0\0\0\0")
    with writing(store.database) as connection:
        connection.execute("UPDATE attempts SET boot = 'another'")
    assert read(store, id) == b"Stored. "


def test_a_missing_tail_means_an_empty_rest(store: Store) -> None:
    id, claim = orphan(store, "Stored. ", b"Stored. And shown")
    os.unlink(store.tail_path(id, claim.epoch))
    assert read(store, id) == b"Stored. "
    assert store.state(id).status is Status.ERROR


def test_who_cannot_write_lays_the_tail_over(store: Store) -> None:
    id, _ = orphan(store, "Stored. ", b"Stored. And shown")
    other = migration.connect_writer(store.home)
    other.execute("BEGIN IMMEDIATE")
    with Store(store.home, busy_timeout=0.001) as reader:
        assert read(reader, id) == b"Stored. And shown"
        told = recover_if_orphaned(reader, id).standing
        assert (told.status, told.error) == (Status.ERROR, "its owner died at byte 17")
        assert reader.state(id).status is Status.STREAMING
    other.close()


def test_a_living_owner_keeps_its_streams(store: Store) -> None:
    id = store.create().id
    lease = Lease(store.home)

    async def claim() -> None:
        writer = SqliteWriter(store, lease.id)
        async with writer.open():
            await writer.claim(id)

    anyio.run(claim)
    recover_all(store)
    assert store.state(id).status is Status.STREAMING
    assert liveness.alive(store.home, lease.id)
    lease.release()
    recover_all(store)
    assert store.state(id).status is Status.ERROR
    assert not liveness.alive(store.home, lease.id)


def test_a_stopped_owner_is_alive(store: Store, home: Home) -> None:
    home.make()
    script = "import sys; from ptstream.settings import Home; from ptstream.engine.sqlite.liveness import Lease\n"
    script += "print(Lease(Home(sys.argv[1])).id, flush=True); sys.stdin.read()"
    with program(script, home.path) as process:
        name = process.stdout.readline().decode().strip()
        process.send_signal(signal.SIGSTOP)
        assert liveness.alive(home, name)
        process.kill()
        process.wait()
        assert not liveness.alive(home, name)


def test_a_forked_child_does_not_keep_the_lease(home: Home) -> None:
    home.make()
    lease = Lease(home)
    reading, writing = os.pipe()
    began, beginning = os.pipe()
    if (child := os.fork()) == 0:
        os.write(beginning, b"x")
        os.read(reading, 1)
        os._exit(0)
    try:
        os.read(began, 1)
        os.close(lease._fd)  # as the death of this process would
        lease._fd = -1
        assert not liveness.alive(home, lease.id)
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        for descriptor in (reading, writing, began, beginning):
            os.close(descriptor)


RECOVERER = """
import sys
from ptstream.settings import Home
from ptstream.engine.sqlite.cursor import TextCursor
from ptstream.engine.sqlite.store import Store
with Store(Home(sys.argv[1])) as store:
    print('here', flush=True)
    sys.stdin.read(1)  # until the last of them is
    cursor, text = TextCursor(store, sys.argv[2], 0), b''
    while data := cursor.read():
        text += data
    sys.stdout.buffer.write(text)
"""


def test_recoverers_at_once(store: Store) -> None:
    id, _ = orphan(store, "Stored. ", b"Stored. And shown")
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(program(RECOVERER, store.home.path, id)) for _ in range(4)]
        for process in processes:
            assert process.stdout.readline() == b"here\n"
        for process in processes:
            process.stdin.write(b"\n")
        assert {process.stdout.read() for process in processes} == {b"Stored. And shown"}
        assert {ended(process) for process in processes} == {0}
    assert store.counts(id)[1] == 2


def test_a_recoverer_that_is_killed_between_any_two_statements(store: Store) -> None:
    """Killed before, in and after its transaction, another one finds the same text and one end."""
    for kill_at in ("before", "inside", "after"):
        id, _ = orphan(store, "Stored. ", b"Stored. And shown")
        script = (
            "import os, sys\n"
            "from ptstream.settings import Home\n"
            "from ptstream.engine.sqlite import migration, recovery, store as module\n"
            "store = module.Store(Home(sys.argv[1])); id, at = sys.argv[2:]\n"
            "def die(*_): os.kill(os.getpid(), 9)\n"
            "if at == 'before': store.flush = die\n"
            "if at == 'after': recovery._forget = die\n"
            "if at == 'inside':\n"
            "    connection = migration.connect_writer(store.home)\n"
            "    connection.create_function('die', 0, die)\n"
            "    connection.execute('CREATE TEMP TRIGGER t AFTER INSERT ON main.chunks BEGIN SELECT die(); END')\n"
            "    store.database._writer = connection\n"
            "recovery.recover_if_orphaned(store, id)\n"
        )
        with program(script, store.home.path, id, kill_at) as process:
            assert ended(process) == -signal.SIGKILL
        assert read(store, id) == b"Stored. And shown", kill_at
        assert store.state(id).error == "its owner died at byte 17"


def test_an_owner_killed_between_any_two_system_calls(home: Home, store: Store) -> None:
    """What a reader got out of the tail is in the store after the death, however far the owner was."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    script = (
        "import os, sys, anyio\n"
        "from ptstream.settings import Home\n"
        "from ptstream.engine.sqlite.store import Store\n"
        "from ptstream.engine.sqlite.engine import attached\n"
        "from ptstream.owner import open_owner\n"
        "from ptstream.generators import Source\n"
        "from ptstream.streams import Flush\n"
        "async def pieces():\n"
        "    for n in range(100000): yield f'Piece {n}. '\n"
        "async def main():\n"
        "    with Store(Home(sys.argv[1])) as store:\n"
        "        id = store.create().id; print(id, flush=True)\n"
        "        async with attached(store) as engine, open_owner(engine) as owner:\n"
        "            attempt = await owner.start(id, Source('m', 'p', Flush.SENTENCES, pieces))\n"
        "            await attempt.ended.wait()\n"
        "anyio.run(main)\n"
    )
    whole = "".join(f"Piece {n}. " for n in range(100000)).encode()
    for _ in range(6):
        with program(script, home.path) as process:
            cursor = TextCursor(store, process.stdout.readline().decode().strip())
            seen, wanted = b"", chance.randrange(1, 60_000)
            while len(seen) < wanted:
                seen += cursor.read()
            process.kill()
            process.wait()
        text = read(store, cursor.id)
        assert whole.startswith(text)
        assert text.startswith(seen)
        assert store.state(cursor.id).status is Status.ERROR
        cursor.close()


def test_an_end_that_came_after_the_look_is_the_end(store: Store) -> None:
    """The reader looked while it was streaming; then the owner ended it, and died."""
    id = store.create().id
    lease = Lease(store.home)

    async def drive() -> Standing:
        writer = SqliteWriter(store, lease.id)
        async with writer.open():
            claim = await writer.claim(id)
            seen = store.state(id)
            await writer.finish(claim, 0, "All of it.", 1, Status.DONE, None, None)
            return seen

    seen = anyio.run(drive)
    lease.release()
    other = migration.connect_writer(store.home)
    other.execute("BEGIN IMMEDIATE")
    with Store(store.home, busy_timeout=0.001) as reader:
        assert recover_if_orphaned(reader, id, seen).standing.status is Status.DONE
    other.close()


def test_text_before_the_tail_is_read_without_waiting(store: Store) -> None:
    id = store.create(parent=Parent("x", 600_000, True)).id
    store.begin(id, "x" * 600_000)
    lease = Lease(store.home)

    async def claim() -> Claim:
        writer = SqliteWriter(store, lease.id)
        async with writer.open():
            return await writer.claim(id)

    tail = FileTail(store.tail_path(id, anyio.run(claim).epoch), 600_000)
    tail.append(b"y")
    cursor, text = TextCursor(store, id), b""
    while data := cursor.read(look=not text):
        text += data
    assert text == b"x" * 600_000 + b"y"
    tail.close()
    lease.release()


@pytest.mark.anyio
async def test_whatever_a_commit_raises_the_next_one_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    id = store.create().id
    writer = SqliteWriter(store, "owner")
    async with writer.open():
        claim = await writer.claim(id)
        with monkeypatch.context() as patch:
            patch.setattr(writer._checkpoints, "due", lambda: 1 // 0)
            with pytest.raises(StoreUnusable, match="ZeroDivisionError"):
                await writer.append(claim, 0, "One.", 1)
        await writer.append(claim, 0, "One.", 1)
    assert store.state(id).bytes == 4


OWNER_THAT_DIES = """
import os, sys, anyio
from ptstream.settings import Home
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.writer import SqliteWriter
from ptstream.engine.sqlite.engine import attached
from ptstream.owner import open_owner
from ptstream.generators import Source
from ptstream.streams import Flush
from ptstream.engine.sqlite import tail

left = int(sys.argv[2])
def step():
    global left
    left -= 1
    if left == 0: os.kill(os.getpid(), 9)

def around(kind, name, is_async=False):
    real = getattr(kind, name)
    if is_async:
        async def both(*words):
            step(); got = await real(*words); step(); return got
    else:
        def both(*words):
            step(); got = real(*words); step(); return got
    setattr(kind, name, both)

around(SqliteWriter, '_execute', True)
for name in ('__init__', 'append', 'discard', 'close'): around(tail.FileTail, name)

async def pieces():
    for n in range(3):
        yield f'Sentence {n}. '
        await anyio.sleep(0.01)

async def main():
    with Store(Home(sys.argv[1])) as store:
        id = store.create().id; print(id, flush=True)
        async with attached(store) as engine, open_owner(engine) as owner:
            attempt = await owner.start(id, Source('m', 'p', Flush.SENTENCES, pieces))
            await attempt.ended.wait()
anyio.run(main)
print('survived')
"""


def test_an_owner_killed_between_any_two_statements(home: Home, store: Store) -> None:
    """Before and after each statement and each act on the tail: what is kept is a prefix, and there is an end."""
    whole = "Sentence 0. Sentence 1. Sentence 2. "
    ends: list[Status] = []
    for at in range(1, 60):
        with program(OWNER_THAT_DIES, home.path, str(at)) as process:
            id, *survived = process.communicate()[0].decode().split()
        text = read(store, id).decode()
        status = store.state(id).status
        assert whole.startswith(text), at
        assert status in (Status.PENDING, Status.ERROR, Status.DONE), at
        assert status is not Status.DONE or text == whole
        ends.append(status)
        if survived:
            break
    assert survived
    assert set(ends) == {Status.PENDING, Status.ERROR, Status.DONE}
    recover_all(store)
    assert os.listdir(home.tails) == os.listdir(home.owners) == []


# --- reading


@pytest.mark.anyio
async def test_any_offset_reads_the_rest(store: Store) -> None:
    id = store.create().id
    text = "Grüße, 世界! 🙂 \0 end."
    writer = SqliteWriter(store, "owner")
    async with writer.open():
        claim, offset = await writer.claim(id), 0
        for word in text.split(" "):
            await writer.append(claim, offset, f"{word} ", 1)
            offset += len(f"{word} ".encode())
        await writer.finish(claim, offset, "", 1, Status.DONE, None, None)
    data = f"{text} ".encode()
    assert [read(store, id, n) for n in range(len(data) + 1)] == [data[n:] for n in range(len(data) + 1)]
    with pytest.raises(OffsetBeyondEnd):
        read(store, id, len(data) + 1)
    with pytest.raises(UsageError):
        TextCursor(store, id, -1)


def test_a_deleted_stream_ends_its_readers(store: Store) -> None:
    id, _ = orphan(store, "Stored. ", b"")
    cursor = TextCursor(store, id)
    assert cursor.read() == b"Stored. "
    other = TextCursor(store, id)
    recover_if_orphaned(store, id)
    store.delete(id)
    with pytest.raises(StreamNotFound):
        other.read()


def test_a_reader_is_told_of_the_deletion_as_often_as_it_asks(store: Store) -> None:
    id = store.create().id
    cursor = TextCursor(store, id)
    assert cursor.read() == b""
    store.delete(id)
    for _ in range(2):
        with pytest.raises(StreamNotFound):
            cursor.read(look=False)


# --- names and words


def test_references(store: Store) -> None:
    with pytest.raises(StreamNotFound):
        store.find("@last")
    made = [store.create(GenerationRequest(prompt=str(n))) for n in range(40)]
    named = store.create(name="build")
    assert store.find("build").id == store.find("@last").id == named.id
    assert store.find(made[0].id.upper()).id == made[0].id
    ids = [stream.id for stream in (*made, named)]
    prefix = next(p for p in (made[3].id[:n] for n in range(1, 12)) if sum(id.startswith(p) for id in ids) == 1)
    assert store.find(prefix).id == made[3].id
    common = next(s.id[0] for s in made if sum(t.id[0] == s.id[0] for t in made) > 1)
    with pytest.raises(AmbiguousId):
        store.find(common)
    with pytest.raises(UsageError, match="did you mean --prompt"):
        store.find("Why is the sky blue?")
    for bad in ("", "a/b", "a\x1b[2Jb"):
        with pytest.raises(UsageError):
            store.find(bad)
    with pytest.raises(StreamNotFound):
        store.find("nowhere")


def test_a_name_is_one_stream(store: Store) -> None:
    first = store.create(GenerationRequest(prompt="a"), name="n")
    assert store.create(GenerationRequest(prompt="a"), name="n").id == first.id
    with pytest.raises(NameTaken, match="prompt"):
        store.create(GenerationRequest(prompt="b"), name="n")
    for bad in ("", "a b", "a@b", "a/b", "a\nb"):
        with pytest.raises(UsageError):
            store.create(name=bad)


def test_what_was_left_open_may_be_given_once(store: Store) -> None:
    id = store.create(GenerationRequest(prompt="a")).id
    assert store.fill(id, GenerationRequest(prompt="a", model="m")).request == GenerationRequest(prompt="a", model="m")
    with pytest.raises(RequestDiffers, match="model"):
        store.fill(id, GenerationRequest(model="other"))
    with pytest.raises(RequestDiffers, match="prompt"):
        store.fill(id, GenerationRequest(prompt="b"))
    store.cancel(id)
    with pytest.raises(RequestDiffers, match="system"):
        store.fill(id, GenerationRequest(system="s"))


def test_lists_hold_only_the_beginning_of_a_prompt(store: Store) -> None:
    long = "x" + "é" * 2 * OPENING
    id = store.create(GenerationRequest(prompt=long, system="a\0b"), name="long").id
    expected = GenerationRequest(prompt=long[:OPENING])
    store.cancel(id)
    listed = [store.streams(), store.streams(status=(Status.CANCELLED,)), store.idle_since(time.time() + 1)]
    for (stream,) in [*listed, *([store.find(word)] for word in (id, id[:6], "long", "@last"))]:
        assert stream.request == expected
    assert store.get(id).request.prompt == long
    empty = store.create().id
    assert store.find(empty).request == GenerationRequest()


def test_cancel_and_delete(store: Store) -> None:
    id = store.create().id
    assert store.cancel(id).status is Status.CANCELLED
    assert store.cancel(id).status is Status.CANCELLED
    store.delete(id)
    with pytest.raises(StreamNotFound):
        store.delete(id)
    lease = Lease(store.home)
    id = store.create().id

    async def claim() -> None:
        writer = SqliteWriter(store, lease.id)
        async with writer.open():
            await writer.claim(id)

    anyio.run(claim)
    assert store.cancel(id).cancelling
    with pytest.raises(NotFinished):
        store.delete(id)
    lease.release()


# --- the file


def test_everything_is_private(store: Store, home: Home) -> None:
    old = os.umask(0)
    try:
        store.create()
        lease = Lease(home)
    finally:
        os.umask(old)
    for folder, _, files in os.walk(home.path):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name
    lease.release()


def test_reading_makes_nothing(home: Home, store: Store) -> None:
    assert store.streams() == []
    with pytest.raises(StreamNotFound):
        store.find("abc")
    assert not os.path.exists(home.path)


def test_databases_that_are_not_ours(home: Home, store: Store) -> None:
    home.make()
    Path(home.database).write_bytes(b"not a database, but long enough to be taken for one" * 40)
    for use in (store.streams, store.create):
        with pytest.raises(StoreUnusable, match="not a database"):
            use()


def test_another_programs_database(home: Home, store: Store) -> None:
    import sqlite3

    home.make()
    with sqlite3.connect(home.database) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreUnusable, match="not a ptstream database"):
        store.create()


def test_a_newer_database(home: Home, store: Store) -> None:
    store.create()
    with writing(store.database) as connection:
        connection.execute("PRAGMA user_version=99")
    for use in (Store(home).streams, Store(home).create):
        with pytest.raises(StoreUnusable, match="newer"):
            use()
    with pytest.raises(StoreUnusable):
        store.create()


def test_a_path_with_every_character(folder: Path) -> None:
    home = Home(str(folder / os.fsdecode(b"a?b#c%20d \xc3\xa9 \xff")))
    with Store(home) as store:
        id = store.create().id
    with Store(home) as store:
        assert store.get(id).status is Status.PENDING
    assert all(name.startswith("ptstream.db") for name in os.listdir(os.path.dirname(home.database)))


def test_an_owner_that_was_killed_as_it_was_born_leaves_nothing(home: Home, store: Store) -> None:
    home.make()
    Path(home.owners, "0123456789abcdef.new").touch()
    liveness.sweep(home, frozenset())
    assert os.listdir(home.owners) == []


def test_an_owner_whose_file_is_swept_before_it_is_locked_makes_another(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.make()
    real = os.rename

    def swept_once(*paths: str) -> None:
        monkeypatch.setattr(os, "rename", real)
        os.unlink(paths[0])
        real(*paths)

    monkeypatch.setattr(os, "rename", swept_once)
    lease = Lease(home)
    assert os.listdir(home.owners) == [lease.id]
    assert liveness.alive(home, lease.id)
    lease.release()


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "others"), [(LARGE + 1, True), (10, False)])
async def test_large_words_are_written_while_others_have_their_turn(store: Store, size: int, others: bool) -> None:
    turns = 0

    async def others_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    words = GenerationRequest(prompt="x" * size)
    async with attached(store) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(others_work)
        await anyio.lowlevel.checkpoint()
        before = turns
        stream = await engine.create(words)
        during = turns - before
        tasks.cancel_scope.cancel()
    assert store.get(stream.id).request == words
    assert (during > 0) == others


@pytest.mark.anyio
async def test_a_database_that_was_replaced_is_said_to_be_lost(home: Home) -> None:
    async with opened(home) as engine:
        said = [engine.lost]  # there is none yet
        async with engine.writer():
            said.append(engine.lost)
            os.rename(home.database, f"{home.database}.old")
            said.append(engine.lost)
            Path(home.database).touch()
            said.append(engine.lost)
            os.replace(f"{home.database}.old", home.database)
            said.append(engine.lost)
    assert said == [None, None, home.database, home.database, None]


def test_who_reads_waits_while_the_database_is_made(home: Home) -> None:
    """In an event loop, too, where no write waits for another."""
    home.make()
    Path(home.database).touch(mode=0o600)
    database = Database(home, busy_timeout=0)
    with (
        contextlib.closing(sqlite3.connect(home.database, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN EXCLUSIVE")
        reading = pool.submit(database.read, "SELECT id FROM streams")
        wait([reading], timeout=0.2)
        other.execute("COMMIT")
        assert reading.result() == []
        pool.submit(database.close).result()
