"""Deletion: gone from the lists, the file, its log and the tails, and readers are told."""

from __future__ import annotations

import contextlib
import math
import os
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite import migration
from ptstream.engine.sqlite.checkpoints import VACUUM_PAGES
from ptstream.engine.sqlite.store import Store
from ptstream.errors import StreamNotFound
from ptstream.settings import Home
from ptstream.streams import GenerationRequest
from tests.conftest import FIRST, Cli, Gate, detached, ended, engaged, locked, read_exactly, sqlite_itself, tails, until

SECRET = b"the-password-is-xyzzy"


def bytes_of(home: Home) -> bytes:
    """Everything that lies in the home. Nothing has its database open meanwhile."""
    return b"".join(path.read_bytes() for path in Path(home.path).rglob("*") if path.is_file())


@sqlite_itself
def test_deleted_text_is_gone_from_every_file(cli: Cli, home: Home) -> None:
    cli.run("tee", "--name", "secret", "--title", "t", input=SECRET * 3000)
    cli.run("tee", "--name", "other", input="something else")
    assert SECRET in bytes_of(home)
    cli.run("rm", "secret")
    assert SECRET not in bytes_of(home)
    assert cli.out("cat", "other") == "something else"
    cli.run("cat", "secret", code=3)


@sqlite_itself
def test_space_goes_back(cli: Cli, home: Home) -> None:
    cli.run("tee", "--name", "large", input=b"x" * 3_000_000)
    with Store(home) as store:  # the log is brought into the file
        store.shrink()
    before = os.stat(home.database).st_size
    cli.run("rm", "large")
    assert before > 3_000_000
    assert os.stat(home.database).st_size < 200_000


def test_space_goes_back_many_pages_a_step(store: Store) -> None:
    """Each step is a durable commit: not one a page, and not all at once either."""
    id = store.create(GenerationRequest(prompt="x" * 3_000_000)).id
    store.delete(id)
    connection = store.database.writer()
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    said: list[str] = []
    connection.set_trace_callback(said.append)
    assert store.shrink()
    assert sum("incremental_vacuum" in statement for statement in said) == math.ceil(free / VACUUM_PAGES) > 1


@sqlite_itself
def test_a_reader_that_holds_on_delays_only_the_log(cli: Cli, home: Home) -> None:
    cli.run("tee", "--name", "secret", input=SECRET)
    reader = migration.connect_writer(home)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM chunks").fetchone()
    with Store(home, busy_timeout=0.01) as store:
        store.delete(store.find("secret").id)
        assert not store.shrink()
        reader.execute("ROLLBACK")
        reader.close()
        assert store.shrink()
    assert SECRET not in bytes_of(home)


def test_rm_of_a_running_stream_ends_its_readers(cli: Cli, home: Home) -> None:
    cli.run("drive", "-d", "--name", "runs", "--", "sh", "-c", "echo begun; exec sleep 1000")
    with cli.started("watch", "--live", "runs") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"begun\n"
        cli.run("rm", "-f", "runs")
        _, said = reader.communicate()
    # It may have read the end that the deletion began with, or find the stream gone.
    assert (reader.returncode, said.count(b"\n")) in ((3, 1), (6, 1))
    assert said.startswith(b"ptstream: stream ")
    assert tails(home) == []


def ids_of(home: Home) -> list[str]:
    """All streams, newest first."""
    return [stream.id for stream in engaged(home, lambda engine: engine.listed())]


def test_by_age(cli: Cli, home: Home) -> None:
    ids = [engaged(home, lambda engine, n=n: engine.create(name=f"n{n}")).id for n in range(6)]
    engaged(home, lambda engine: engine.cancel(ids[0]))
    with locked(home) as sql:
        sql("UPDATE streams SET created_at = created_at - 86400, ended_at = ended_at - 86400")
    fresh = engaged(home, lambda engine: engine.create(name="fresh")).id
    listed = cli.out("rm", "--older-than", "23h", "--keep", "3", "--dry-run").splitlines()
    assert [line.split("\t")[:2] for line in listed] == [[ids[0], "cancelled"]] + [[id, "pending"] for id in ids[1:4]]
    assert len(ids_of(home)) == 7
    cli.run("rm", "--older-than", "23h", "--status", "cancelled")
    assert ids[0] not in ids_of(home)
    cli.run("rm", "--older-than", "1d")
    assert ids_of(home) == [fresh]
    for wrong in (
        ["rm"],
        ["rm", "--older-than", "soon"],
        ["rm", "fresh", "--older-than", "1d"],
        ["rm", "x", "--keep", "1"],
    ):
        cli.run(*wrong, code=2)


def test_a_time_to_live(cli: Cli, home: Home) -> None:
    cli.run("tee", "--ttl", "30d", "--name", "month", input=SECRET)
    cli.run("tee", "--name", "ever", input="x")
    assert engaged(home, lambda engine: engine.delete_expired()) == 0
    with locked(home) as sql:
        sql("UPDATE streams SET ended_at = ended_at - 31 * 86400")
    cli.run("daemon", "start")
    until(lambda: [stream.name for stream in engaged(home, lambda engine: engine.listed())] == ["ever"])
    cli.run("daemon", "stop")
    assert SECRET not in bytes_of(home)


def test_no_keep(cli: Cli, home: Home) -> None:
    done = cli.run("drive", "--no-keep", "--", "sh", "-c", "echo shown; exit 3", code=5)
    assert done.stdout == b"shown\n"
    assert ids_of(home) == []


@pytest.mark.anyio
async def test_waiting_for_a_deleted_stream(engine: Engine, home: Home) -> None:
    id = (await engine.create()).id
    gone: list[StreamNotFound] = []

    async def wait() -> None:
        try:
            await engine.ended(id)
        except StreamNotFound as error:
            gone.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        async with open_engine(home) as other:
            await other.delete(id)
    assert len(gone) == 1
    assert await engine.listed() == []


def test_readers_of_a_running_stream_are_told_that_it_is_deleted(served: Cli, gate: Gate) -> None:
    """Not that it was cancelled, which is only how it ends."""
    id = detached(served, *gate.command)
    lines = (("watch", id), ("watch", "--live", id), ("drive", id), ("wait", id), ("cat", "--wait", id))
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(served.started(*words)) for words in lines]
        for reader in readers[:3]:
            assert read_exactly(reader, len(FIRST)) == FIRST.encode()
        for reader in readers[3:]:
            until(partial(served.waits, reader))
        served.run("rm", "--force", id)
        assert [ended(reader) for reader in readers] == [3] * 5
        for reader in readers:
            assert reader.stderr is not None
            said = reader.stderr.read().decode()
            assert said.endswith(f"ptstream: stream {id} has been deleted\n") or reader is readers[-1]
            assert "Traceback" not in said
    assert "Traceback" not in Path(served.home.log).read_text()
