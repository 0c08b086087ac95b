"""`tee` hands on every byte, whatever becomes of keeping them, and never ends what stands before it in a pipe."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ptstream.engine.sqlite import schema
from tests.conftest import LIMIT, PTSTREAM, Cli, ended, kept, locked, read_exactly, sqlite_itself, told, until

BYTES = bytes(range(256)) * 40 + "Grüße, 世界 🙂\r\n\0end without a line feed \ufffd".encode() + b"\xe4\xb8"
"""Every byte there is, NUL included, and a character that is cut off."""


# --- what is passed on and what is kept


@pytest.mark.parametrize("data", [b"caf\xe9\n", b"a\0b", b"\xff\xfe\x00x", b"\r\n\r", BYTES], ids=range(5))
def test_bytes_pass_as_they_came_and_text_is_kept(cli: Cli, data: bytes) -> None:
    done = cli.run("tee", "--name", "t", input=data)
    assert done.stdout == data
    text = data.decode("utf-8", "replace")
    assert kept(cli, "t") == text
    said = done.stderr.decode().splitlines()[1:]
    count = text.count("\ufffd") - data.count("\ufffd".encode())
    assert said == ([f"{count} bytes that are not UTF-8 were passed on, and kept as U+FFFD"] if count else [])


def test_random_bytes_in_random_pieces(cli: Cli) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data = chance.randbytes(1_000_000)
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for size in iter(lambda: chance.choice((1, 3, 100, 4096, 70_000)), None):
            piece, data_left = data[:size], data[size:]
            if not piece:
                break
            os.write(process.stdin.fileno(), piece)
            assert read_exactly(process, len(piece)) == piece  # at once, whatever comes after it
            data = data_left
        process.stdin.close()
        assert ended(process) == 0
    assert told(cli, "t")["status"] == "done"


# --- what stands in the way of keeping


def name_taken(cli: Cli) -> dict[str, Any]:
    cli.run("create", "--name", "t", "a prompt")
    return {"code": 2}


def somebody_elses_database(cli: Cli) -> dict[str, Any]:
    os.makedirs(os.path.dirname(cli.home.database))
    with closing(sqlite3.connect(cli.home.database)) as other:
        other.execute("CREATE TABLE streams (mine TEXT)")
    return {"code": 4}


def no_database(cli: Cli) -> dict[str, Any]:
    os.makedirs(os.path.dirname(cli.home.database))
    Path(cli.home.database).write_bytes(b"this is no database, but long enough to look like one. " * 100)
    return {"code": 4}


def newer_database(cli: Cli) -> dict[str, Any]:
    cli.run("create", "x")
    with closing(sqlite3.connect(cli.home.database)) as other:
        other.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    return {"code": 4}


def broken_database(cli: Cli) -> dict[str, Any]:
    """Its second page holds the tables, and then garbage."""
    cli.run("create", "x")
    with closing(sqlite3.connect(cli.home.database)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(cli.home.database, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.path.getsize(cli.home.database) - 4096))
    return {"code": 4}


def odd_configuration(cli: Cli) -> dict[str, Any]:
    cli.home.make()
    Path(cli.home.config).write_text("nonsense")
    return {"code": 4}


def home_is_a_file(cli: Cli) -> dict[str, Any]:
    Path(cli.home.path).write_text("")
    return {"code": 4}


def another_users_home(cli: Cli) -> dict[str, Any]:
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    os.mkdir(cli.home.path)
    os.chown(cli.home.path, 65534, 65534)
    return {"code": 4}


def no_home(cli: Cli) -> dict[str, Any]:
    """HOME is no place, as it is no place for a user without an entry who has none."""
    for name in ("PTSTREAM_HOME", "XDG_DATA_HOME"):
        cli.environment.pop(name, None)
    return {"code": 4, "env": {"HOME": "nowhere"}}


def other_machine(cli: Cli) -> dict[str, Any]:
    return {"code": 2, "env": {"PTSTREAM_HOST": "ssh://box"}}


OBSTACLES = [
    *(name_taken, odd_configuration, home_is_a_file, another_users_home, no_home, other_machine),
    *(
        pytest.param(obstacle, marks=sqlite_itself)
        for obstacle in (somebody_elses_database, no_database, newer_database, broken_database)
    ),
]


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda each: each.__name__)
def test_whatever_stands_in_the_way_bytes_pass(cli: Cli, obstacle: Callable[[Cli], dict[str, Any]]) -> None:
    more = obstacle(cli)
    data = BYTES * 100  # more than a pipe holds: who writes it would be killed by an early exit
    done = cli.run("tee", "--name", "t", input=data, cwd="/", **more)
    assert done.stdout == data
    said = done.stderr.decode()
    assert "what comes is passed on, not kept" in said
    assert "Traceback" not in said
    assert sum("ptstream: " in line for line in said.splitlines()) == 1


@pytest.mark.parametrize("words", [("--name", "feature/x"), ("--name", ""), ("--ttl", "soon")], ids=lambda w: w[0])
def test_words_that_do_not_fit_stop_no_pipe(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli.run("tee", *words, input=BYTES, code=2)
    assert done.stdout == BYTES


def test_it_never_kills_what_stands_before_it(cli: Cli) -> None:
    """A taken name, and an output that is closed: what writes lives to its end."""
    cli.run("create", "--name", "t", "a prompt")
    line = 'set -o pipefail; (trap "" PIPE; seq 100000 && echo whole >&2) | "$@" | head -1'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *PTSTREAM, "tee", "--name", "t"],
        env=cli.environment,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.stdout == b"1\n"
    assert b"whole" in done.stderr
    assert done.returncode == 2


# --- a store that takes nothing for a while


@pytest.fixture
def teeing(cli: Cli) -> Iterator[subprocess.Popen[bytes]]:
    """`tee --name t` that has passed its first line on."""
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        give(process, b"first\n")
        yield process


def give(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write it to stdin, and read it from stdout."""
    assert process.stdin is not None
    for begin in range(0, len(data), 4096):
        piece = data[begin : begin + 4096]
        os.write(process.stdin.fileno(), piece)
        assert read_exactly(process, len(piece)) == piece


def finish(process: subprocess.Popen[bytes]) -> int:
    """Close its stdin; its exit code, its output having ended before."""
    assert process.stdin is not None
    process.stdin.close()
    assert read_exactly(process, 1) == b""
    return ended(process)


def test_a_locked_store_holds_up_no_pipe(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    text = b"a line of text\n" * 200_000  # more than waits for a store before a generator is paused
    with locked(cli.home):
        give(teeing, text)
    assert finish(teeing) == 0
    assert kept(cli, "t").encode() == b"first\n" + text


def test_keeping_is_given_up_when_too_much_waits(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    text = b"a line of text\n" * 500_000
    with locked(cli.home):
        give(teeing, text)
    give(teeing, b"and more")
    assert finish(teeing) == 5
    shown = told(cli, "t")
    assert shown["status"] == "error"
    begin = kept(cli, "t").encode()
    assert f"not kept from byte {len(begin)} on" in shown["error"]
    assert (b"first\n" + text).startswith(begin)
    # A tail of the home's own takes more, as long as its disk does.
    assert len(begin) >= (1024 * 1024 if cli.home.is_local else len(b"first\n"))


@pytest.mark.parametrize(
    "words", [("tee", "--nmae", "x"), ("tee", "--flush", "linse"), ("--hme", "x", "tee"), ("tee", "one", "two")]
)
def test_a_mistyped_option_ends_nothing_that_stands_before_it(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli.run(*words, input=BYTES * 50, code=2)
    assert done.stdout == BYTES * 50
    assert done.stderr


def test_a_full_disk_holds_up_no_pipe(small: Cli) -> None:
    cli, ballast = small, Path(os.path.dirname(small.home.path)) / "ballast"
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        give(process, b"first\n")
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        give(process, b"second\n" * 20_000)
        ballast.unlink()
        assert finish(process) == 0
    assert kept(cli, "t") == "first\n" + "second\n" * 20_000


def test_a_disk_that_stays_full_is_told(small: Cli) -> None:
    cli, ballast = small, Path(os.path.dirname(small.home.path)) / "ballast"
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        give(process, b"first\n")
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        give(process, b"second\n" * 20_000)
        assert finish(process) == 5
        assert process.stderr is not None
        said = process.stderr.read().decode()
    (_, line) = said.splitlines()
    assert "No space left" in line
    assert "owner died" not in line
    ballast.unlink()
    assert ("first\n" + "second\n" * 20_000).startswith(cli.out("cat", "t"))
    assert told(cli, "t")["status"] == "error"


# --- how it ends


def test_a_cancel_ends_it(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    cli.run("cancel", "t")
    assert ended(teeing) == 6
    assert kept(cli, "t") == "first\n"


def test_sigterm_ends_it_however_early(cli: Cli) -> None:
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        until(lambda: _handles(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        assert ended(process) in (5, 143)
    assert all(told(cli, id)["status"] == "error" for id in cli.out("ls", "-q").split())


def _handles(pid: int, number: int) -> bool:
    """Whether the process has a handler for that signal."""
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_sigterm_ends_it_with_nothing_kept(cli: Cli) -> None:
    cli.run("create", "--name", "t", "a prompt")
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        give(process, b"first\n")
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 2


def test_an_output_that_takes_nothing_for_a_while_is_read_ahead_of(cli: Cli) -> None:
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        data = b"a line\n" * 60_000  # more than a pipe holds
        process.stdin.write(data)
        process.stdin.flush()
        until(lambda: len(kept(cli, "t") or "") == len(data))
        process.stdin.close()
        assert read_exactly(process, len(data) + 1) == data
        assert ended(process) == 0
