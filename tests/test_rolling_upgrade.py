"""Two versions of ptstream on one PostgreSQL, as real processes: side by side, and a migration among them.

A newer one is a copy of the package with another version, and perhaps with one migration.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptstream import __version__
from ptstream.engine.postgres import schema
from ptstream.settings import Home
from tests import postgres
from tests.conftest import LIMIT, ROOT, Cli, ended, read_exactly, stop_daemon, told, until
from tests.endpoint import PIECES, TEXT
from tests.test_versions import EDITS, NEWER, edit, of, one_line

BEGUN = "".join(PIECES[:3])

COLUMN = "mood text NOT NULL DEFAULT 'calm'"

ASKED = ("-m", "mine/goes-on", "-p", "Why?", "--on-drop", "continue", "--name", "it")


def copy(folder: Path, *, migrates: bool) -> None:
    """A newer ptstream in `folder`."""
    shutil.copytree(ROOT / "ptstream", folder / "ptstream", ignore=shutil.ignore_patterns("*.pyc.*"))
    edit(folder / "ptstream" / "__init__.py", *EDITS["__init__.py"])
    if migrates:
        text = folder / "ptstream" / "engine" / "postgres" / "schema.py"
        edit(text, f"VERSION = {schema.VERSION}\n", f"VERSION = {schema.VERSION + 1}\n")
        edit(text, "opening text\n", f"opening text, {COLUMN}\n")
        steps = {**schema.STEPS, schema.VERSION: (f"ALTER TABLE streams ADD COLUMN {COLUMN}",)}
        edit(text, "STEPS: dict[int, tuple[str, ...]] = {", f"STEPS: dict[int, tuple[str, ...]] = {steps!r} or {{")


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    """A folder with one that has the same tables, and one that has others."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        copy(Path(path, "same"), migrates=False)
        copy(Path(path, "other"), migrates=True)
        yield Path(path)


@pytest.fixture
def homes(folder: Path, endpoint: str) -> Iterator[list[Home]]:
    """Two machines."""
    with postgres.place() as url:
        made = [Home(f"{folder}/{name}", url) for name in ("old", "new")]
        for home in made:
            home.make()
            Path(home.config).write_text(f'[endpoints.mine]\nbase_url = "{endpoint}"\ncontinues = true\n')
        yield made
        for home in made:
            stop_daemon(home)


def versions(cli: Cli) -> list[str]:
    """Those of all daemons."""
    lines = cli.out("daemon", "status", "--all", "--json").splitlines()
    return [json.loads(line)["version"] for line in lines]


def test_an_older_and_a_newer_daemon_side_by_side(homes: list[Home], packages: Path) -> None:
    """One is replaced by the other, and what it drives goes on."""
    older, newer = Cli(homes[0]), of(packages / "same", homes[1])
    older.run("daemon", "start")
    newer.run("daemon", "start")
    until(lambda: versions(older) == versions(newer) == [__version__, NEWER])
    with older.started("drive", *ASKED) as driver:
        assert read_exactly(driver, len(BEGUN)).decode() == BEGUN
        with newer.started("watch", "--live", "it") as watcher:
            assert read_exactly(watcher, len(BEGUN)).decode() == BEGUN
            older.run("daemon", "stop")
            for process in (driver, watcher):
                assert process.communicate(timeout=LIMIT)[0].decode() == TEXT.removeprefix(BEGUN)
                assert ended(process) == 0
    assert versions(older) == [NEWER]
    assert older.out("cat", "it") == newer.out("cat", "it") == TEXT


def test_nothing_migrates_beneath_an_older_daemon(homes: list[Home], packages: Path) -> None:
    older, newer = Cli(homes[0]), of(packages / "other", homes[1])
    older.run("drive", "--detach", *ASKED)
    until(lambda: older.out("cat", "it") == BEGUN)
    pid = json.loads(older.out("daemon", "status", "--json"))["pid"]
    for line in (("ls",), ("daemon", "start"), ("store", "migrate")):
        said = one_line(newer.run(*line, code=4))
        assert f"daemon {__version__} on " in said
        assert f"pid {pid}" in said
        assert "end them, and try again" in said
    with older.started("watch", "--live", "it") as watcher:
        assert read_exactly(watcher, len(BEGUN)).decode() == BEGUN
        older.run("daemon", "stop")
        newer.run("daemon", "start")  # migrates, and takes what waits
        newer.run("wait", "it")
        assert newer.out("cat", "it") == TEXT
        rest, said = watcher.communicate(timeout=LIMIT)
        assert TEXT.removeprefix(BEGUN).startswith(rest.decode())
        assert (ended(watcher), b"migrated by a newer ptstream" in said) == (4, True)
    assert len(told(newer, "it")["attempts"]) == 2
    for line in (("ls",), ("create", "x"), ("daemon", "start")):
        assert "written by a newer ptstream" in one_line(older.run(*line, code=4))
