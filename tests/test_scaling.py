"""Streams that several machines share in PostgreSQL: commands, daemons, programs. A machine is a home of its own."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

import ptstream
from ptstream.settings import Home, without_secrets
from ptstream.streams import Status
from tests import postgres
from tests.conftest import FIRST, ROOT, SECOND, Cli, Gate, ended, read_exactly, stop_daemon, until
from tests.docs import snippets


@pytest.fixture
def url() -> Iterator[str]:
    """A place in the shared server."""
    with postgres.place() as made:
        yield made


@pytest.fixture
def machines(folder: Path, url: str) -> Iterator[list[Cli]]:
    """The command on three machines: three homes, whose streams are at one place."""
    made = [Cli(Home(f"{folder}/{name}", url)) for name in "abc"]
    yield made
    for cli in made:
        stop_daemon(cli.home)


def schema_of(url: str) -> str:
    """Where in the server the place is."""
    return str(re.findall(r"search_path%3D(\w+)", url)[0])


def test_driven_at_one_followed_at_another_cancelled_at_a_third(machines: list[Cli], gate: Gate) -> None:
    one, other, third = machines
    id = one.out("drive", "--detach", "--name", "both", "--", *gate.command).strip()
    with other.started("watch", "--live", "both") as live, third.started("watch", "both") as stored:
        for process in (live, stored):
            assert read_exactly(process, len(FIRST)).decode() == FIRST
        gate.open()
        for process in (live, stored):
            assert read_exactly(process, 99).decode() == SECOND
            assert ended(process) == 0
    assert [cli.out("cat", id) for cli in machines] == [FIRST + SECOND] * 3
    running = one.out("drive", "--detach", "--", "sh", "-c", "echo begun; exec sleep 600").strip()
    with other.started("watch", "--live", running) as process:
        assert read_exactly(process, 6) == b"begun\n"
        assert b"has ended (cancelled)" in third.run("cancel", running).stderr
        assert ended(process) == 6
    assert other.out("ls", "-q").split() == [running, id]
    third.run("rm", running, id)
    assert one.out("ls", "-q") == ""


def test_any_daemon_drives_a_pending_stream_and_one_does(machines: list[Cli]) -> None:
    id = machines[0].out("create", "--name", "x").strip()
    results = [cli.run("drive", id, "--", "echo", "once", code=None) for cli in machines]
    assert [done.stdout for done in results] == [b"once\n"] * 3
    assert machines[1].out("show", "--json", id).count('"epoch"') == 1


def test_a_killed_daemons_stream_is_ended_from_another_machine(machines: list[Cli]) -> None:
    one, other, _ = machines
    id = one.out("drive", "--detach", "--", "sh", "-c", "printf 'Half a sen'; exec sleep 600").strip()
    until(lambda: other.out("cat", id) == "Half a sen")
    os.kill(int(one.out("daemon", "status").split()[1]), 9)
    done = other.run("watch", id, code=5)
    assert done.stdout == b"Half a sen"
    assert b"its owner died at byte 10" in done.stderr
    assert one.out("cat", id) == "Half a sen"


def test_a_home_has_its_own_streams_whatever_is_set(machines: list[Cli], folder: Path) -> None:
    machines[0].run("create")
    assert machines[0].out("--home", f"{folder}/own", "ls") == ""
    own = machines[0].out("--home", f"{folder}/own", "create").strip()
    path = machines[0].out("--home", f"{folder}/own", "path").strip()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT id FROM streams").fetchall() == [(own,)]
    database.close()


def test_a_daemon_with_other_streams_is_not_asked(machines: list[Cli]) -> None:
    cli = machines[0]
    cli.run("daemon", "start")
    cli.environment.pop("PTSTREAM_STORE")
    refused = cli.run("drive", "--", "echo", "x", code=4)
    assert b"PTSTREAM_STORE" in refused.stderr
    assert b"ptstream daemon stop" in refused.stderr
    assert refused.stdout == b""


def test_the_password_is_shown_nowhere(folder: Path, url: str) -> None:
    server, schema = postgres.shared(), schema_of(url)
    role, password = f"r{secrets.token_hex(6)}", secrets.token_hex(12)
    with server.admin() as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        admin.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}".encode())
    cli = Cli(Home(f"{folder}/home", server.tcp(role, password, options=f"-csearch_path={schema}")))
    id = cli.out("drive", "--detach", "--", "sleep", "600").strip()
    try:
        pid = cli.out("daemon", "status").split()[1]
        shown = [Path(f"/proc/{pid}/cmdline").read_text(), cli.out("daemon", "status", "--json"), cli.out("path")]
        cli.run("cancel", id)
        wrong = Cli(Home(f"{folder}/wrong", cli.home.store.replace(password, f"{password}x")))
        refused = wrong.run("ls", code=None)
        assert refused.returncode in (4, 69)
        assert refused.stderr.count(b"\n") == 1
        shown += [refused.stderr.decode(), repr(cli.home), Path(cli.home.log).read_text()]
        assert [text for text in shown if password in text] == []
    finally:
        stop_daemon(cli.home)
        with server.admin() as admin:
            admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def test_an_administrator_makes_the_tables(folder: Path, url: str) -> None:
    cli = Cli(Home(f"{folder}/home", url))
    sql = cli.out("store", "migrate", "--sql")
    with postgres.shared().admin() as administrator:
        administrator.execute(f"SET search_path = {schema_of(url)}".encode())
        administrator.execute(sql.encode())
    assert cli.out("store", "migrate", "--sql") == ""
    assert b"the tables are there: postgresql://" in cli.run("store", "migrate").stderr
    assert cli.out("ls") == ""
    here = Cli(Home(f"{folder}/here"))
    assert b"its user's alone" in here.run("store", "migrate", "--sql", code=2).stderr
    assert f"{here.home.database}\n".encode() in here.run("store", "migrate").stderr


def test_the_roles_of_the_manual(folder: Path, url: str) -> None:
    """A daemon's writes, and makes no tables; a reader's reads."""
    page = ROOT / "man" / "ptstream-scaling.7"
    grants = {snippet.name.removesuffix(".sql"): snippet.text for snippet in snippets(page)}
    grants = {name: sql for name, sql in grants.items() if "GRANT" in sql}
    assert set(grants) == {"daemons", "readers"}
    Cli(Home(f"{folder}/owner", url)).run("store", "migrate")
    server, schema = postgres.shared(), schema_of(url)
    password = secrets.token_hex(12)
    made = {}
    try:
        with server.admin() as admin:
            for name, sql in grants.items():
                role = f"{name}_{secrets.token_hex(6)}"
                admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
                admin.execute(sql.replace("streams", schema).replace(name, role).encode())
                at = server.tcp(role, password, options=f"-csearch_path={schema}")
                made[name] = role, Cli(Home(f"{folder}/{name}", at))
        daemons, readers = made["daemons"][1], made["readers"][1]
        id = daemons.out("create", "x").strip()
        assert daemons.run("drive", id, "--", "echo", "x").stdout == b"x\n"
        assert readers.out("cat", id) == "x\n"
        for refused in (readers.run("create", "y", code=4), readers.run("drive", "--", "echo", "y", code=None)):
            assert b"may not" in refused.stderr
        assert readers.out("ls", "-q").split() == [id]
    finally:
        with server.admin() as admin:
            for role, cli in made.values():
                stop_daemon(cli.home)
                admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:", "sqlite:"),
        ("postgresql:///app", "postgresql:///app"),
        ("postgresql://me:secret@db1,db2:5433/app", "postgresql://me@db1,db2:5433/app"),
        ("postgresql://me:se/cret@db/app", "postgresql://me@db/app"),
        ("postgresql://me:se?cret@db/app", "postgresql://"),
        ("postgresql://me:se@cret@db/app", "postgresql://me@db/app"),
        ("postgresql:///app?password=secret&host=/run/pg&sslpassword=secret", "postgresql:///app?host=/run/pg"),
        ("postgresql://db/app?options=-csearch_path%3Dx", "postgresql://db/app?options=-csearch_path%3Dx"),
        ("secret", "secret:"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.anyio
async def test_programs_share_what_a_url_names(url: str) -> None:
    """Asked at one, followed at another, cancelled at a third."""
    pause = anyio.Event()

    async def generate(_: object) -> AsyncIterator[str]:
        yield FIRST
        await pause.wait()
        yield SECOND

    async with ptstream.open(url) as one, ptstream.open(url) as other, ptstream.open(url) as third:
        id = await one.create("x")
        await one.start(id, generate)
        pieces = other.follow(id)
        assert (await anext(pieces)).text == FIRST
        await third.cancel(id)
        with pytest.raises(ptstream.StreamCancelled):
            await anext(pieces)
        assert (await one.stream(id)).status is Status.CANCELLED
        assert (await third.body(id)).text == FIRST


def _table(name: str) -> list[str]:
    """The lines of a display of the manual."""
    found = {snippet.name: snippet.text for snippet in snippets(ROOT / "man" / "ptstream-scaling.7")}
    return found[name].splitlines()


def test_what_the_manual_computes_follows_from_what_it_measured() -> None:
    from tests.bench.capacity import Costs, Load

    numbers = [float(re.findall(r"([\d.]+) (?:us|bytes)$", line)[0]) for line in _table("costs")]
    costs = Costs(*numbers)
    heading, *rows = _table("loads")
    assert heading.split() == ["running", "daemons", "followed", "cores"]
    for row in rows:
        running, daemons, followed, cores = map(float, row.split())
        assert cores == round(Load(running, daemons=daemons, followed=followed).cores(costs), 1), row
    day = Load(0, created=1_000_000 / 86_400)
    assert day.cores(costs) < 1 / 50
    assert round(1_000_000 / 86_400 * 10) == 116


def test_what_is_unique_beside_a_stream_s_id(folder: Path, url: str) -> None:
    """What stands against shards, as the manual has it: a unique key without the key of the shards."""
    sql = """
      SELECT c.relname || '.' || string_agg(a.attname, '+' ORDER BY a.attnum)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_attribute a
        ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
      WHERE i.indisunique AND c.relnamespace = to_regnamespace(%s) AND c.relname NOT IN ('meta', 'owners')
      GROUP BY i.indexrelid, c.relname
      HAVING NOT bool_or(a.attname = CASE c.relname WHEN 'streams' THEN 'id' ELSE 'stream' END)
    """
    Cli(Home(f"{folder}/home", url)).run("store", "migrate")
    with postgres.shared().admin() as admin:
        found = {name for (name,) in admin.execute(sql.encode(), (schema_of(url),)).fetchall()}
    assert found == {"streams.seq", "streams.name", "prompts.seq"}
    page = (ROOT / "man" / "ptstream-scaling.7").read_text()
    assert all(f".Li {name}" in page for name in found)
