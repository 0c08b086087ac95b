"""Completion in real shells: whatever a stream is called, TAB and Enter name that stream, and run nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptstream.cli import app, complete
from ptstream.cli.grammar import WORDS
from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status
from tests.conftest import LIMIT, PTSTREAM, Cli, Gate, detached, needs, sqlite_itself, until
from tests.docs import grammar

HOSTILE = [
    "n0$(touch${IFS}$RAN)",
    "n1`touch${IFS}$RAN`",
    "n2;touch${IFS}$RAN;#",
    "n3'\"$(touch${IFS}$RAN)",
    "n4&touch|touch<x>y",
    "n5{a,b}[c]*?~^=%,(d)",
    "n6!!$RAN",
    "n7\\$(touch${IFS}$RAN)\\",
    "n8:$(touch${IFS}$RAN):z",
    "n9$'x'=~…é",
]
"""Each could be given by an older ptstream."""

UNSEEN = [
    "u0\u202eb",
    "u1\u200bb",
    "u2\u00adb",
    "u3\x1b[2J",
    "u4\nb",
    "u5\u3164",
    "u6 b",
    "u7\tb",
    "-f",
    "@last;x",
    "u8/x",
]
"""None of these can be typed as it looks."""

PLAIN = ["build", "builds:of.mine", "größe", "сборка", "می\u200cخواهم", "हिन्दी", "ไทยที่นี่", "日本語"]


def plant(home: Home, names: list[str]) -> None:
    """Streams of these names, as no program makes them any more."""
    with Store(home) as store:
        ids: list[str] = []
        while len(ids) < len(names):
            id = store.create().id
            if id[0] in {name[0] for name in names}:  # it would be another one that begins as they do
                store.delete(id)
            else:
                ids.append(id)
    connection = sqlite3.connect(home.database)
    with connection:
        connection.executemany("UPDATE streams SET name = ? WHERE id = ?", zip(names, ids, strict=True))
    connection.close()


class Line:
    """A shell on a terminal, with its completion; the `ptstream` that it runs only notes what it was told."""

    def __init__(self, shell: str, cli: Cli, folder: Path) -> None:
        self.told = folder / "told"
        self.ran = folder / "ran"
        self.completed = folder / "completed"
        python = shlex.join(PTSTREAM)
        command = folder / "bin" / "ptstream"
        command.parent.mkdir()
        command.write_text(
            f'#!/bin/sh\ncase $1 in completion) exec {python} "$@" ;;\n'
            f"__complete) {python} \"$@\"; : > '{self.completed}'; exit ;; esac\n"
            f"printf '%s\\0' \"$@\" > '{self.told}.new' && mv '{self.told}.new' '{self.told}'\n"
        )
        command.chmod(0o755)
        environment = cli.environment | {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "RAN": str(self.ran),
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "HISTFILE": "",
            "INPUTRC": os.devnull,
            "PS1": "> ",
        }
        words, setup = {
            "bash": (["--norc", "--noprofile", "-i"], "source <(ptstream completion bash)"),
            "zsh": (["-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(ptstream completion zsh)"),
            "fish": (["--no-config", "--interactive"], "ptstream completion fish | source"),
        }[shell]
        self.spawned = pexpect.spawn(
            shell, words, env=environment, encoding="utf-8", timeout=LIMIT, dimensions=(24, 200), cwd=folder
        )
        self.spawned.delaybeforesend = None
        self.spawned.sendline(f"{setup}; echo rea''dy")
        self.spawned.expect("ready\r\n")

    def entered(self, typed: str) -> list[str]:
        """What the command is told when this was typed, and Enter once all of it was completed."""
        for part in re.split(r"(?<=\t)", typed):
            self.spawned.send(part)
            if part.endswith("\t"):
                until(lambda: self._made(self.completed))
                self.completed.unlink()
                until(self._waits_for_a_key)
        self.spawned.send("\r")
        until(lambda: self._made(self.told))
        words = self.told.read_bytes().decode().split("\0")[:-1]
        self.told.unlink()
        return words

    def _waits_for_a_key(self) -> bool:
        """Whether the shell has put on its line what it was told: it runs nothing, and none of its threads works."""
        self._made(self.told)
        tasks = list(Path(f"/proc/{self.spawned.pid}/task").iterdir())
        try:
            asleep = [(task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks]
            return all(asleep) and not any((task / "children").read_text() for task in tasks)
        except (FileNotFoundError, ProcessLookupError):  # one has ended just now
            return False

    def _made(self, path: Path) -> bool:
        """Whether the file is there; what the shell draws is taken, so that it never waits for that."""
        with contextlib.suppress(pexpect.TIMEOUT):
            self.spawned.read_nonblocking(65536, timeout=0)
        return path.exists()


@pytest.fixture
def line(request: pytest.FixtureRequest, cli: Cli, folder: Path) -> Iterator[Line]:
    """A shell of the test's own."""
    made = Line(request.param, cli, folder)
    yield made
    made.spawned.close(force=True)


SHELLS = [pytest.param(shell, marks=needs(shell)) for shell in complete.SHELLS]


@sqlite_itself
@pytest.mark.parametrize("line", SHELLS, indirect=True)
def test_no_name_is_a_command(line: Line, cli: Cli) -> None:
    plant(cli.home, HOSTILE)
    for number, name in enumerate(HOSTILE):
        # On a busy machine, fish and zsh may take Enter before they have put the word there: it is typed again.
        tries = (line.entered(f"ptstream cat n{number}\t") for _ in range(5))
        assert next((words for words in tries if words != ["cat", f"n{number}"]), None) == ["cat", name]
    assert not line.ran.exists()


@sqlite_itself
@pytest.mark.parametrize("line", SHELLS, indirect=True)
def test_every_name_that_can_be_given_is_completed(line: Line, cli: Cli) -> None:
    with Store(cli.home) as store:
        ids = [store.create(name=name).id for name in PLAIN]
    for name in PLAIN[1:]:
        assert line.entered(f"ptstream cat {name[:-1]}\t") == ["cat", name]
    assert line.entered("ptstream cat @l\t") == ["cat", "@last"]
    assert line.entered(f"ptstream rm build {ids[0][:8]}\t") == ["rm", "build", ids[0]]
    assert line.entered("ptstream daemon sto\t") == ["daemon", "stop"]
    assert line.entered("ptstream cat --wa\tbuild\t") == ["cat", "--wait", "build"]
    assert line.entered("ptstream --color nev\tls --status canc\t") == [
        "--color",
        "never",
        "ls",
        "--status",
        "cancelled",
    ]
    (Path(cli.home.path) / "answer.md").touch()
    assert line.entered(f"ptstream copy --to {cli.home.path}/ans\t") == ["copy", "--to", f"{cli.home.path}/answer.md"]


@sqlite_itself
@pytest.mark.parametrize("line", [pytest.param("bash", marks=needs("bash"))], indirect=True)
def test_bash_goes_on_where_its_user_has_begun(line: Line, cli: Cli) -> None:
    plant(cli.home, [*HOSTILE, "builds:of.mine"])
    for typed, name in (
        ("builds:of\t", "builds:of.mine"),
        ("builds:\t", "builds:of.mine"),
        ("'builds:o\t", "builds:of.mine"),
        ('"bui\t', "builds:of.mine"),
        ("n0\\$\\(\t", HOSTILE[0]),
        ("n8:\\$\t", HOSTILE[8]),
        ("n2\\;\t", HOSTILE[2]),
    ):
        assert line.entered(f"X=1 true; X=1 ptstream cat {typed}") == ["cat", name]
    for typed in ("'n0", '"n1', "n0$RAN", "n1$(", "n1`"):  # nothing is put there
        line.spawned.send(f"ptstream cat {typed}\t\x15")
    assert line.entered("ptstream cat build\t") == ["cat", "builds:of.mine"]
    assert not line.ran.exists()


@sqlite_itself
@pytest.mark.parametrize("line", [pytest.param("zsh", marks=needs("zsh"))], indirect=True)
def test_zsh_finds_the_script_as_a_file(line: Line, cli: Cli, folder: Path) -> None:
    plant(cli.home, HOSTILE)
    (folder / "functions").mkdir()
    (folder / "functions" / "_ptstream").write_text(complete.SCRIPTS["zsh"])
    line.spawned.sendline("exec zsh -f -i")
    line.spawned.sendline(f"fpath=({folder}/functions $fpath); autoload -Uz compinit; compinit -u -D; echo a''gain")
    line.spawned.expect("again\r\n")
    assert line.entered("ptstream cat n0\t") == ["cat", HOSTILE[0]]
    assert not line.ran.exists()


@sqlite_itself
def test_a_script_that_does_not_quote_is_offered_no_such_name(cli: Cli) -> None:
    """As one has that was saved years ago."""
    plant(cli.home, [*HOSTILE, *UNSEEN, *PLAIN])
    offered = {line.partition("\t")[0] for line in cli.out("__complete", "cat", "").splitlines()}
    assert {word for word in offered if len(word) != 12} == {*PLAIN, "@last"}


@sqlite_itself
def test_what_cannot_be_typed_is_offered_by_its_id(cli: Cli) -> None:
    plant(cli.home, UNSEEN)
    lines = cli.out("__complete", complete.QUOTING, "cat", "").splitlines()
    assert len(lines) == 1 + len(UNSEEN)
    assert all(len(line.partition("\t")[0]) == 12 for line in lines[1:])


@needs("bash")
@example(["\\", "a\\"])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_what_bash_is_given_is_that_word_to_it(words: list[str]) -> None:
    quoted = [complete._quoted(word) for word in words if word and "\n" not in word]
    script = "".join(f"printf '%s\\0' {word}\n" for word in quoted)
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [word for word in words if word and "\n" not in word]
    assert [complete._unquoted(word) for word in quoted] == [word for word in words if word and "\n" not in word]


@pytest.mark.parametrize("shell", [shell for shell in complete.SHELLS if shutil.which(shell)])
def test_the_scripts_parse(shell: str) -> None:
    done = subprocess.run([*PTSTREAM, "completion", shell], capture_output=True, check=True)
    assert subprocess.run([shell, "-n"], input=done.stdout, capture_output=True).stderr == b""


def test_completion_knows_every_word_of_every_command() -> None:
    """`python -m tests.docs` writes what it knows."""
    assert grammar() == WORDS
    assert list(dict.fromkeys(name.split()[0] for name in WORDS if name)) == list(app.COMMANDS)


def offered(cli: Cli, *words: str) -> list[str]:
    """What may stand in the place of the last word."""
    return [line.partition("\t")[0] for line in cli.out("__complete", *words).splitlines()]


@sqlite_itself
def test_each_word_where_it_belongs(cli: Cli, gate: Gate) -> None:
    cli.home.make()
    endpoint = '[endpoints.mine]\nbase_url = "http://[::1]:1"\nmodel = "big"\n'
    Path(cli.home.config).write_text(f'model = "mine/big"\n{endpoint}')
    with Store(cli.home) as store:
        pending = store.create(GenerationRequest("x", model="mine/small")).id
        done = cli.out("drive", "-d", "--", "true").strip()
        cli.run("wait", done)
        running = detached(cli, *gate.command)
        assert offered(cli, "cat", "") == ["@last", running, done, pending]
        assert offered(cli, "--home", cli.home.path, "logs", "") == ["@last", running, done, pending]
        assert offered(cli, "cancel", "") == offered(cli, "stop", "-q", "") == [running, pending]
        assert offered(cli, "drive", "--from", "") == ["@last", running, done, pending]
        assert offered(cli, "drive", done, "") == offered(cli, "drive", "--", "") == offered(cli, "nosuch", "") == []
        assert offered(cli, "rm", done, "") == ["@last", running, done, pending]
        assert offered(cli, "drive", "-m", "") == ["mine/small", "mine/big"]
        assert offered(cli, "create", "--model=mine/s") == ["--model=mine/small"]
        assert offered(cli, "ls", "--status", "") == ["running", *(status.value for status in Status)]
        assert offered(cli, "rm", "--status", "") == [status.value for status in Status]
        assert offered(cli, "ls", "--status=c") == ["--status=cancelled"]
        assert offered(cli, "daemon", "status", "-") == ["--all", "--json", "-h", "--help"]
        assert offered(cli, "wait", "--timeout", "") == []
        assert "temperature" in offered(cli, "drive", "-o", "")
        assert offered(cli, "drive", "-o", "seed", "") == []
        assert offered(cli, "drive", "-o", "seed", "-1", "--ag") == ["--again"]
        assert offered(cli, "wait", "--timeout", "5", "--t") == []
        assert offered(cli, "--color", "") == ["auto", "always", "never"]
        assert {"--prompt", "-p", "--json"} < {*offered(cli, "drive", "-")}
        assert offered(cli, "completion", "") == list(complete.SHELLS)


def test_completion_never_complains(cli: Cli) -> None:
    for words in (("",), ("cat", ""), ("nosuch", ""), ("drive", "--", "x", ""), ("--home", "x", "c"), ("--bash",)):
        assert cli.run("__complete", *words).stderr == b""
    assert cli.run("__complete", "--bash", "ptstream cat ", "").stderr == b""
    os.makedirs(os.path.dirname(cli.home.database))
    Path(cli.home.database).write_text("not a database at all, but long enough to be looked at " * 20)
    assert cli.run("__complete", "cat", "").stderr == b""
