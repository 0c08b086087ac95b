"""`cat` that renders, and that goes on where it ended; and a command's colours beside other streams."""

from __future__ import annotations

import re
from pathlib import Path

import pexpect

from tests.conftest import Cli, Gate, detached, until
from tests.terminal import Terminal

SOURCE = "# A heading\n\n- an *item*\n\n|a|b|\n|-|-|\n|c|d|\n"

ROWS = "A heading\n\n • an item\n\na  b\n────\nc  d\n"

COLOURS = re.compile(r"\x1b\[[\d;]*m")


def shown(cli: Cli, *words: str, **environment: str) -> str:
    """What a terminal is sent."""
    child = Terminal(words, cli.environment | environment)
    child.expect(pexpect.EOF)
    return (child.before or "").replace("\r\n", "\n")


def test_markdown_is_rendered_wherever_it_came_from(served: Cli) -> None:
    served.run("tee", "--name", "notes", input=SOURCE)
    assert served.out("cat", "--render", "notes") == ROWS
    coloured = shown(served, "cat", "--render", "notes")
    assert COLOURS.sub("", coloured) == ROWS
    assert served.out("--color", "always", "cat", "--render", "notes") == coloured != ROWS
    assert shown(served, "cat", "--render", "notes", NO_COLOR="1") == ROWS
    assert shown(served, "cat", "notes") == SOURCE
    assert served.out("cat", "--render", "notes", "notes") == ROWS * 2
    assert served.out("cat", "--render", "--thread", "notes").startswith(ROWS)
    assert b"give one of them" in served.run("cat", "--render", "--raw", "notes", code=2).stderr


def test_cat_goes_on_where_it_ended(served: Cli, gate: Gate, folder: Path) -> None:
    id, line = detached(served, *gate.command), ("cat", "--cursor-file", f"{folder}/cursors")
    assert served.out(*line, id) == "one two.\n"
    assert served.out(*line, id) == ""
    with (folder / "log").open("wb") as log:
        gate.open()
        served.run("wait", id)
        served.run(*line, id, stdout=log)
    assert (folder / "log").read_text() == "three four.\n"
    other = served.run("tee", input="other\n").stderr.decode().split()[0]
    assert served.out(*line, id, other) == "other\n"
    # The file is the same for `watch`.
    assert served.out("watch", "--cursor-file", f"{folder}/cursors", other) == ""
    assert b"no other beginning" in served.run(*line, "--thread", id, code=2).stderr


def test_cat_that_was_killed_before_it_noted_what_it_wrote_to_a_file_says_it_once(served: Cli, folder: Path) -> None:
    id = served.run("tee", input="x" * 100_000 + "\n").stderr.decode().split()[0]
    line, out = ("cat", "--cursor-file", f"{folder}/cursors", id), folder / "out"
    for _ in range(20):
        with out.open("ab") as file, served.started(*line, stdout=file) as process:
            until(lambda: out.stat().st_size or process.poll() is not None)
            process.kill()
    with out.open("ab") as file:
        served.run(*line, stdout=file)
    assert out.read_text() == "x" * 100_000 + "\n"


def test_a_commands_colours_are_seen_beside_others_and_go_on_in_its_next_line(served: Cli) -> None:
    program = r"printf '\033[31mred\nstill\033[0m\nplain \033[2J\033]0;t\007end\n\033[32m1%%\r2%%\n'"
    served.run("drive", "--name", "colours", "--", "sh", "-c", program)
    served.run("drive", "--name", "other", "--", "echo", "other")
    lines = shown(served, "watch", "colours", "other").splitlines()
    said = [line.partition(" | \x1b[0m")[2] for line in lines if "colours" in line]
    assert said == [
        "\x1b[31mred\x1b[0m",
        "\x1b[31mstill\x1b[0m\x1b[0m",
        "plain end",
        "\x1b[32m2%\x1b[0m",
    ]
    without = shown(served, "watch", "colours", "other", NO_COLOR="1")
    assert sorted(without.splitlines()) == [
        "colours | 2%",
        "colours | plain end",
        "colours | red",
        "colours | still",
        "other   | other",
    ]
