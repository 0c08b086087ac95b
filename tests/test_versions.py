"""Two versions of ptstream on one home, as real processes: each says what to do, and no text is lost between them.

The newer one is a copy of the package with one migration, whose column it reads in every list of streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptstream import __version__
from ptstream.engine.sqlite import schema
from ptstream.settings import Home
from tests import postgres
from tests.conftest import (
    FIRST,
    LIMIT,
    ROOT,
    SECOND,
    Cli,
    Gate,
    Lines,
    detached,
    ended,
    gone,
    kept,
    read_exactly,
    remount,
    sqlite_itself,
    together,
    until,
)

NEWER = "99.0"

COLUMN = "mood TEXT NOT NULL DEFAULT 'calm'"

EDITS = {
    "__init__.py": (f'__version__ = "{__version__}"', f'__version__ = "{NEWER}"'),
    "engine/sqlite/schema.py": ("opening TEXT\n);", f"opening TEXT, {COLUMN}\n);"),
    "engine/rows.py": ('"id, name, title,', '"id, name, title || mood,'),
}
"""File of the package → what stands there, and what a newer version has instead."""

EVERY: Lines = (
    ("cat", "old"),
    ("watch", "old"),
    ("show", "old"),
    ("ls",),
    ("wait", "old"),
    ("create", "x"),
    ("drive", "-p", "x", "--", "true"),
    ("drive", "old"),
    ("rm", "old"),
    ("tee",),
    ("daemon", "start"),
)
"""What a version that cannot use the database refuses."""


def copy(folder: Path, step: str) -> Path:
    """A newer ptstream in `folder`, whose migration is `step`."""
    shutil.copytree(ROOT / "ptstream", folder / "ptstream", ignore=shutil.ignore_patterns("*.pyc.*"))
    for name, (before, after) in EDITS.items():
        edit(folder / "ptstream" / name, before, after)
    steps = {**schema.STEPS, schema.VERSION: (f"ALTER TABLE streams ADD COLUMN {COLUMN}", step)}
    text = folder / "ptstream" / "engine" / "sqlite" / "schema.py"
    edit(text, f"VERSION = {schema.VERSION}\n", f"VERSION = {schema.VERSION + 1}\n")
    edit(text, "STEPS: dict[int, tuple[str, ...]] = {", f"STEPS: dict[int, tuple[str, ...]] = {steps!r} or {{")
    return folder


def edit(path: Path, before: str, after: str) -> None:
    """Replace the one place where `before` stands."""
    text = path.read_text()
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, after))


def of(package: Path, home: Home) -> Cli:
    """The command of the ptstream that lies in the folder `package`."""
    cli = Cli(home)
    cli.environment["PYTHONPATH"] = str(package)
    return cli


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    """A folder with the newer ptstream, and one whose migration fails half-way."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        copy(Path(path, "newer"), "UPDATE streams SET mood = 'old'")
        copy(Path(path, "failing"), "UPDATE streams SET nosuch = 1")
        yield Path(path)


@pytest.fixture
def older(home: Home) -> Cli:
    """Today's command."""
    return Cli(home)


@pytest.fixture
def newer(home: Home, packages: Path) -> Cli:
    """Tomorrow's command, on the same home."""
    return of(packages / "newer", home)


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it says. It prints nothing, and needs no more than a line."""
    said = done.stderr.decode()
    assert done.stdout == b""
    assert "Traceback" not in said
    assert said.count("\n") == 1, said
    return said


def content(home: Home) -> list[str]:
    """All that the database holds, its version included."""
    with contextlib.closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)) as database:
        return [*database.iterdump(), str(database.execute("PRAGMA user_version").fetchone()[0])]


def status(cli: Cli) -> dict[str, Any]:
    """What the running daemon says of itself."""
    fields: dict[str, Any] = json.loads(cli.out("daemon", "status", "--json"))
    return fields


def test_every_version_has_a_step_to_the_next() -> None:
    assert sorted(schema.STEPS) == list(range(1, schema.VERSION))


@sqlite_itself
def test_a_migrated_database_is_what_a_new_one_is(older: Cli, newer: Cli, packages: Path, folder: Path) -> None:
    fresh = of(packages / "newer", Home(str(folder / "fresh")))
    older.run("create", "x")
    for cli, version in ((older, __version__), (newer, NEWER), (fresh, NEWER)):
        assert cli.out("--version").split()[-1] == version
    for cli in (newer, fresh):
        cli.run("create", "x")

    def tables(home: Home) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)) as database:
            things = database.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
            columns = [database.execute(f"PRAGMA table_xinfo({name})").fetchall() for _, name, _ in things]
            other = [text for text in database.iterdump() if re.match("CREATE (INDEX|TRIGGER|VIEW)", text)]
            return [things, columns, sorted(other), database.execute("PRAGMA user_version").fetchone()]

    assert tables(newer.home) == tables(fresh.home)


@sqlite_itself
def test_a_newer_command_replaces_an_older_idle_daemon(older: Cli, newer: Cli) -> None:
    older.run("drive", "--name", "old", "--title", "t", "--", "echo", "hi")
    before = status(older)
    assert before["version"] == __version__
    assert newer.out("drive", "--title", "t", "--", "echo", "ho") == "ho\n"
    assert status(newer)["version"] == NEWER
    until(lambda: gone(before["pid"]))
    assert newer.out("cat", "old") == "hi\n"
    titles = [json.loads(line)["title"] for line in newer.out("ls", "--json").splitlines()]
    assert titles == ["tcalm", "told"]


@sqlite_itself
@pytest.mark.parametrize("end", ["by itself", "daemon stop"])
def test_nothing_migrates_beneath_a_running_stream(older: Cli, newer: Cli, gate: Gate, end: str) -> None:
    id = detached(older, *gate.command, words=("--name", "old"))
    until(lambda: any(line.startswith('INSERT INTO "chunks"') for line in content(older.home)))
    before, pid = content(older.home), status(older)["pid"]
    for _, done in together(newer, EVERY, code=4):
        said = one_line(done)
        assert id in said or "running 1 stream," in said
        assert "ptstream daemon stop" in said
        assert "wait for" in said
    assert content(older.home) == before
    assert (status(older)["pid"], status(older)["running"]) == (pid, 1)
    if end == "by itself":
        with older.started("watch", "old") as watcher:
            gate.open()
            assert (read_exactly(watcher, 99).decode(), ended(watcher)) == (FIRST + SECOND, 0)
        assert newer.out("cat", "old") == FIRST + SECOND
        newer.run("wait", "old")
    else:
        newer.run("daemon", "stop")
        assert newer.out("cat", "old") == FIRST
        assert b"the daemon was stopped at byte 9" in newer.run("wait", "old", code=5).stderr
    assert newer.out("drive", "--", "echo", "hi") == "hi\n"


@sqlite_itself
def test_an_older_command_changes_nothing_in_a_newer_database(older: Cli, newer: Cli) -> None:
    older.run("tee", "--name", "old", input="text\n")
    newer.run("ls")
    before = content(newer.home)
    for _, done in together(older, EVERY, code=4):
        said = one_line(done)
        assert "written by a newer ptstream" in said
        assert "upgrade" in said
    assert content(newer.home) == before
    assert newer.out("cat", "old") == "text\n"


@sqlite_itself
def test_older_ones_that_run_while_it_is_migrated_say_so_and_end(older: Cli, newer: Cli, gate: Gate) -> None:
    pending = older.out("create", "x").strip()
    with older.started("daemon", "run") as daemon:
        until(lambda: os.path.exists(older.home.socket))
        with older.started("watch", pending) as watcher, older.started("wait", pending) as waiter:
            until(lambda: older.waits(watcher) and older.waits(waiter))
            driven = detached(older, *gate.command)
            assert driven in one_line(newer.run("create", "y", code=4))
            assert all(process.poll() is None for process in (daemon, watcher, waiter))
            gate.open()
            older.run("wait", driven)
            newer.run("create", "y")
            for process in (watcher, waiter, daemon):
                out, err = process.communicate(timeout=LIMIT)
                assert (out, process.returncode) == (b"", 4)
                assert "migrated by a newer ptstream" in err.decode().splitlines()[-1]
                assert b"Traceback" not in err
    assert not os.path.exists(older.home.socket)
    assert newer.out("cat", driven) == FIRST + SECOND
    assert newer.out("drive", pending, "--", "cat") == "x"


@sqlite_itself
def test_a_dead_owners_stream_does_not_stand_in_the_way(older: Cli, newer: Cli) -> None:
    text = b"whole line\nhalf"
    with older.started("tee", "--name", "old", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), text)
        assert read_exactly(process, len(text)) == text
        assert "still running" in one_line(newer.run("ls", code=4))
        process.kill()
        ended(process)
    assert newer.run("cat", "old").stdout == text
    assert f"its owner died at byte {len(text)}" in newer.run("watch", "old", code=5).stderr.decode()
    assert os.listdir(newer.home.tails) == os.listdir(newer.home.owners) == []


@sqlite_itself
def test_twenty_newer_first_commands_migrate_once(older: Cli, newer: Cli) -> None:
    """Beside an older idle daemon; a second migration would fail, as the column is there."""
    older.run("drive", "--name", "old", "--", "echo", "hi")
    before = status(older)["pid"]
    lines: Lines = (("drive", "--", "echo", "ho"), ("cat", "old"), ("ls", "-q"), ("create", "x"), ("watch", "old")) * 4
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(newer.started(*words)) for words in lines]
        for words, process in zip(lines, processes, strict=True):
            out, err = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, (words, err)
            if words[0] not in ("ls", "create"):
                assert out == (b"ho\n" if words[0] == "drive" else b"hi\n")
    assert content(newer.home)[-1] == str(schema.VERSION + 1)
    assert len(newer.out("ls", "-q").split()) == 1 + 4 + 4
    until(lambda: gone(before))
    assert status(newer)["version"] == NEWER
    assert Path(newer.home.log).read_text().count("listening on") == 2


@sqlite_itself
def test_a_migration_that_fails_changes_nothing(older: Cli, packages: Path) -> None:
    older.run("tee", "--name", "old", input="text\n")
    before = content(older.home)
    for _, done in together(of(packages / "failing", older.home), (("ls",), ("create", "x")), code=4):
        assert "could not be migrated" in one_line(done)
    assert content(older.home) == before
    assert older.out("cat", "old") == "text\n"


def test_a_read_only_home_of_an_older_one(small: Cli, packages: Path) -> None:
    small.run("tee", "--name", "old", input="text\n")
    newer = of(packages / "newer", small.home)
    remount(small.home, "ro")
    for _, done in together(newer, (("ls",), ("cat", "old"), ("watch", "old")), code=4):
        said = one_line(done)
        assert "of an older ptstream" in said
        assert "where it can be written" in said
    one_line(newer.run("create", "x", code=4))
    assert small.out("cat", "old") == "text\n"
    remount(small.home, "rw")
    assert newer.out("cat", "old") == "text\n"


@sqlite_itself
def test_a_stopped_owner_is_alive(older: Cli, newer: Cli, gate: Gate) -> None:
    id = detached(older, *gate.command)
    pid = status(older)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert id in one_line(newer.run("cat", id, code=4))
    finally:
        os.kill(pid, signal.SIGCONT)
    gate.open()
    older.run("wait", id)
    assert kept(older, id) == FIRST + SECOND


@sqlite_itself
def test_streams_of_the_version_before_have_no_options_and_take_them(older: Cli) -> None:
    made = older.out("create", "--name", "old", "x").strip()
    with contextlib.closing(sqlite3.connect(older.home.database)) as database:
        database.execute("ALTER TABLE streams DROP COLUMN options")
        database.execute("PRAGMA user_version=2")
    older.run("create", "-o", "seed", "7", "--name", "new", "x")
    shown = {json.loads(line)["name"]: json.loads(line)["options"] for line in older.out("ls", "--json").splitlines()}
    assert shown == {"old": None, "new": {"seed": 7}}
    assert content(older.home)[-1] == str(schema.VERSION)
    assert json.loads(older.out("show", "--json", made))["prompt"] == "x"


def test_on_a_server_as_well(folder: Path) -> None:
    with postgres.place() as url, postgres.shared().admin() as admin:
        cli = Cli(Home(str(folder / "home"), url))
        cli.run("create", "--name", "old", "x")
        (found,) = re.findall("search_path=([^&]+)", url.replace("%3D", "="))
        admin.execute(f"ALTER TABLE {found}.streams DROP COLUMN options")
        admin.execute(f"UPDATE {found}.meta SET version = 1")
        cli.run("create", "-o", "seed", "7", "--name", "new", "x")
        lines = [json.loads(line) for line in cli.out("ls", "--json").splitlines()]
        assert {line["name"]: line["options"] for line in lines} == {"old": None, "new": {"seed": 7}}
