"""What the README says is true: its two commands, its tour, its table of commands, its links; see test_snippets."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ptstream.cli.app import COMMANDS, load
from ptstream.settings import Home
from tests.conftest import ROOT, Cli, kept, needs, on_path, sqlite_itself
from tests.docs import README, blocks

TEXT = README.read_text("utf-8")

STORY = " ".join(f"The keeper lit lamp {number}." for number in range(400)) + "\n"


def test_it_is_short() -> None:
    assert TEXT.count("\n") <= 250


def test_the_first_two_blocks_are_a_line_each() -> None:
    first, second = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[:2]
    for language, block in (first, second):
        assert language == ""
        assert block.count("\n") == 1
        assert block.startswith("python3 -m venv .venv && ")
    assert "ptstream drive --prompt" in first[1]
    assert "pytest" in second[1]


def test_its_table_names_every_command_and_each_line_can_be_typed() -> None:
    named = set()
    for line in re.findall(r"^\| (`.*?`) \|", TEXT, re.M):
        for typed in re.findall(r"ptstream ([^`]+)", line):
            name, *words = shlex.split(typed.replace("…", "x").partition(" -- ")[0])
            named.add(name)
            command: Any = load(name)
            if not getattr(command, "commands", None):
                with command.make_context(name, ["bash"] if name == "completion" else words):
                    pass
    assert named == set(COMMANDS)


def test_its_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / target).is_file(), target


INSTALLED = str(Path(sys.executable).parent)


class Tour:
    """The lines that the README has one type, in their order, in a shell, which finds the command in `path`.

    What hangs up reaches the installed command alone: it is the first line's.
    """

    def __init__(self, cli: Cli, story: Path, path: str) -> None:
        self.cli = cli
        self.lines = iter(re.findall(r"^\$ (.*)", "".join(blocks("console")), re.M))
        self.path = INSTALLED
        self.others = path
        self.environment = cli.environment | {"PTSTREAM_MODEL": f"replay:{story}?rate=100"}

    def start(self, begins: str) -> subprocess.Popen[bytes]:
        """The next line, in a session of its own as on a terminal."""
        line = next(self.lines)
        assert line.startswith(begins), line
        path, self.path = self.path, self.others
        return subprocess.Popen(
            ["bash", "-c", line],
            env=self.environment | {"PATH": f"{path}:{self.cli.environment['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, begins: str) -> str:
        """The next line, run to its end; what it prints."""
        with self.start(begins) as process:
            out, err = process.communicate()
            assert process.returncode == 0, err
        return out.decode()


@sqlite_itself
@needs("awk")
@needs("sqlite3")
def test_its_tour_twice_in_a_row(home: Home, cli: Cli, folder: Path) -> None:
    story = folder / "story.txt"
    with on_path(folder) as forked:
        for path in (INSTALLED, forked):
            story.write_text(STORY)
            take(Tour(cli, story, path), story)


def take(tour: Tour, story: Path) -> None:
    with tour.start("ptstream drive -p") as driver:
        assert driver.stdout is not None
        shown = os.read(driver.stdout.fileno(), 10)
        os.killpg(driver.pid, signal.SIGHUP)  # the terminal is closed
        shown += driver.communicate()[0]
    assert "streaming" in tour.run("ptstream ls")
    with tour.start("ptstream watch @last") as watcher:
        assert watcher.stdout is not None
        watched = os.read(watcher.stdout.fileno(), 1)
        tour.run("kill -9 ")
        rest, said = watcher.communicate()
    watched += rest
    assert watcher.returncode == 5
    assert f"its owner died at byte {len(watched)}" in said.decode()
    assert watched.startswith(shown)
    assert STORY.encode().startswith(watched)
    assert int(tour.run("ptstream cat @last | wc -c")) == len(watched)
    whole = watched.decode() + " The end.\n"
    story.write_text(whole)  # what it would go on with takes long
    assert tour.run("ptstream drive --from @last") == whole
    assert kept(tour.cli, "@last") == whole
    assert list(tour.lines) == []
    tour.lines = iter(re.findall(r"`(sqlite3 [^`]*)`", TEXT))
    assert f"|done|{len(whole)}" in tour.run("sqlite3 ")
