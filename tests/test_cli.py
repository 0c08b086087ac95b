"""Every command as its user has it: exit codes, what goes to stdout and what to stderr, and what its words do."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ptstream.cli import app, entry
from ptstream.cli.grammar import WORDS
from ptstream.engine.sqlite.wakeups import SLOW_LOOK
from tests.conftest import (
    FIRST,
    ID,
    LIMIT,
    PTSTREAM,
    SECOND,
    Cli,
    Gate,
    Lines,
    detached,
    ended,
    gone,
    kept,
    needs,
    read_exactly,
    sqlite_itself,
    together,
    told,
    until,
)
from tests.terminal import Terminal

# --- create


def test_create_prints_the_id_alone(cli: Cli) -> None:
    done = cli.run("create", "Why is the sky blue?")
    assert ID.fullmatch(done.stdout.decode().strip())
    assert done.stdout.endswith(b"\n")
    assert done.stderr == b""
    assert not os.path.exists(cli.home.socket)
    assert told(cli, done.stdout.decode().strip())["prompt"] == "Why is the sky blue?"


def test_create_json_and_words(served: Cli, folder: Path) -> None:
    (folder / "system.txt").write_text("Be brief.")
    words = ("--model", "replay:x", "--title", "A title", "--name", "worded", "--system", f"@{folder}/system.txt")
    fields = json.loads(served.out("create", "--json", *words, "hello"))
    assert ID.fullmatch(fields["id"])
    assert (fields["name"], fields["title"], fields["status"]) == ("worded", "A title", "pending")
    shown = told(served, "worded")
    assert (shown["prompt"], shown["system"], shown["model"]) == ("hello", "Be brief.", "replay:x")


def test_a_name_is_one_stream(served: Cli) -> None:
    id = served.out("create", "--name", "unique", "same words")
    assert served.out("create", "--name", "unique", "same words") == id
    done = served.run("create", "--name", "unique", "other words", code=2)
    assert done.stdout == b""
    assert id.strip() in done.stderr.decode()
    bad = ("with space", "with/slash", "with@", "", "with\nnewline", "\x1b[31m", "$(id)")
    for _, refusal in together(served, tuple(("create", "--name", name, "x") for name in bad), code=2):
        assert refusal.stdout == b""


def test_create_takes_its_prompt_from_a_pipe_and_a_file(served: Cli, folder: Path) -> None:
    (folder / "prompt.txt").write_text("from a file")
    assert told(served, served.out("create", f"@{folder}/prompt.txt").strip())["prompt"] == "from a file"
    assert told(served, served.out("create", "-", input="x").strip())["prompt"] == "x\n\n-"
    assert told(served, served.out("create", input="from a pipe").strip())["prompt"] == "from a pipe"
    assert served.run("create", f"@{folder}/missing", code=2).stdout == b""


# --- drive


def test_drive_prints_the_text_and_says_the_id_first(served: Cli) -> None:
    done = served.run("drive", "--", "printf", "a\\nb")
    assert done.stdout == b"a\nb"
    assert ID.fullmatch(done.stderr.decode().splitlines()[0])
    assert served.run("cat", done.stderr.decode().split()[0]).stdout == b"a\nb"


def test_the_prompt_reaches_the_commands_stdin(served: Cli, folder: Path) -> None:
    (folder / "prompt.txt").write_text("from a file")
    lines: Lines = (("-p", "from the line", "--", "cat"), ("-p", f"@{folder}/prompt.txt", "--", "cat"), ("--", "cat"))
    answers = [done.stdout for _, done in together(served, tuple(("drive", *line) for line in lines))]
    assert answers == [b"from the line", b"from a file", b""]
    assert served.out("drive", "--", "cat", input="from a pipe\n") == "from a pipe\n"
    assert served.out("drive", "-p", "the line", "--", "cat", input="the pipe") == "the pipe\n\nthe line"
    with (folder / "prompt.txt").open() as file:
        assert served.out("drive", "--", "cat", stdin=file) == "from a file"
    # An empty pipe, as CI and `while read` loops have it, is no prompt and no reason to refuse.
    assert served.out("drive", "--", "cat", input="") == ""


def test_a_command_runs_where_its_user_stands(served: Cli, folder: Path) -> None:
    script = 'pwd; umask; printf "%s\\n" "$MINE" "${THEIRS-unset}"'
    told = served.out(
        "drive", "--", "sh", "-c", script, cwd=folder, umask=0o027, env={"MINE": "a b\nc", "PATH": os.environ["PATH"]}
    )
    assert told.splitlines() == [str(folder), "0027", "a b", "c", "unset"]
    (folder / "tool").write_text("#!/bin/sh\necho mine\n")
    (folder / "tool").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    assert served.out("drive", "--", "tool", env={"PATH": path}) == "mine\n"
    assert served.out("drive", "--", "./tool", cwd=folder) == "mine\n"
    served.run("drive", "--", "tool", code=5)


def test_the_exit_code_decides_and_stderrs_end_is_the_cause(served: Cli) -> None:
    done = served.run("drive", "--", "sh", "-c", "echo text; echo the cause >&2; exit 3", code=5)
    assert done.stdout == b"text\n"
    id = done.stderr.decode().split()[0]
    shown = told(served, id)
    assert shown["status"] == "error"
    assert "exit code 3" in shown["error"]
    assert shown["error"].endswith("the cause")
    assert shown["error"] in done.stderr.decode()
    for command in ("drive", "watch"):
        again = served.run(command, id, code=5)
        assert again.stdout == b"text\n"
        assert "the cause" in again.stderr.decode()
    assert served.run("wait", id, code=5).stdout == b""
    assert served.run("cat", id).stdout == b"text\n"


def test_stderr_of_a_quick_command_is_not_lost(served: Cli) -> None:
    line = ("drive", "--", "sh", "-c", "printf par >&2; echo tial >&2; echo text")
    for _, done in together(served, (line,) * 5):
        assert done.stdout == b"text\n"
        assert done.stderr.decode().splitlines()[1:] == ["partial"]


def test_stderr_is_shown_as_it_was_written(served: Cli, folder: Path) -> None:
    gate = Gate(folder)
    script = f"printf par >&2; echo one; read x < '{folder}/gate'; echo tial >&2"
    with served.started("drive", "--", "sh", "-c", script) as process:
        assert read_exactly(process, 4) == b"one\n"
        gate.open()
        assert ended(process) == 0
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines()[1:] == ["partial"]
    gate.close()


def test_drive_an_id_that_is_pending_streaming_ended(served: Cli, gate: Gate) -> None:
    id = served.out("create", "the prompt").strip()
    with served.started("drive", id, "--", *gate.command) as first:
        assert read_exactly(first, len(FIRST)) == FIRST.encode()
        with served.started("drive", id) as second:
            assert read_exactly(second, len(FIRST)) == FIRST.encode()
            gate.open()
            for process in (first, second):
                assert read_exactly(process, 99) == SECOND.encode()
                assert ended(process) == 0
    assert served.out("drive", id) == FIRST + SECOND
    assert told(served, id)["prompt"] == "the prompt"
    assert len(told(served, id)["attempts"]) == 1


def test_other_words_are_refused(served: Cli) -> None:
    id = served.out("create", "the prompt").strip()
    assert served.run("drive", id, "-p", "another", "--", "cat", code=2).stdout == b""
    assert told(served, id)["status"] == "pending"
    assert served.out("drive", id, "-p", "the prompt", "--", "cat") == "the prompt"
    others: Lines = (("-p", "another"), ("--", "other"), ("--model", "other"))
    together(served, tuple(("drive", id, *words) for words in others), code=2)
    assert served.out("drive", id, "--", "cat") == "the prompt"


def test_drive_by_name(served: Cli) -> None:
    assert served.out("drive", "--name", "named", "--title", "T", "--", "echo", "hi") == "hi\n"
    assert (told(served, "named")["title"], told(served, "named")["status"]) == ("T", "done")
    assert served.out("drive", "--name", "named", "--", "echo", "hi") == "hi\n"
    assert len(told(served, "named")["attempts"]) == 1
    served.run("drive", "--name", "named", "--", "echo", "other", code=2)


def test_a_name_for_an_existing_stream_is_not_ignored(served: Cli) -> None:
    id = served.out("create", "x").strip()
    done = served.run("drive", id, "--name", "later", "--", "cat", code=None)
    assert done.returncode == 2 or told(served, id)["name"] == "later"


def test_detach_lets_a_substitution_return(cli: Cli, gate: Gate) -> None:
    line = 'id=$("$@" 2>&1) && echo "it is $id"'
    command = [*PTSTREAM, "drive", "--detach", "--", *gate.command]
    done = subprocess.run(
        ["bash", "-c", line, "bash", *command],
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
    )
    id = done.stdout.decode().removeprefix("it is ").strip()
    assert ID.fullmatch(id)
    assert done.stderr == b""
    assert told(cli, id)["status"] == "streaming"
    gate.open()
    cli.run("wait", id)
    assert kept(cli, id) == FIRST + SECOND


def test_drive_without_anything_to_drive(served: Cli) -> None:
    words: Lines = ((), ("--",), ("-m", "m", "--", "cat"), ("--generator", "f.py:x", "--", "cat"), ("-p", "@/missing"))
    for _, done in together(served, tuple(("drive", *line) for line in words), code=2):
        assert done.stdout == b""
        assert done.stderr


def test_drive_says_who_is_asked(served: Cli, folder: Path) -> None:
    (folder / "text").write_text("Said again.")
    done = served.run("drive", "-m", f"replay:{folder}/text?rate=0", "-p", "x")
    assert done.stdout == b"Said again."
    assert "model replay:" in done.stderr.decode().splitlines()[1]


# --- watch and cat


def test_watch_a_pending_stream_that_is_then_driven(served: Cli, gate: Gate) -> None:
    id = served.out("create", "x").strip()
    with served.started("watch", id) as watcher, served.started("watch", "--live", id) as live:
        served.run("drive", "-d", id, "--", *gate.command)
        for process in (watcher, live):
            assert read_exactly(process, len(FIRST)) == FIRST.encode()
        gate.open()
        for process in (watcher, live):
            assert read_exactly(process, 99) == SECOND.encode()
            assert ended(process) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""


@sqlite_itself
@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
def test_who_was_stopped_for_a_while_is_woken_again(served: Cli, folder: Path) -> None:
    """By Ctrl-Z. That is no file system that tells of nothing, whose tails are looked at over and over."""
    fifo = folder / "lines"
    os.mkfifo(fifo)
    with (
        served.started("drive", "--", "sh", "-c", f"echo one; while read x; do echo $x; done < '{fifo}'") as process,
        open(fifo, "w", buffering=1) as lines,
    ):
        assert read_exactly(process, 4) == b"one\n"
        until(lambda: watched(process.pid) == 2)  # the log, and the tail
        process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        until(lambda: time.monotonic() > stopped_at + SLOW_LOOK)
        lines.write("two\n")
        until(lambda: kept(served, "@last") == "one\ntwo\n")
        process.send_signal(signal.SIGCONT)
        assert read_exactly(process, 4) == b"two\n"
        lines.write("three\n")
        assert read_exactly(process, 6) == b"three\n"
        assert watched(process.pid) == 2


def watched(pid: int) -> int:
    """How many files a process is told of by inotify, as proc(5) has it."""
    return sum(
        Path(f"/proc/{pid}/fdinfo/{fd}").read_text().count("inotify wd:")
        for fd in os.listdir(f"/proc/{pid}/fd")
        if os.path.lexists(f"/proc/{pid}/fdinfo/{fd}")
    )


def test_watch_live_shows_what_is_not_a_sentence_yet(served: Cli, folder: Path) -> None:
    gate = Gate(folder)
    id = detached(served, "sh", "-c", f"printf half; read x < '{folder}/gate'")
    with served.started("watch", "--live", id) as process:
        assert read_exactly(process, 4) == b"half"
        gate.open()
        assert ended(process) == 0
    gate.close()


def test_watch_from_an_offset(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    at = str(len(FIRST))
    with (
        served.started("watch", "--offset", "now", id) as now,
        served.started("watch", "--offset", at, id) as there,
        served.started("watch", "--offset", "4", id) as middle,
    ):
        assert read_exactly(middle, len(FIRST) - 4) == FIRST[4:].encode()
        for process in (now, there):
            until(partial(served.waits, process))
        gate.open()
        for process in (now, there, middle):
            assert read_exactly(process, 99) == SECOND.encode()
            assert ended(process) == 0
    bad: Lines = tuple(("watch", "--offset", offset, id) for offset in ("-1", "x", "1.5", "999"))
    assert all(done.stdout == b"" for _, done in together(served, bad, code=2))
    assert served.out("watch", "--offset", "now", id) == ""


def test_everything_reads_with_the_daemon_down(cli: Cli) -> None:
    text = "Grüße, 世界. 🙂\n"
    cli.run("drive", "--name", "s", "--", "printf", "%s", text)
    cli.run("daemon", "stop")
    reading: Lines = (("cat", "s"), ("watch", "s"), ("watch", "--live", "s"), ("cat", "--wait", "s"))
    for _, done in together(cli, reading):
        assert (done.stdout.decode(), done.stderr) == (text, b"")
    assert cli.run("cat", "--offset", "3", "s").stdout == text.encode()[3:]
    assert cli.run("cat", "--offset", str(len(text.encode())), "s").stdout == b""
    together(cli, (("ls",), ("show", "s"), ("wait", "s"), ("path",)))
    cli.run("daemon", "status", code=69)
    assert not os.path.exists(cli.home.socket)


def test_cat_shows_what_there_is_and_returns(served: Cli, folder: Path) -> None:
    gate = Gate(folder)
    id = detached(served, "sh", "-c", f"printf half; read x < '{folder}/gate'; echo ' done'")
    assert served.out("cat", id) == "half"
    with served.started("cat", "--wait", id) as process:
        gate.open()
        assert read_exactly(process, 99) == b"half done\n"
        assert ended(process) == 0
    gate.close()


def test_cat_wait_stays_with_its_stream(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    with served.started("cat", "--wait", "@last") as process:
        until(partial(served.waits, process))
        served.run("create", "a newer one")
        gate.open()
        assert read_exactly(process, 99).decode() == FIRST + SECOND
        assert ended(process) == 0
    assert kept(served, id) == FIRST + SECOND


def test_cat_passes_a_great_text_byte_for_byte(served: Cli) -> None:
    done = served.run("drive", "--name", "great", "--", "seq", "200000")
    assert served.run("cat", "great").stdout == done.stdout == served.run("watch", "great").stdout
    assert done.stdout == b"".join(b"%d\n" % n for n in range(1, 200001))


def test_a_closed_pipe_is_not_an_error_of_cat(served: Cli) -> None:
    served.run("drive", "--", "seq", "1000000")
    line = "set -o pipefail; " + 'e=$1; shift; "$@" 2>"$e" | head -1'
    with tempfile.NamedTemporaryFile() as errors:
        done = subprocess.run(
            ["bash", "-c", line, "bash", errors.name, *PTSTREAM, "cat", "@last"],
            env=served.environment,
            capture_output=True,
            timeout=LIMIT,
        )
        assert done.stdout == b"1\n"
        assert errors.read() == b""
        assert done.returncode == 141


# --- tee


@pytest.fixture
def teeing(cli: Cli) -> Iterator[subprocess.Popen[bytes]]:
    """`tee --name t`, its stdin a pipe, its first line read and shown; no daemon."""
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        feed(process, "erste Zeile\n")
        assert read_exactly(process, 12) == b"erste Zeile\n"
        yield process


def feed(process: subprocess.Popen[bytes], text: str) -> None:
    """Write to its stdin."""
    assert process.stdin is not None
    os.write(process.stdin.fileno(), text.encode())


def finish(process: subprocess.Popen[bytes]) -> int:
    """Close its stdin; its exit code."""
    assert process.stdin is not None
    process.stdin.close()
    return ended(process)


def test_tee_passes_through_and_keeps(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    assert kept(cli, "t") == "erste Zeile\n"
    assert told(cli, "t")["status"] == "streaming"
    with cli.started("watch", "t") as watcher:
        assert read_exactly(watcher, 12) == b"erste Zeile\n"
        feed(teeing, "ohne Ende")
        assert read_exactly(teeing, 9) == b"ohne Ende"
        assert finish(teeing) == 0
        assert read_exactly(watcher, 99) == b"ohne Ende"
        assert ended(watcher) == 0
    assert told(cli, "t")["status"] == "done"
    assert kept(cli, "t") == "erste Zeile\nohne Ende"
    assert not os.path.exists(cli.home.socket)
    assert cli.run("tee", "--name", "t", input="x", code=2).stdout == b"x"
    assert kept(cli, "t") == "erste Zeile\nohne Ende"


def test_tee_reads_on_after_an_interrupt(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    teeing.send_signal(signal.SIGINT)
    teeing.send_signal(signal.SIGHUP)
    feed(teeing, "zweite\n")
    assert read_exactly(teeing, 7) == b"zweite\n"
    assert finish(teeing) == 5
    shown = told(cli, "t")
    assert (shown["status"], shown["error"]) == ("error", "interrupted")
    assert kept(cli, "t") == "erste Zeile\nzweite\n"


def test_tee_reads_on_with_its_output_closed(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    assert teeing.stdout is not None
    teeing.stdout.close()
    feed(teeing, "zweite\n")
    until(lambda: "zweite" in kept(cli, "t"))
    feed(teeing, "dritte\n")
    assert finish(teeing) == 0
    assert told(cli, "t")["status"] == "done"
    assert kept(cli, "t") == "erste Zeile\nzweite\ndritte\n"


def test_tee_ends_at_once_when_terminated(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    teeing.send_signal(signal.SIGTERM)
    assert ended(teeing) in (5, 143)
    assert told(cli, "t")["status"] == "error"
    assert "byte 12" in told(cli, "t")["error"]
    assert kept(cli, "t") == "erste Zeile\n"


def test_a_killed_tee_leaves_what_it_had_shown(cli: Cli, teeing: subprocess.Popen[bytes]) -> None:
    feed(teeing, "halb")
    assert read_exactly(teeing, 4) == b"halb"
    teeing.kill()
    ended(teeing)
    assert cli.out("cat", "t") == "erste Zeile\nhalb"
    assert cli.run("watch", "t", code=5).stdout == b"erste Zeile\nhalb"
    assert told(cli, "t")["error"] == "its owner died at byte 16"


def test_tee_of_a_file_and_of_nothing(cli: Cli, folder: Path) -> None:
    (folder / "file").write_text("1\n2\n")
    with (folder / "file").open() as file:
        assert cli.out("tee", stdin=file) == "1\n2\n"
    assert cli.out("tee") == ""
    assert told(cli, "@last")["status"] == "done"
    assert told(cli, "@last")["bytes"] == 0


# --- ls, show, wait, cancel, rm


def test_ls(cli: Cli) -> None:
    assert cli.out("ls") == ""
    ids = [cli.out("create", f"prompt {n}").strip() for n in range(3)]
    cli.run("cancel", ids[1])
    assert cli.out("ls", "-q").split() == ids[::-1]
    assert cli.out("ls", "-q", "-n", "2").split() == ids[:0:-1]
    assert cli.out("ls", "--quiet", "--limit", "0") == ""
    assert cli.out("ls", "-q", "--status", "pending").split() == [ids[2], ids[0]]
    assert cli.out("ls", "-q", "--status", "done") == ""
    rows = [json.loads(line) for line in cli.out("ls", "--json").splitlines()]
    assert [row["id"] for row in rows] == ids[::-1]
    assert [row["status"] for row in rows] == ["pending", "cancelled", "pending"]
    assert {"id", "name", "title", "status", "bytes", "model", "error", "created_at", "ended_at"} <= set(rows[0])
    table = cli.out("ls").splitlines()
    assert [line.split("\t")[0] for line in table] == ids[::-1]
    cli.run("ls", "--status", "nonsense", code=2)
    cli.run("ls", "-n", "x", code=2)


def test_show(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    running = until(lambda: (now := told(served, id))["bytes"] and now)  # of its live tail, nothing counts yet
    assert (running["status"], running["bytes"], running["ended_at"]) == ("streaming", len(FIRST), None)
    gate.open()
    served.run("wait", id)
    fields = told(served, id)
    wanted = {"id", "name", "status", "bytes", "model", "error", "created_at", "ended_at", "attempts", "parent"}
    assert wanted <= set(fields)
    assert (fields["status"], fields["bytes"]) == ("done", len(FIRST + SECOND))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["ended_at"])
    assert isinstance(fields["attempts"], list)
    assert id in served.out("show", id[:6])


def test_wait(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    done = served.run("wait", "--timeout", "0.01", id, code=8)
    assert done.stdout == b""
    assert id in done.stderr.decode()
    with served.started("wait", id) as process:
        gate.open()
        assert ended(process) == 0
    assert served.run("wait", "--timeout", "0", id).stdout == b""


def test_cancel(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    with served.started("watch", id) as watcher, served.started("drive", id) as driver:
        for process in (watcher, driver):
            assert read_exactly(process, len(FIRST)) == FIRST.encode()
        assert served.run("cancel", id).stdout == b""
        for process in (watcher, driver):
            assert read_exactly(process, 99) == b""
            assert ended(process) == 6
    assert served.run("wait", id, code=6).stdout == b""
    assert kept(served, id) == FIRST
    served.run("cancel", id)
    pending = served.out("create", "x").strip()
    served.run("cancel", pending)
    assert told(served, pending)["status"] == "cancelled"
    served.run("drive", pending, "--", "cat", code=None)
    assert told(served, pending)["status"] == "cancelled"


@sqlite_itself
def test_cancel_when_the_store_takes_no_mark(served: Cli) -> None:
    """As on a full disk: its generator is stopped all the same, and the end is written as soon as that can be."""
    id = detached(served, "sh", "-c", "echo $$; exec sleep 1000")
    said = kept(served, id)
    with closing(sqlite3.connect(served.home.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert served.run("cancel", id, code=8).stderr.count(b"the store takes no write just now") == 1
        assert gone(int(said))
        assert told(served, id)["status"] == "streaming"
        other.execute("ROLLBACK")
    served.run("wait", id, code=6)
    assert (kept(served, id), told(served, id)["error"]) == (said, f"cancelled at byte {len(said)}")


@sqlite_itself
@pytest.mark.parametrize("words", [("watch",), ("wait",), ("cancel",), ("rm", "--dry-run"), ("search",)], ids=" ".join)
def test_what_asks_no_daemon_loads_nothing_that_only_reaches_one(served: Cli, words: tuple[str, ...]) -> None:
    """It would take longer than all the rest."""
    served.run("drive", "--name", "said", "--", "echo", "said")
    line = [sys.executable, "-X", "importtime", "-P", "-m", "ptstream.cli.entry", *words, "said"]
    done = subprocess.run(line, env=served.environment, capture_output=True, text=True, check=True)
    loaded = {entry.rpartition("|")[2].strip() for entry in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not {"httpx", "rich", "fastjsonschema", "tomllib"} & loaded
    assert ("asyncio" in loaded) is (words != ("search",))


@sqlite_itself
@pytest.mark.parametrize(
    "words", [("cat", "said"), ("ls",), ("__complete", "--bash", "ptstream cat ", "")], ids=" ".join
)
def test_what_a_finger_waits_for_loads_next_to_nothing(served: Cli, words: tuple[str, ...]) -> None:
    """Each of these would take longer than all the rest but sqlite3."""
    served.run("drive", "--name", "said", "--", "echo", "said")
    line = [sys.executable, "-X", "importtime", "-P", "-m", "ptstream.cli.entry", *words]
    done = subprocess.run(line, env=served.environment, capture_output=True, text=True, check=True)
    loaded = {entry.rpartition("|")[2].strip() for entry in done.stderr.splitlines()}
    assert "said" in done.stdout
    assert "sqlite3" in loaded
    assert not {"typing", "enum", "re", "json", "ptstream.streams"} & loaded


def test_a_drive_loads_httpx_without_its_command(served: Cli) -> None:
    """It would be half of httpx's start."""
    line = [sys.executable, "-X", "importtime", "-P", "-m", "ptstream.cli.entry", "drive", "--", "echo", "said"]
    done = subprocess.run(line, env=served.environment, capture_output=True, text=True, check=True)
    loaded = {entry.rpartition("|")[2].strip() for entry in done.stderr.splitlines()}
    assert done.stdout == "said\n"
    assert "httpx" in loaded
    assert not {"rich", "click", "pygments"} & loaded


def test_rm(served: Cli, gate: Gate) -> None:
    running = detached(served, *gate.command)
    pending = served.out("create", "x").strip()
    kept = served.out("create", "y").strip()
    for line in ((running,), (pending, running), (running, "nosuch")):
        done = served.run("rm", *line, code=2)
        assert f"nothing was deleted, since {running} (" in done.stderr.decode()
    assert running in served.out("rm", "--dry-run", running)
    assert (told(served, running)["status"], told(served, pending)["status"]) == ("streaming", "pending")
    done = served.run("rm", "-f", running, "nosuch", pending, code=3)
    assert "nosuch" in done.stderr.decode()
    for id in (running, pending):
        served.run("show", id, code=3)
        served.run("cat", id, code=3)
    assert told(served, kept)["status"] == "pending"
    assert not [name for name in os.listdir(served.home.tails) if name.startswith(running)]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_rm_asks_on_a_terminal_about_what_runs(served: Cli, gate: Gate, answer: str, code: int) -> None:
    id = detached(served, *gate.command)
    child = Terminal(("rm", id), served.environment)
    child.expect(f"still running: {id}")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    served.run("show", id, code=3 if answer == "y" else 0)


# --- models, path, daemon


def test_models(served: Cli, folder: Path) -> None:
    found = [json.loads(line) for line in served.out("models", "--json").splitlines()]
    assert found
    assert all({"name", "place", "problem", "default"} <= set(each) for each in found)
    named = served.run("models", "--json", env={"PTSTREAM_MODEL": f"replay:{folder}/x"})
    default = [each for each in map(json.loads, named.stdout.splitlines()) if each["default"]]
    assert [each["name"] for each in default] == [f"replay:{folder}/x"]
    served.run("models", "nonsense", code=2)


@sqlite_itself
def test_path_prints_the_database_alone(cli: Cli, folder: Path) -> None:
    assert cli.run("path").stdout.decode() == f"{cli.home.database}\n"
    assert not os.path.exists(cli.home.path)
    assert cli.out("--home", f"{folder}/other", "path") == f"{folder}/other/db/ptstream.db\n"
    home = {"PTSTREAM_HOME": "", "XDG_DATA_HOME": str(folder)}
    assert cli.out("path", env=home) == f"{folder}/ptstream/db/ptstream.db\n"


@sqlite_itself
@needs("sqlite3")
def test_the_database_is_readable_with_sqlites_own_shell(served: Cli) -> None:
    id = served.run("drive", "--", "echo", "hi").stderr.decode().split()[0]
    line = f"SELECT group_concat(text, '') FROM chunks WHERE stream = '{id}'"
    shell = subprocess.run(["sqlite3", "-readonly", served.out("path").strip(), line], capture_output=True, check=True)
    assert shell.stdout == b"hi\n\n"


def test_daemon_start_status_stop_logs(cli: Cli) -> None:
    down: Lines = (("daemon", "status"), ("daemon", "status", "--json"))
    (_, plain), (_, data) = together(cli, down, code=69)
    assert plain.stdout == b""
    assert json.loads(data.stdout)["pid"] is None
    assert cli.run("daemon", "start").stdout == b""
    up: Lines = (*down, ("daemon", "start"), ("daemon", "logs"), ("daemon", "logs", "-n", "1"))
    (_, plain), (_, data), _, (_, log), (_, line) = together(cli, up)
    status = json.loads(data.stdout)
    assert {"pid", "socket", "database", "running", "uptime", "version"} <= set(status)
    assert (status["socket"], status["database"], status["running"]) == (cli.home.socket, status["database"], 0)
    pid = str(status["pid"])
    assert pid in plain.stdout.decode()
    assert pid in log.stdout.decode()
    assert len(line.stdout.splitlines()) == 1
    cli.run("daemon", "run", code=1)
    assert pid in cli.out("daemon", "status")
    cli.run("daemon", "stop")
    assert not os.path.exists(cli.home.socket)
    # Whoever starts it again at once has another one, though the lock may be held for a moment more.
    cli.run("daemon", "start")
    assert json.loads(cli.out("daemon", "status", "--json"))["pid"] != status["pid"]
    until(lambda: gone(status["pid"]))
    cli.run("daemon", "stop")
    cli.run("daemon", "stop")


def test_daemon_run_stays_in_the_foreground(cli: Cli) -> None:
    with cli.started("daemon", "run") as process:
        until(lambda: os.path.exists(cli.home.socket))
        assert json.loads(cli.out("daemon", "status", "--json"))["pid"] == process.pid
        assert cli.out("drive", "--", "echo", "hi") == "hi\n"
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 0
        assert read_exactly(process, 99) == b""
    assert not os.path.exists(cli.home.socket)


# --- help, the fast lines


def test_names_that_hands_type(served: Cli) -> None:
    id = served.out("drive", "-d", "--", "echo", "x").strip()
    served.run("wait", id)
    assert id in served.out("ps", "-q")
    assert served.out("logs", id) == served.out("--color", "never", "logs", id) == "x\n"
    pending = served.out("create", "x").strip()
    served.run("stop", "-q", pending)
    assert told(served, pending)["status"] == "cancelled"
    assert served.out("-v") == served.out("--version")
    assert "Did you mean 'logs'?" in served.run("logz", code=2).stderr.decode()
    assert "ls, ps" in served.out("--help")


def test_help_begins_with_examples(served: Cli) -> None:
    names: Lines = tuple(tuple(name.split()) for name in WORDS)
    top: Any = app.application()
    for name in names:
        command, context = top, top.make_context("ptstream", [], resilient_parsing=True)
        for word in name:
            command = command.get_command(context, word)
            context = command.make_context(word, [], parent=context, resilient_parsing=True)
        heading, first, *_ = command.get_help(context).splitlines()
        assert heading == "Examples:", name
        assert "ptstream" in first, name
    assert served.out("cat", "--help") == served.out("cat", "-h")


def test_the_hot_lines_are_typers_own() -> None:
    assert set(entry.FAST) == set(entry.POSITIONALS)
    for name, options in entry.FAST.items():
        if name == "__complete":
            continue
        parameters = app.load(name).params
        by_word = {word: parameter for parameter in parameters for word in parameter.opts}
        for word, kind in options.items():
            parameter = by_word[word]
            assert entry.LONG.get(word, word[2:]) == parameter.name
            if kind is bool:
                assert parameter.is_flag
            else:
                assert (parameter.type.name.removesuffix(" range"), kind) == ("int", int)
        arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
        least = sum(argument.required for argument in arguments)
        assert entry.POSITIONALS[name] == range(least, len(arguments) + 1)
        # Of those that may be many, a fast line has one.
        assert all(argument.nargs in (1, -1) for argument in arguments)


def test_the_hot_way_and_typers_give_the_same(served: Cli) -> None:
    id = served.run("drive", "--", "echo", "the same").stderr.decode().split()[0]
    served.run("drive", "--name", "größe", "--", "printf", "%s", "a \"b\"\\ 'c'\n", "\udcff\U0001f600")
    for line in (("--title", "called\nso", "prompt"), ("",), ("-m", "some/model", "asked\tso"), ("x" * 300,)):
        served.run("create", *line, code=None)
    known: Lines = (("cat", id), ("cat", "nosuch"), ("cat", "@last"), ("cat", "größe"), ("ls",), ("ls", "-n", "2"))
    known += tuple(("cat", "--offset", offset, id) for offset in ("3", "9", "99"))
    known += (("ls", "-q"), ("ls", "--json"), ("path",))
    slowly: Lines = tuple(("--color", "auto", *words) for words in known)
    assert all(entry.parse(list(words)) is not None for words in known)
    pairs = zip(together(served, known, code=None), together(served, slowly, code=None), strict=True)
    for (_, fast), (_, slow) in pairs:
        assert (fast.returncode, fast.stdout, fast.stderr) == (slow.returncode, slow.stdout, slow.stderr)
    unknown: Lines = (
        ("cat",),
        ("cat", "a", "b"),
        ("cat", "-x", "a"),
        ("ls", "-n", "x"),
        ("ls", "-n"),
        ("path", "x"),
        (),
    )
    for words in unknown:
        assert entry.parse(list(words)) is None


def test_an_interrupt_is_no_traceback_however_early(cli: Cli) -> None:
    """As soon as its own modules are loading: the database library is mapped by then. It may be over, too."""
    for words in (("drive", "--", "true"), ("cat", "@last"), ("ls", "--status", "done")):
        with cli.started(*words, fresh=True) as process:
            until(lambda: process.poll() is not None or _maps(process.pid, "sqlite3"))
            process.send_signal(signal.SIGINT)
            code = ended(process)
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read().decode()
            assert code in (0, 3, 130, -signal.SIGINT)


def _maps(pid: int, library: str) -> bool:
    return library in Path(f"/proc/{pid}/maps").read_text()


def test_a_list_of_words_is_completed_word_by_word(cli: Cli) -> None:
    for line in (("--status", "running,er"), ("--status=running,er",)):
        (found,) = cli.out("__complete", "ls", *line).splitlines()
        assert found.split("\t")[0].endswith("running,error")


def test_what_is_kept_in_either_engine_is_completed(cli: Cli) -> None:
    id = cli.out("create", "--name", "why", "x").strip()
    assert [line.split("\t")[0] for line in cli.out("__complete", "cat", "").splitlines()] == ["@last", "why", id]
