"""`ptstream copy`, with real engines: what arrives, what stays, and what comes of a copy that is broken off.

What an engine does for it is held by test_engine_contract.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pexpect
import pytest

from ptstream.copying import Copy
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ConfigurationError
from ptstream.settings import Home
from ptstream.streams import Claim, GenerationRequest, Parent, Status
from tests import postgres
from tests.conftest import FIRST, SECOND, Cli, Gate, ended, engaged, locked, named, stop_daemon, until
from tests.terminal import Terminal

LARGE = 24 * 1024 * 1024
"""Bytes of a text that takes a while to copy."""

RUN = 512 * 1024
"""Bytes of its chunks."""


@pytest.fixture
def cli(folder: Path) -> Iterator[Cli]:
    """The command against a home whose streams are in SQLite, whatever else the tests run with."""
    made = Cli(Home(f"{folder}/home"))
    yield made
    stop_daemon(made.home)


@pytest.fixture
def url() -> Iterator[str]:
    """A place in the shared server."""
    with postgres.place() as made:
        yield made


@pytest.fixture(params=["server", "home", "file"])
def there(request: pytest.FixtureRequest, folder: Path) -> Iterator[Cli]:
    """The command against another place, of each kind."""
    if request.param == "server":
        with postgres.place() as made:
            yield Cli(Home(f"{folder}/there", made))
    elif request.param == "home":
        yield Cli(Home(f"{folder}/there"))
    else:
        yield Cli(Home(f"{folder}/nowhere", f"file://{folder}/there.db"))


async def fill(engine: Engine, chance: random.Random, count: int = 12) -> None:
    """Ended streams of random texts, some of which come after others."""
    ids: list[str] = []
    async with engine.writer() as writer:
        for n in range(count):
            name = f"name-{n}" if chance.random() < 0.3 else None
            parent = Parent(chance.choice(ids), 0, continued=False) if ids and chance.random() < 0.3 else None
            asked = GenerationRequest("Why? " * chance.randrange(100), flush=None)
            stream = await engine.create(asked, name=name, parent=parent, ttl=chance.choice([None, 1e6]))
            claim, end = await writer.claim(stream.id, "m", "http://x"), 0
            for _ in range(chance.randrange(6)):
                text = "".join(chance.choice("aé世🙂\0\n ") for _ in range(chance.randrange(1, 2000)))
                await writer.append(claim, end, text, 1)
                end += len(text.encode())
            status = chance.choice([Status.DONE, Status.ERROR, Status.TIMEOUT, Status.CANCELLED])
            cause = None if status is Status.DONE else "why not"
            await writer.finish(claim, end, "", 9, status, cause, {"tokens": n})
            ids.append(stream.id)


async def fill_large(engine: Engine) -> str:
    """The id of a stream of LARGE bytes, all of them different enough."""
    id = (await engine.create(name="large")).id
    async with engine.writer() as writer:
        claim = await writer.claim(id)
        for start in range(0, LARGE, RUN):
            await writer.append(claim, start, f"{start:16}".ljust(RUN, "."), 1)
        await writer.finish(claim, LARGE, "", 1, Status.DONE, None, None)
    return id


async def visible(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of each stream: what `show --json` and `cat` are made of."""
    found = {}
    for stream in await engine.listed():
        whole = await engine.get(stream.id)
        text = await engine.text(stream.id)
        found[stream.id] = whole, await engine.attempts(stream.id), (await engine.histories([stream.id]))[0][1:], text
    return found


async def begun(engine: Engine, id: str, over: Callable[[], Any]) -> None:
    """Returns when something of the stream lies there, seen or not."""
    while over() is None:
        with contextlib.suppress(ConfigurationError):  # a file that is just being made
            async for _ in engine.archive.chunks([id]):
                return
        await anyio.sleep(0.005)


def seeded() -> random.Random:
    """A seed that is printed."""
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


# --- what arrives


def test_both_ways_all_is_the_same(cli: Cli, there: Cli, folder: Path) -> None:
    engaged(cli.home, fill, seeded())
    done = cli.run("copy", "--to", named(there.home))
    assert b"12 streams copied to " in done.stderr
    assert b"SHA-256" in done.stderr
    assert done.stdout == b""
    assert engaged(there.home, visible) == engaged(cli.home, visible)
    ids = cli.out("ls", "-q").split()
    assert there.out("ls", "-q").split() == ids
    for id in ids[:2]:
        assert there.out("show", "--json", id) == cli.out("show", "--json", id)
        assert there.run("cat", id).stdout == cli.run("cat", id).stdout
    back = Cli(Home(f"{folder}/back"))
    back.run("copy", "--from", named(there.home))
    assert engaged(back.home, visible) == engaged(cli.home, visible)
    assert back.out("ls", "-q").split() == ids
    said = json.loads(back.out("copy", "--from", named(there.home), "--json"))
    assert (said["copied"], said["there"], said["refused"]) == (0, 12, 0)


def test_usage_that_became_known_later_follows_and_stays(cli: Cli, there: Cli) -> None:
    """A drained generator goes on after its stream's end, and tells it last."""

    async def ended(engine: Engine) -> Claim:
        async with engine.writer() as writer:
            claim = await writer.claim((await engine.create(name="drained")).id)
            await writer.finish(claim, 0, "One.", 1, Status.CANCELLED, "cancelled", {"of": {"asked": 3}})
            return claim

    async def told(engine: Engine) -> None:
        async with engine.writer() as writer:
            await writer.report_usage(claim, usage)

    usage = {"of": {"asked": 3, "answered": 9}}
    claim = engaged(cli.home, ended)
    cli.run("copy", "--to", named(there.home))
    engaged(cli.home, told)
    assert b"1 there already" in cli.run("copy", "--to", named(there.home)).stderr
    assert [attempt.usage for attempt in engaged(there.home, lambda engine: engine.attempts(claim.id))] == [usage]
    with locked(cli.home) as sql:
        sql("UPDATE attempts SET usage = NULL")
    cli.run("copy", "--to", named(there.home))
    assert [attempt.usage for attempt in engaged(there.home, lambda engine: engine.attempts(claim.id))] == [usage]


def test_a_file_is_alone_and_is_a_database_like_any_other(cli: Cli, folder: Path) -> None:
    for name in ("one", "two"):
        cli.run("drive", "--name", name, "--", "echo", name)
        cli.run("copy", "--to", f"{folder}/x.db")
    assert [path.name for path in folder.iterdir() if path.name.startswith("x.db")] == ["x.db"]
    assert (folder / "x.db").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(folder / "x.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute(
            "SELECT name, text FROM streams JOIN chunks ON stream = id ORDER BY seq"
        ).fetchall() == [
            ("one", "one\n"),
            ("two", "two\n"),
        ]
    database.close()
    alone = Cli(Home(f"{folder}/nowhere", f"file://{folder}/x.db"))
    assert alone.out("cat", "two") == "two\n"
    assert b"no stream can be driven in a single file" in alone.run("tee", input="x", code=4).stderr


def test_only_what_is_old(cli: Cli, folder: Path) -> None:
    old, _ = (cli.out("drive", "--detach", "--", "echo", word).strip() for word in ("old", "new"))
    cli.run("wait", "@last")
    cli.run("wait", old)
    cli.run("create", "later")
    with sqlite3.connect(cli.home.database) as database:
        database.execute("UPDATE streams SET ended_at = ended_at - 86400 WHERE id = ?", (old,))
    database.close()
    cli.run("copy", "--older-than", "12h", "--to", f"{folder}/old.db")
    assert Cli(Home(f"{folder}/x", f"file://{folder}/old.db")).out("ls", "-q").split() == [old]


def test_what_is_to_be_deleted_is_not_brought_to_life(cli: Cli, folder: Path) -> None:
    with Store(cli.home) as store:
        for ttl in (0.0, 1e6):
            store.cancel(store.create(ttl=ttl).id)
        kept = store.streams()[0].id
    said = json.loads(cli.out("copy", "--json", "--to", f"{folder}/x.db"))
    assert (said["copied"], said["refused"]) == (1, 0)
    assert Cli(Home(f"{folder}/x", f"file://{folder}/x.db")).out("ls", "-q").split() == [kept]


# --- what has not ended


def test_a_stream_that_runs_is_copied_when_it_has_ended(cli: Cli, url: str, folder: Path, gate: Gate) -> None:
    id = cli.out("drive", "--detach", "--", *gate.command).strip()
    until(lambda: cli.out("cat", id) == FIRST)
    before = cli.run("copy", "--to", url, "--no-wait", code=8)
    assert b"running still" in before.stderr
    there = Cli(Home(f"{folder}/there", url))
    assert there.out("ls", "-q") == ""
    with cli.started("copy", "--to", url) as process:
        assert process.stderr is not None
        assert f"waiting for 1 stream ({id})".encode() in process.stderr.readline()
        gate.open()
        assert ended(process) == 0
    assert there.out("cat", id) == FIRST + SECOND
    assert there.out("show", "--json", id) == cli.out("show", "--json", id)


def test_a_pending_stream_stays(cli: Cli, folder: Path) -> None:
    id = cli.out("create", "later").strip()
    assert b"1 left behind, pending" in cli.run("copy", "--to", f"{folder}/there", code=8).stderr
    assert Cli(Home(f"{folder}/there")).out("ls", "-q") == ""
    assert cli.out("ls", "-q").strip() == id


def test_a_dead_owner_s_stream_is_given_its_end_first(cli: Cli, folder: Path) -> None:
    id = cli.out("drive", "--detach", "--", "sh", "-c", "printf 'Half a sen'; exec sleep 600").strip()
    until(lambda: cli.out("cat", id) == "Half a sen")
    os.kill(int(cli.out("daemon", "status").split()[1]), signal.SIGKILL)
    cli.run("copy", "--to", f"{folder}/there")
    there = Cli(Home(f"{folder}/there"))
    assert there.out("cat", id) == "Half a sen"
    assert json.loads(there.out("show", "--json", id))["error"] == "its owner died at byte 10"


def test_what_is_made_or_deleted_meanwhile_is_left_out(cli: Cli, folder: Path) -> None:
    with Store(cli.home) as store:
        for _ in range(300):  # more than go in one step
            store.cancel(store.create().id)
        victims = [stream.id for stream in store.streams()][:20]
        made: list[str] = []

        def meanwhile(_: object) -> None:
            if not made:
                made.append(store.create().id)
                for id in victims:
                    store.delete(id)

        async def copy() -> tuple[Any, list[str]]:
            async with open_engine(cli.home) as source, open_engine(Home(f"{folder}/there")) as target:
                tally = await Copy(source, target, progressed=meanwhile).run()
                return tally, [stream.id for stream in await target.listed()]

        tally, there = anyio.run(copy)
        assert (tally.total, tally.copied, tally.refused, tally.pending) == (300, 280, 0, 0)
        assert there == [stream.id for stream in store.streams() if stream.id not in made]


# --- what cannot be copied


def test_another_stream_there_is_left_alone_and_the_others_are_copied(cli: Cli, there: Cli, folder: Path) -> None:
    taken = cli.out("drive", "--detach", "--name", "x", "--", "echo", "mine").strip()
    cli.run("wait", taken)
    cli.run("copy", "--to", named(there.home))
    cli.run("rm", taken)
    for words in (("--name", "x"), ()):
        cli.run("drive", *words, "--", "echo", "another")
    refused = cli.run("copy", "--to", named(there.home), code=1)
    assert f"its name 'x' is stream {taken}'s".encode() in refused.stderr
    assert b"1 stream copied" in refused.stderr
    assert there.out("cat", "x") == "mine\n"
    assert len(there.out("ls", "-q").split()) == 2


def test_another_text_there_is_never_overwritten(cli: Cli, url: str, folder: Path) -> None:
    cli.run("drive", "--name", "x", "--", "echo", "one")
    cli.run("copy", "--to", url)
    with sqlite3.connect(cli.home.database) as database:
        database.execute("UPDATE chunks SET text = 'two' || char(10)")
    database.close()
    refused = cli.run("copy", "--to", url, code=1)
    assert b"nothing of it was changed" in refused.stderr
    assert Cli(Home(f"{folder}/there", url)).out("cat", "x") == "one\n"


def test_what_does_not_arrive_as_it_was_is_never_seen(cli: Cli, folder: Path) -> None:
    cli.run("drive", "--", "echo", "right")
    there = Cli(Home(f"{folder}/there"))
    there.run("store", "migrate")
    with sqlite3.connect(there.home.database) as database:
        database.execute(
            "CREATE TRIGGER damage AFTER INSERT ON chunks BEGIN UPDATE chunks SET text = 'wrong' || char(10)"
            " WHERE stream = NEW.stream; END"
        )
    database.close()
    refused = cli.run("copy", "--to", there.home.path, code=1)
    assert b"may be damaged" in refused.stderr
    assert there.out("ls", "-q") == ""
    with sqlite3.connect(there.home.database) as database:
        assert database.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
        database.execute("DROP TRIGGER damage")
    database.close()
    cli.run("copy", "--to", there.home.path)
    assert there.out("cat", "@last") == "right\n"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ((), 2, b"--to PLACE"),
        (("--to", "{folder}/home"), 2, b"are the same"),
        (("--to", "{folder}/home/db/ptstream.db"), 2, b"are the same"),
        (("--from", "{folder}/nothing", "--to", "{folder}/new"), 4, b"there are no streams at"),
        (("--from", "{folder}/nothing.db"), 4, b"there are no streams at"),
        (("--to", "{folder}/no/x.db"), 4, b"there is no directory"),
        (("--to", "{folder}/newer.db"), 4, b"newer ptstream"),
        (("--to", "{folder}/foreign.db"), 4, b"not a ptstream database"),
        (("--to", "pigeon://loft"), 4, b"no engine for pigeon:"),
        (("--to", ""), 2, b"no place"),
        (("--to", "{folder}"), 2, b"is a directory of other things"),
        (("--to", "@{folder}/nothing"), 2, b"cannot be read"),
        (("--to", "{folder}/x.db", "--older-than", "x"), 2, b"--older-than"),
    ],
)
def test_places_that_are_none(cli: Cli, folder: Path, words: tuple[str, ...], code: int, why: bytes) -> None:
    cli.run("store", "migrate")
    cli.run("copy", "--to", f"{folder}/newer.db")
    for name, pragma in (("newer.db", "user_version = 99"), ("foreign.db", "user_version = 1")):
        with sqlite3.connect(folder / name) as database:
            database.execute("CREATE TABLE IF NOT EXISTS t (x)")
            database.execute(f"PRAGMA {pragma}")
        database.close()
    before = {path.name for path in folder.iterdir()}
    refused = cli.run("copy", *(word.format(folder=folder) for word in words), code=code)
    assert why in refused.stderr
    assert refused.stderr.count(b"\n") == 1 or not words
    assert {path.name for path in folder.iterdir()} == before


def test_the_password_is_shown_nowhere(cli: Cli, folder: Path, url: str) -> None:
    schema = url.partition("search_path%3D")[2].partition("&")[0]
    server, role, password = postgres.shared(), f"r{secrets.token_hex(6)}", secrets.token_hex(12)
    cli.run("drive", "--", "echo", "x")
    with server.admin() as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        admin.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}".encode())
    try:
        right = server.tcp(role, password, options=f"-csearch_path={schema}")
        (folder / "url").write_text(f"{right}\n")
        shown = b""
        for word, code in ((f"@{folder}/url", 0), (right, 0), (right.replace(password, f"{password}x"), 4)):
            done = cli.run("copy", "--json", "--to", word, code=code)
            shown += done.stdout + done.stderr
        assert role.encode() in shown
        assert password.encode() not in shown
    finally:
        with server.admin() as admin:
            admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


# --- broken off


async def whole(engine: Engine, of: dict[str, tuple[Any, ...]]) -> bool:
    """Whether each stream that can be seen is as it should be."""
    return all(of[id] == seen for id, seen in (await visible(engine)).items())


def broken_off(cli: Cli, there: Cli, number: signal.Signals) -> None:
    """Amid a large text, by a signal; then the same line again."""
    engaged(cli.home, fill, seeded())
    large = engaged(cli.home, fill_large)
    all_of_it = engaged(cli.home, visible)
    with cli.started("copy", "--to", named(there.home)) as process:
        engaged(there.home, begun, large, process.poll)
        process.send_signal(number)
        assert process.wait() in (-number, 128 + number)
    assert len(there.out("ls", "-q").split()) >= 12
    assert engaged(there.home, whole, all_of_it)
    cli.run("copy", "--to", named(there.home))
    assert engaged(there.home, visible) == all_of_it


def test_a_copy_that_is_killed_goes_on(cli: Cli, there: Cli) -> None:
    broken_off(cli, there, signal.SIGKILL)


def test_a_copy_that_is_interrupted_goes_on(cli: Cli, folder: Path) -> None:
    broken_off(cli, Cli(Home(f"{folder}/there")), signal.SIGINT)


def test_a_server_that_comes_back_is_waited_for(cli: Cli, folder: Path) -> None:
    engaged(cli.home, fill, seeded())
    large = engaged(cli.home, fill_large)
    with postgres.cluster() as server:
        there = Home(f"{folder}/there", server.url())
        with cli.started("copy", "--to", server.url()) as process:
            engaged(there, begun, large, process.poll)
            server.kill()
            server.start()
            assert ended(process) == 0
        assert engaged(there, visible) == engaged(cli.home, visible)


def test_a_full_disk(cli: Cli, small: Cli) -> None:
    engaged(cli.home, fill, seeded(), 100)
    small.run("store", "migrate")
    ballast = Path(small.home.path, "ballast")
    free = os.statvfs(small.home.path)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 300_000))
    refused = cli.run("copy", "--to", small.home.path, code=1)
    assert b"takes no write" in refused.stderr
    all_of_it = engaged(cli.home, visible)
    assert engaged(small.home, whole, all_of_it)
    ballast.unlink()
    cli.run("copy", "--to", small.home.path)
    assert engaged(small.home, visible) == all_of_it


def test_on_a_terminal_a_bar_shows_how_far_it_is(cli: Cli, folder: Path) -> None:
    engaged(cli.home, fill_large)
    with Terminal(("copy", "--to", f"{folder}/there"), cli.environment) as terminal:
        terminal.expect("of 1 streams")
        terminal.expect("1 stream copied to")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 0
