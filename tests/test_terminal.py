"""What a person sees and does at a real terminal: leaving, cancelling, and text that must not take it over."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import signal
import termios
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from tests.conftest import (
    FIRST,
    LIMIT,
    PTSTREAM,
    SECOND,
    Cli,
    Gate,
    detached,
    ended,
    kept,
    read_exactly,
    started,
    together,
    told,
    until,
)
from tests.emulator import Emulator
from tests.endpoint import TEXT
from tests.terminal import Terminal

ROOT = Path(__file__).parent.parent


def terminal(cli: Cli, *words: str, columns: int = 80, **environment: str) -> Any:
    """The command in a terminal of its own."""
    return Terminal(words, cli.environment | environment, codec_errors="strict", dimensions=(24, columns))


class Shown:
    """The command as a terminal shows it that it does not control: no key is pressed there."""

    def __init__(self, cli: Cli, *words: str, columns: int = 80, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self._process = started(words, cli.environment | environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)

    def over(self) -> tuple[str, int]:
        """What it printed, and its exit code."""
        said = b""
        with contextlib.suppress(OSError):  # EIO: nobody else has the terminal open
            while data := os.read(self._ours, 65536):
                said += data
        os.close(self._ours)
        with self._process:
            return said.decode(), ended(self._process)


def screen_of(text: str, columns: int) -> list[str]:
    """The lines that a terminal shows for it."""
    screen = pyte.Screen(columns, 24)
    pyte.Stream(screen).feed(text)
    return [line.rstrip() for line in screen.display]


def over(child: Any) -> tuple[str, int]:
    """What it still printed, and its exit code."""
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before), child.exitstatus if child.exitstatus is not None else 128 + child.signalstatus


def driving(cli: Cli, gate: Gate, *words: str) -> tuple[Any, str]:
    """A drive in a terminal that has printed its first line, and its id."""
    child = terminal(cli, "drive", *words, "--", *gate.command, NO_COLOR="1")
    child.expect(r"([0-9a-z]{12})\r\n")
    assert child.before == ""
    id = str(child.match[1])
    child.expect_exact("one two.\r\n")
    return child, id


# --- leaving


def test_ctrl_c_detaches_and_says_how_to_go_on(served: Cli, gate: Gate) -> None:
    child, id = driving(served, gate)
    child.sendintr()
    said, code = over(child)
    assert code == 130
    lines = [line for line in said.replace("^C", "").splitlines() if line]
    assert len(lines) == 1
    assert f"ptstream watch {id}" in lines[0]
    assert f"ptstream cancel {id}" in lines[0]
    assert told(served, id)["status"] == "streaming"
    gate.open()
    served.run("wait", id)
    assert kept(served, id) == FIRST + SECOND


def test_ctrl_c_leaves_a_watch(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    for words in (("watch", id), ("watch", "--live", id), ("drive", id)):
        child = terminal(served, *words)
        child.expect_exact("one two.")
        child.sendintr()
        assert over(child)[1] == 130
    sessions, environment = served.session()
    child = Terminal(("wait", id), served.environment | environment)
    until(lambda: served.waits(child, sessions))
    child.sendintr()
    said, code = over(child)
    assert code == 130
    assert "Traceback" not in said
    assert told(served, id)["status"] == "streaming"


def test_ctrl_backslash_cancels(served: Cli, gate: Gate) -> None:
    child, id = driving(served, gate)
    child.sendcontrol("\\")
    said, code = over(child)
    assert code == 6
    assert "cancelled" in said
    assert told(served, id)["status"] == "cancelled"
    assert kept(served, id) == FIRST


def test_a_hang_up_detaches(served: Cli, gate: Gate) -> None:
    child, id = driving(served, gate)
    os.close(child.child_fd)  # the terminal is gone, and everybody in it gets SIGHUP
    child.closed = True
    assert child.wait() in (129, 141)
    assert told(served, id)["status"] == "streaming"
    gate.open()
    served.run("wait", id)
    assert kept(served, id) == FIRST + SECOND


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_detach(served: Cli, gate: Gate, number: int, code: int) -> None:
    child, id = driving(served, gate)
    os.kill(child.pid, number)
    said, status = over(child)
    assert status == code
    assert f"ptstream watch {id}" in said
    assert told(served, id)["status"] == "streaming"


def test_a_closed_pipe_detaches(served: Cli, gate: Gate) -> None:
    with served.started("drive", "--", *gate.command) as driver:
        assert read_exactly(driver, len(FIRST)) == FIRST.encode()
        assert driver.stdout is not None
        assert driver.stderr is not None
        with served.started("watch", "@last") as watcher:
            assert read_exactly(watcher, len(FIRST)) == FIRST.encode()
            assert watcher.stdout is not None
            for process in (driver, watcher):
                assert process.stdout is not None
                process.stdout.close()
            gate.open()
            assert ended(driver) == ended(watcher) == 141
        said = driver.stderr.read().decode().splitlines()
        assert len(said) == 1  # the id; that nobody reads any more is said to a terminal alone
    served.run("wait", said[0])
    assert kept(served, said[0]) == FIRST + SECOND


def test_a_closed_pipe_is_told_to_a_terminal(served: Cli, gate: Gate) -> None:
    script = 'set -o pipefail; "$@" | (head -1; exec <&-; echo closed)'
    child = pexpect.spawn(
        "bash",
        ["-c", script, "bash", *PTSTREAM, "drive", "--", *gate.command],
        env=served.environment | {"NO_COLOR": "1"},
        encoding="utf-8",
        timeout=LIMIT,
    )
    child.expect_exact("one two.\r\nclosed\r\n")
    gate.open()
    said, code = over(child)
    assert code == 141
    assert "ptstream watch" in said
    assert said.count("\n") == 1


def test_who_waits_is_told_for_what_and_how_it_went(served: Cli, gate: Gate, folder: Path) -> None:
    child = terminal(served, "drive", "--", "sh", "-c", f"read x < '{folder}/gate'; echo text", NO_COLOR="1")
    child.expect(r"([0-9a-z]{12})\r\n")
    id = child.match[1]
    child.expect(r"\rsh · [2-9] s · Ctrl-C detaches")
    gate.open()
    said, code = over(child)
    assert code == 0
    lines = [line for line in screen_of(said, 80) if line]
    assert lines[0] == "text"
    assert re.fullmatch(rf"done · 5 B · first after [2-9]\.\d s · [2-9]\.\d s in all · {id}", lines[1])
    done = served.run("drive", "--", "sh", "-c", "sleep 2.1; echo text")
    assert done.stderr.count(b"\n") == 1  # the id: never in a pipe


# --- a model's text, rendered while it comes

PARAGRAPH = "one **two three four five six seven eight nine ten eleven twelve**, and so on.\n"


class Rendering:
    """A drive of a model's answer in a terminal, one word of it at a time."""

    def __init__(self, cli: Cli, folder: Path, *, rate: int) -> None:
        (folder / "text").write_text(PARAGRAPH)
        words = ("drive", "-q", "-m", f"replay:{folder}/text?rate={rate}", "-p", "x")
        self.child = terminal(cli, *words, columns=30, TERM="xterm-256color")
        self.screen = Emulator(30, 24)

    def until(self, text: str) -> None:
        """Waits for it to be on the screen."""
        while not any(text in row for row in self.screen.rows):
            self.screen.feed_raw(self.child.read_nonblocking(4096, LIMIT))

    def over(self) -> tuple[list[str], int]:
        """The rows of the text, and the exit code."""
        said, code = over(self.child)
        self.screen.feed_raw(said)
        rows = self.screen.rows
        begin = next(number for number, row in enumerate(rows) if row.startswith("one"))
        return rows[begin:], code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_leaves_keeps_what_was_shown(served: Cli, folder: Path, number: int) -> None:
    asked = Rendering(served, folder, rate=4)
    asked.until("three")
    os.kill(asked.child.pid, number)
    rows, code = asked.over()
    assert code == 128 + number
    assert rows[0].startswith("one **two three")
    assert [row for row in rows if "goes on" in row]
    served.run("cancel", "@last")


def test_keys_while_text_comes_move_nothing(served: Cli, folder: Path) -> None:
    asked = Rendering(served, folder, rate=8)
    for word in ("two", "four"):
        asked.until(word)
        asked.child.send("pasted\n\nlines\n")
    rows, code = asked.over()
    assert code == 0
    assert rows == ["one two three four five six", "seven eight nine ten eleven", "twelve, and so on."]


def test_stopped_and_continued_no_word_is_missing_or_there_twice(served: Cli, folder: Path) -> None:
    (folder / "text").write_text(PARAGRAPH * 3)
    shell = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        env=served.environment | {"TERM": "xterm-256color", "PS1": "$ "},
        encoding="utf-8",
        timeout=LIMIT,
        dimensions=(24, 60),
    )
    screen = Emulator(60, 24)

    def see(text: str) -> None:
        while not any(text in row for row in screen.rows):
            screen.feed_raw(shell.read_nonblocking(4096, LIMIT))

    shell.sendline(shlex.join([*PTSTREAM, "drive", "-m", f"replay:{folder}/text?rate=20", "-p", "x"]))
    see("five")
    shell.sendcontrol("z")
    see("Stopped")
    shell.sendline("fg; echo en''d")
    see("end")
    shown = " ".join(screen.rows)
    assert shown.count("three") == shown.count("eleven") == shown.count("so on.") == 3, "\n".join(screen.rows)
    shell.sendline("stty -a; exit")
    see("exit")
    assert " echo " in " ".join(screen.rows)
    shell.close()


# --- what is shown


HOSTILE = (
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\x1bPq#0\x1b\\\x9b1m\x1b]52;c;Zm9v\x07 plain \u202eevil\u202c\b\b end\n"
)


def test_control_sequences_do_not_reach_a_terminal(served: Cli, folder: Path) -> None:
    (folder / "text").write_text(HOSTILE)
    served.run("drive", "--name", "hostile", "--title", HOSTILE, "--", "cat", str(folder / "text"))
    failing = ("sh", "-c", f"cat '{folder}/text' >&2; exit 1")
    served.run("drive", "--name", "failing", "--", *failing, code=5)
    lines: tuple[tuple[str, ...], ...] = (
        ("cat", "hostile"),
        ("watch", "hostile"),
        ("drive", "hostile"),
        ("ls", "-n", "9"),
        ("show", "hostile"),
        ("show", "failing"),
        ("wait", "failing"),
        ("watch", "failing"),
        ("ls", "--json"),
        ("show", "--json", "hostile"),
        ("drive", "--", *failing),
    )
    # All of them run at the same time; each waits for its reader.
    for words, child in [(words, Shown(served, *words, NO_COLOR="1")) for words in lines]:
        shown, _ = child.over()
        unwanted = {char for char in shown if not (char.isprintable() or char in "\r\n\t")}
        assert not unwanted, (words, shown)
        assert "plain" in shown, words
    raw, _ = Shown(served, "cat", "--raw", "hostile").over()
    assert "\x1b]0;title\x07" in raw
    assert served.run("cat", "hostile").stdout == HOSTILE.encode()


def test_names_do_not_either(served: Cli) -> None:
    served.run("create", "--name", "a\u202eb", "x", code=None)
    shown, _ = Shown(served, "ls", NO_COLOR="1").over()
    assert "\u202e" not in shown
    shown, code = Shown(served, "cat", "\x1b[31mx\u202e", NO_COLOR="1").over()
    assert code in (2, 3)
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_terminal_gets_a_last_newline(served: Cli) -> None:
    done = served.run("drive", "--name", "open", "--", "printf", "no newline")
    assert done.stdout == b"no newline"
    lines = (("cat", "open"), ("watch", "open"), ("drive", "open"), ("path",))
    for child in [Shown(served, *words, NO_COLOR="1") for words in lines]:
        shown, code = child.over()
        assert code == 0
        assert shown.endswith("\r\n")
        assert not shown.endswith("\r\n\r\n")
    for _, done in together(served, (("cat", "open"), ("watch", "open"), ("drive", "open"))):
        assert done.stdout == b"no newline"


def test_reasoning_is_dim_and_beside_the_text(served: Cli, endpoint: str, folder: Path) -> None:
    line = '"$@" > out'
    words = ("drive", "-p", "why", "-m", "reasoning")
    child = pexpect.spawn(
        "bash",
        ["-c", line, "bash", *PTSTREAM, "--color", "always", *words],
        env=served.environment | {"OPENAI_BASE_URL": endpoint},
        encoding="utf-8",
        timeout=LIMIT,
        cwd=str(folder),
    )
    said, code = over(child)
    assert code == 0
    assert (folder / "out").read_text() == TEXT
    assert "\x1b[2mLet me think. Rain.\x1b[0m" in said.replace("\x1b[0m\x1b[2mRain", "Rain")
    host = endpoint.removeprefix("http://").removesuffix("/v1")
    assert f"model reasoning at {host}" in said
    assert said.index("model reasoning at") < said.index("Let me think")


def test_who_is_asked_stands_before_the_first_byte(served: Cli, endpoint: str) -> None:
    words = ("drive", "-q", "-p", "why", "-m", "ok")
    shown, code = Shown(served, *words, NO_COLOR="1", OPENAI_BASE_URL=endpoint).over()
    assert code == 0
    host = endpoint.removeprefix("http://").removesuffix("/v1")
    assert [line for line in shown.splitlines() if line][1:] == [f"model ok at {host}", TEXT]


def test_colour_only_where_it_is_wanted(served: Cli) -> None:
    served.run("create", "--name", "coloured", "x")
    assert "\x1b" not in Shown(served, "ls", NO_COLOR="1").over()[0]
    assert "\x1b" not in Shown(served, "cat", "nosuch", TERM="dumb").over()[0]
    assert "\x1b" not in Shown(served, "--color", "never", "ls").over()[0]
    assert "\x1b" in Shown(served, "ls").over()[0]
    assert "\x1b" not in served.out("ls")


@pytest.mark.parametrize("columns", [80, 40])
def test_ls_fits(cli: Cli, columns: int) -> None:
    titles = ("a title that is far too long for any terminal " * 3, "世界" * 60, "é" * 100, "short", "👩‍👩‍👧" * 40)
    ids = [cli.out("create", "--name", f"name-{n}", title).strip() for n, title in enumerate(titles)]
    shown, code = Shown(cli, "ls", columns=columns, NO_COLOR="1").over()
    assert code == 0
    lines = [line for line in screen_of(shown, columns) if line]
    assert lines[0].startswith("ID")
    assert [line.split()[0] for line in lines[1:]] == ids[::-1]
    assert all(line.split()[1] == "pending" for line in lines[1:])
