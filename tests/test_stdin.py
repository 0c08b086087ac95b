"""Standard input as a prompt: what holds up a start and what does not, and what is said of what was read."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ID, LIMIT, PTSTREAM, Cli, Lines, ended, kept, read_exactly, told


@pytest.fixture
def replayed(folder: Path) -> str:
    """A model that says one line."""
    (folder / "text").write_text("Said.\n")
    return f"replay:{folder}/text?rate=0"


@pytest.fixture(params=["pipe", "socket"])
def silent(request: pytest.FixtureRequest) -> Iterator[int]:
    """Open, and nobody writes to it: from ssh without a terminal, cron, Node's spawn, an agent."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    yield reading
    os.close(reading)
    os.close(writing)


def test_one_that_is_silent_holds_up_no_start(served: Cli, silent: int, replayed: str) -> None:
    old = served.run("drive", "-m", replayed, "-p", "x").stderr.decode().split()[0]
    lines: Lines = (
        ("drive", "--", "echo", "Said."),
        ("drive", "-p", "hi", "--", "cat"),
        ("drive", "-m", replayed, "-p", "hi"),
        ("drive", "-m", replayed),
        ("drive", "-d", "--", "true"),
        ("drive", "--from", old),
        ("create", "hi"),
    )
    with ThreadPoolExecutor(len(lines)) as pool:
        answers = list(pool.map(lambda words: served.run(*words, stdin=silent), lines))
    for words, done in zip(lines, answers, strict=True):
        assert done.stdout, words
        assert b"standard input is open and silent: went on without it" in done.stderr, words
    assert ID.fullmatch(answers[0].stderr.decode().splitlines()[0])  # the id comes first all the same
    assert answers[1].stdout == b"hi"


def test_one_that_is_all_there_is_is_waited_for_aloud(served: Cli) -> None:
    """Nothing else says what to ask."""
    with served.started("create", stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"waiting for the end of standard input" in process.stderr.readline()
        assert process.stdin is not None
        process.stdin.write(b"at last")
        process.stdin.close()
        assert ended(process) == 0
        assert told(served, read_exactly(process, 99).decode().strip())["prompt"] == "at last"


def test_one_that_has_begun_is_read_to_its_end(served: Cli) -> None:
    with served.started("drive", "-p", "hi", "--", "cat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        os.write(process.stdin.fileno(), b"half of it, ")
        assert b"waiting for the end of standard input" in process.stderr.readline()
        process.stdin.write(b"and the rest")
        process.stdin.close()
        assert ended(process) == 0
        assert read_exactly(process, 99) == b"half of it, and the rest\n\nhi"
        assert b"24 bytes of standard input went before the prompt" in process.stderr.read()


def test_what_was_read_is_told(served: Cli, folder: Path, replayed: str) -> None:
    (folder / "file").write_text("from a file\n")
    for words, said in (
        (("drive", "-m", replayed, "-p", "hi"), "7 bytes of standard input went before the prompt"),
        (("create", "hi"), "7 bytes of standard input went before the prompt"),
        (("drive", "--", "cat"), "7 bytes of standard input went to the command"),
        (("drive", "-d", "--", "cat"), "7 bytes of standard input went to the command"),
        (("drive", "-m", replayed), "7 bytes of standard input were taken as the prompt"),
    ):
        assert said in served.run(*words, input="a pipe\n").stderr.decode().splitlines(), words
    assert served.run("create", input="a pipe\n").stderr == b""  # it is all there is
    for words in (("drive", "--", "cat"), ("create", "hi")):
        assert "standard input" not in served.run(*words, input="").stderr.decode()
    with (folder / "file").open() as file:
        assert b"12 bytes of standard input" in served.run("drive", "--", "cat", stdin=file).stderr


def test_a_loop_that_reads_lines_is_told_where_they_went(served: Cli) -> None:
    loop = 'printf "one\\ntwo\\nthree\\n" | while read word; do "$@" -p "Say $word" -- cat; done'
    done = subprocess.run(
        ["bash", "-c", loop, "bash", *PTSTREAM, "drive"], env=served.environment, capture_output=True, timeout=LIMIT
    )
    assert done.stdout == b"two\nthree\n\n\nSay one"
    id, *said = done.stderr.decode().splitlines()
    assert said == ["10 bytes of standard input went before the prompt"]
    assert kept(served, id) == done.stdout.decode()
