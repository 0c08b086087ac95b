"""Several streams at once: on one line of a command, side by side on a screen, and from one call to the next."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ptstream.cli.cursor_file import CursorFile
from ptstream.cli.line_output import LONGEST, LineCutter
from ptstream.cli.output import OutputFailed
from ptstream.client.answers import details_of
from ptstream.engine.protocol import Engine
from ptstream.errors import UsageError
from ptstream.ids import new_id
from ptstream.stream_json import as_json
from ptstream.streams import Attempt, GenerationRequest, Status, Stream
from tests.conftest import (
    FIRST,
    ID,
    LIMIT,
    PTSTREAM,
    SECOND,
    Cli,
    Gate,
    detached,
    ended,
    engaged,
    kept,
    read_exactly,
    told,
    until,
)


def said(cli: Cli, text: str, *, name: str | None = None, code: int = 0) -> str:
    """The id of a stream that a command has ended, which said this."""
    words = ("--name", name) if name else ()
    done = cli.run("drive", *words, "--", "sh", "-c", f"printf %s '{text}'; exit {code}", code=5 if code else 0)
    return str(done.stderr.decode().split()[0])


# --- several ids


def test_a_line_of_several_exits_with_the_first_that_is_not_0(served: Cli) -> None:
    good, bad = said(served, "a"), said(served, "b", code=3)
    gone = "zzzzzzzzzzzz"
    for command in ("wait", "watch", "cat", "show", "cancel"):
        ends = command in ("wait", "watch")
        assert served.run(command, good, bad, code=5 if ends else 0).returncode == (5 if ends else 0)
        assert gone in served.run(command, good, gone, bad, code=3).stderr.decode()
    assert served.run("wait", bad, gone, code=5).stdout == b""
    assert served.run("wait", gone, bad, code=3).stdout == b""


def test_cat_prints_one_after_the_other_and_show_tells_of_each(served: Cli) -> None:
    one, two = said(served, "one\n"), said(served, "two\n")
    assert served.out("cat", one, two, one) == "one\ntwo\none\n"
    shown = [json.loads(line) for line in served.out("show", "--json", two, one).splitlines()]
    assert [fields["id"] for fields in shown] == [two, one]
    assert served.out("show", one, two).count("\nstatus ") == 2


def test_cancel_ends_them_all(served: Cli) -> None:
    ids = [detached(served, "sh", "-c", "echo begun; sleep 1000") for _ in range(2)]
    done = served.run("cancel", *ids)
    assert {told(served, id)["status"] for id in ids} == {"cancelled"}
    assert all(id in done.stderr.decode() for id in ids)


def test_wait_waits_for_all_or_for_any(served: Cli, gate: Gate) -> None:
    running, over = detached(served, *gate.command), said(served, "x", code=1)
    assert served.run("wait", "--any", running, over, code=5).stdout.decode() == f"{over}\n"
    assert served.run("wait", "--timeout", "0", over, running, code=5).stdout == b""
    served.run("wait", "--timeout", "0", running, over, code=8)
    served.run("wait", "--any", "--timeout", "0.01", running, code=8)
    other = detached(served, "sh", "-c", "echo begun; sleep 1000")
    with served.started("wait", "--any", other, running) as any_, served.started("wait", running, over) as all_:
        gate.open()
        assert any_.communicate(timeout=LIMIT)[0].decode() == f"{running}\n"
        assert (any_.returncode, ended(all_)) == (0, 5)
    served.run("cancel", other)


# --- side by side


def lines_of(text: str) -> dict[str, list[str]]:
    """What stands behind each label."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        label, _, rest = line.partition(" | ")
        found.setdefault(label.strip(), []).append(rest)
    return found


def test_watch_shows_whole_lines_behind_names(served: Cli, gate: Gate) -> None:
    detached(served, *gate.command, words=("--name", "gated"))
    nameless = said(served, "no end")
    with served.started("watch", "gated", nameless) as watching:
        until(lambda: kept(served, nameless))
        gate.open()
        out = watching.communicate(timeout=LIMIT)[0].decode()
    assert lines_of(out) == {"gated": [FIRST.strip(), SECOND.strip()], nameless[:4]: ["no end"]}
    assert "\x1b" not in out
    colored = served.out("--color", "always", "watch", "gated", nameless)
    assert len(set(re.findall(r"\x1b\[(\d+)m\w+ +\| \x1b\[0m", colored))) == 2


def test_what_a_command_says_is_harmless_beside_others(served: Cli) -> None:
    bar = "printf '10%%\\r50%%\\r100%%\\n\\033]0;title\\007\\033[2Jtext\\n'"
    ids = [served.out("drive", "-d", "--", "sh", "-c", bar).strip() for _ in range(2)]
    spawned = pexpect.spawn(
        PTSTREAM[0], [*PTSTREAM[1:], "watch", *ids], env=served.environment, timeout=LIMIT, encoding="utf-8"
    )
    seen = spawned.read().replace("\r\n", "\n")
    spawned.close()
    plain = re.sub(r"\x1b\[\d+m", "", seen)
    assert set(lines_of(plain)) == {id[:4] for id in ids}
    assert all(rest == ["100%", "text"] for rest in lines_of(plain).values())


def test_a_note_beside_others_says_whose_it_is_and_usage_is_read_as_words(cli: Cli) -> None:
    async def make(engine: Engine) -> str:
        async with engine.writer() as writer:
            claim = await writer.claim((await engine.create(name="short")).id)
            usage = {"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}
            await writer.finish(claim, 0, "One.", 1, Status.DONE, None, usage, "cut off")
            return claim.id

    id = engaged(cli.home, make)
    assert f"stream {id}: cut off" in cli.run("watch", "-t", "short").stderr.decode()
    assert f"stream {id}" not in cli.run("watch", "short").stderr.decode()
    other = cli.run("tee", input="other").stderr.decode().split()[0]
    for words in (("wait",), ("wait", "--any")):
        assert f"stream {id}: cut off\n" in cli.run(*words, "short", other).stderr.decode()
        assert cli.run(*words, "short").stderr.decode() == "cut off\n"
    assert "completion_tokens 3, completion_tokens_details (reasoning_tokens 2)" in cli.out("show", "short")


def test_json_of_several_says_whose_each_object_is(served: Cli) -> None:
    ids = [said(served, "é\n"), said(served, "x", code=2)]
    objects = [json.loads(line) for line in served.out("watch", "--json", *ids, code=5).splitlines()]
    texts = {id: "".join(each.get("text", "") for each in objects if each["id"] == id) for id in ids}
    assert texts == {ids[0]: "é\n", ids[1]: "x"}
    assert {each["id"]: each["status"] for each in objects if "status" in each} == {ids[0]: "done", ids[1]: "error"}


def test_all_shows_what_runs_and_whatever_begins(cli: Cli, gate: Gate) -> None:
    cli.run("daemon", "start")
    over, waiting = said(cli, "over\n"), cli.out("create", "--name", "late", "--model", "replay:none", "x").strip()
    running = detached(cli, *gate.command)
    with cli.started("watch", "--all") as watching:
        first = f"{running[:4]} | {FIRST}".encode()
        assert read_exactly(watching, len(first)) == first
        said(cli, "quick\n", name="quick")
        quick = b"quick | quick\n"
        assert read_exactly(watching, len(quick)) == quick
        cli.run("drive", waiting, code=None)
        gate.open()
        second = f"{running[:4]}  | {SECOND}".encode()
        assert read_exactly(watching, len(second)) == second
        watching.send_signal(signal.SIGINT)
        rest = watching.communicate(timeout=LIMIT)[0]
    assert watching.returncode == 130
    assert over[:4].encode() not in rest
    failed = cli.started("watch", "--all", "--status", "done")
    with failed as watching:
        shown = read_exactly(watching, len(b"xxxx  | over\n"))
        assert b"over" in shown


def test_watch_takes_ids_or_all(served: Cli) -> None:
    for words in ((), ("--all", "x"), ("--status", "error", "x"), ("--all", "--status", "odd"), ("--since", "x", "y")):
        assert served.run("watch", *words, code=2).stdout == b""


# --- where reading begins


def test_the_last_lines(served: Cli, folder: Path) -> None:
    text = "".join(f"line {number} {'é' * 50}\n" for number in range(1000)) + "the last"
    (folder / "text").write_text(text)
    id = served.run("drive", "--", "cat", f"{folder}/text").stderr.decode().split()[0]
    lines = text.splitlines(keepends=True)
    for command in ("cat", "watch"):
        for wanted in (0, 1, 2, 500, 1001, 5000):
            assert served.out(command, "-n", str(wanted), id) == "".join(lines[-wanted:] if wanted else [])
    assert served.out("cat", "-n", "2", "--offset", str(len(text.encode()) - 3), id) == "ast"


def test_what_came_since(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    with served.started("watch", "--timestamps", id) as watching:
        assert watching.stdout.readline().decode().endswith(f"Z {FIRST}")
        gate.open()
        assert ended(watching) == 0
    stamped = served.out("watch", "-t", id).splitlines()
    times = [line.split()[0] for line in stamped]
    assert [line.split(" ", 1)[1] + "\n" for line in stamped] == [FIRST, SECOND]
    assert times == sorted(times)
    assert served.out("cat", "--since", times[0], id) == FIRST + SECOND
    assert served.out("cat", "--since", "1h", id) == FIRST + SECOND
    assert served.out("cat", "--since", "2100-01-01", id) == ""
    assert served.out("ls", "-q", "--since", "1h").split()[0] == id
    assert served.out("ls", "-q", "--since", "2100-01-01T00:00Z") == ""


# --- from one call to the next


def test_a_cursor_file_goes_on_where_the_last_call_ended(served: Cli, gate: Gate, folder: Path) -> None:
    id, cursors = detached(served, *gate.command, words=("--name", "goes-on")), f"{folder}/cursors"
    line = ("watch", "--cursor-file", cursors, "goes-on")
    with served.started(*line) as watching:
        assert read_exactly(watching, len(FIRST)) == FIRST.encode()
        assert b"another ptstream" in served.run(*line, code=2).stderr
        watching.send_signal(signal.SIGINT)
        assert watching.communicate(timeout=LIMIT)[0] == b""
    gate.open()
    assert served.out(*line) == SECOND
    assert served.out(*line) == ""
    with pytest.raises(UsageError), CursorFile.opened(str(folder)):
        pass
    Path(cursors).write_text("something else\n")
    assert b"another" in served.run(*line, code=2).stderr
    assert kept(served, id) == FIRST + SECOND


def test_all_with_a_cursor_file_misses_nothing_between_two_calls(cli: Cli, gate: Gate, folder: Path) -> None:
    cli.run("daemon", "start")
    cursors = f"{folder}/cursors"
    line = ("watch", "--all", "--cursor-file", cursors)
    running, waiting = detached(cli, *gate.command), cli.out("create", "--name", "waits", "x").strip()
    with cli.started(*line) as watching:
        read_exactly(watching, len(f"{running[:4]} | {FIRST}"))
        until(lambda: waiting in Path(cursors).read_text() and "newest" in Path(cursors).read_text())
        watching.kill()
    between = said(cli, "between\n", name="between")
    gate.open()
    cli.run("wait", running)
    cli.run("drive", waiting, "--", "echo", "woken")
    with cli.started(*line) as watching:
        until(lambda: all(f'"{id}"' in _ended_in(cursors) for id in (between, running, waiting)))
        watching.send_signal(signal.SIGTERM)
        out = watching.communicate(timeout=LIMIT)[0].decode()
    assert watching.returncode == 143
    assert lines_of(out) == {running[:4]: [SECOND.strip()], "between": ["between"], "waits": ["woken"]}
    with cli.started(*line) as watching:
        said(cli, "new\n", name="new")
        assert read_exactly(watching, len(b"new | new\n")) == b"new | new\n"


def _ended_in(cursors: str) -> str:
    return "".join(line for line in Path(cursors).read_text().splitlines() if "ended" in line)


def test_a_watch_that_is_killed_over_and_over_leaves_out_no_line(served: Cli, folder: Path) -> None:
    """Killed at any moment: all lines are there, each once, in order."""
    seed = random.randrange(10**6)
    print("seed", seed)
    rolls = random.Random(seed)
    lines = 400
    ids = [
        served.out(
            "drive", "-d", "--", "sh", "-c", f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i; done"
        ).strip()
        for _ in range(2)
    ]
    cursors, out = f"{folder}/cursors", folder / "out"
    for calls in count(1):
        with out.open("ab") as file, served.started("watch", "--cursor-file", cursors, *ids, stdout=file) as watching:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if watching.wait(timeout=rolls.uniform(0.05, 0.1 * calls)) == 0:
                    break
            watching.kill()
    shown = lines_of(out.read_text())
    for id in ids:
        assert [int(word) for word in shown[id[:4]]] == list(range(1, lines + 1))


def test_a_file_that_is_something_else_is_left_alone(folder: Path) -> None:
    """A device least of all: the program of root would put a plain file in its place."""
    other = folder / "other"
    for text in (b"a line", b"a line\n", b'{"name": "a page"}'):
        other.write_bytes(text)
        with pytest.raises(UsageError, match="no file of cursors"), CursorFile.opened(str(other)):
            pass
        assert other.read_bytes() == text
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", folder):
        with pytest.raises(UsageError, match="no plain file"), CursorFile.opened(str(path)):
            pass
    assert sorted(os.listdir(folder)) == ["other", "pipe"]


def test_a_torn_line_of_a_cursor_file_is_none(folder: Path) -> None:
    path, id = folder / "cursors", new_id()
    with CursorFile.opened(str(path)) as cursors:
        cursors.put(id, 7)
        cursors.put(id, 9)
        cursors.put_newest(1.5)
    path.write_bytes(path.read_bytes() + b'{"id": "' + id.encode())
    with CursorFile.opened(str(path)) as cursors:
        assert (cursors.offset(id), cursors.newest, cursors.begun) == (9, 1.5, [id])
        cursors.put(id, 12, ended=True)
        for offset in range(20_000):
            cursors.put(id, offset)
    assert path.stat().st_size < 1_000_000
    with CursorFile.opened(str(path)) as cursors:
        assert (cursors.offset(id), cursors.begun, set(cursors.ended)) == (19_999, [], {id})


def filled(folder: Path, *, but: int = 0) -> Path:
    """A file that leaves so many pages of the disk free."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    os.truncate(path, path.stat().st_size - but * 4096)
    return path


def test_on_a_full_disk_what_cannot_be_noted_is_not_shown(small: Cli, folder: Path) -> None:
    """So nothing is lost or said twice once there is room again."""
    disk, ids = Path(small.home.path).parent, [new_id(), new_id()]
    filler, shown = filled(disk, but=1), dict.fromkeys(ids, 0)
    ours, theirs = os.pipe()
    with pytest.raises(OutputFailed, match="No space"), CursorFile.opened(f"{disk}/cursors", theirs) as cursors:
        for count in range(1000):
            id = ids[count % 2]
            cursors.intend(id, shown[id], shown[id] + 5, b"text\n")
            shown[id] += 5
            cursors.put(id, shown[id])
    filler.unlink()
    assert min(shown.values()) > 50
    with CursorFile.opened(f"{disk}/cursors", theirs) as cursors:
        assert {id: cursors.offset(id) for id in ids} == shown
    os.close(ours)
    os.close(theirs)


def test_a_full_disk_is_a_failure_and_no_wrong_usage(served: Cli, small: Cli) -> None:
    disk, id = Path(small.home.path).parent, said(served, "text\n")
    filler = filled(disk)
    for command in ("cat", "watch"):
        done = served.run(command, "--cursor-file", f"{disk}/{command}", id, code=1)
        assert (done.stdout, b"No space left on device" in done.stderr) == (b"", True)
    filler.unlink()
    for command in ("cat", "watch"):
        for text in ("text\n", ""):
            assert served.out(command, "--cursor-file", f"{disk}/{command}", id) == text


# --- lists


def test_ls_takes_several_statuses(served: Cli) -> None:
    ids = [said(served, "a"), said(served, "b", code=1), served.out("create", "x").strip()]
    assert served.out("ls", "-q", "-n", "2", "--status", "pending,error").split() == ids[:0:-1]
    assert "odd" in served.run("ls", "--status", "error,odd", code=2).stderr.decode()
    running = detached(served, "sh", "-c", "echo begun; sleep 1000")
    assert running in served.out("ls", "-q", "--status", "running").split()
    served.run("cancel", running)


def test_ls_long_has_rates_and_owners(served: Cli) -> None:
    id = said(served, "some text")
    (row,) = [line.split("\t") for line in served.out("ls", "-l", "-n", "1").splitlines()]
    shown = told(served, id)
    assert (row[0], row[2], row[7]) == (id, "9", shown["attempts"][0]["owner"])
    assert float(row[3]) > 0
    fields = json.loads(served.out("ls", "-l", "--json", "-n", "1"))
    assert (fields["attempts"], fields["pieces"] > 0) == (shown["attempts"], True)


def test_ls_watch_redraws_in_place(served: Cli) -> None:
    assert b"terminal" in served.run("ls", "--watch", code=2).stderr
    id = detached(served, "sh", "-c", "while echo more; do sleep 0.1; done")
    spawned = pexpect.spawn(
        PTSTREAM[0],
        [*PTSTREAM[1:], "ls", "--watch", "-n", "1"],
        env=served.environment,
        timeout=LIMIT,
        encoding="utf-8",
        dimensions=(24, 100),
    )
    spawned.expect(f"{id}  streaming")
    spawned.expect(rf"\x1b\[2K[\s\S]*{id}  streaming[^\r\n]* [1-9]\d* B/s")
    spawned.sendintr()
    spawned.expect(pexpect.EOF)
    spawned.close()
    assert spawned.exitstatus == 130
    served.run("cancel", id)


# --- exit codes


def test_drive_exits_as_its_command_if_asked(served: Cli) -> None:
    done = served.run("drive", "--exit-code", "--", "sh", "-c", "exit 42", code=42)
    (id,) = ID.findall(done.stderr.decode().splitlines()[0])
    assert (told(served, id)["exit_code"], told(served, id)["signal"]) == (42, None)
    assert served.run("drive", "--exit-code", id, code=42).stdout == b""
    assert json.loads(served.out("show", "--json", id))["exit_code"] == 42
    killed = served.run("drive", "--exit-code", "--", "sh", "-c", "kill -9 $$", code=137)
    shown = told(served, killed.stderr.decode().split()[0])
    assert (shown["exit_code"], shown["signal"], shown["attempts"][0]["usage"]) == (None, "SIGKILL", None)
    good = served.run("drive", "--exit-code", "--", "true")
    assert told(served, good.stderr.decode().split()[0])["exit_code"] == 0
    for words in (("-d", "--", "true"), ("-p", "x")):
        assert served.run("drive", "--exit-code", *words, code=2).stdout == b""


def test_what_was_cancelled_has_no_exit_code(served: Cli) -> None:
    id = detached(served, "sh", "-c", "echo begun; sleep 1000")
    with served.started("drive", "--exit-code", id) as driving:
        read_exactly(driving, len(b"begun\n"))
        served.run("cancel", id)
        assert ended(driving) == 6
    assert (told(served, id)["exit_code"], told(served, id)["signal"]) == (None, None)


# --- lines


def test_lines_are_the_same_however_the_text_is_cut() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    rolls = random.Random(seed)
    text = "".join(rolls.choice(["a", "é", "\n", "😀", "x" * 999, "\r\n"]) for _ in range(3000)).encode()
    cutter, lines, at = LineCutter(5), [], 0
    while at < len(text):
        size = rolls.choice([1, 3, 1000, 70_000])
        lines += cutter.feed(text[at : at + size])
        at += size
    lines += cutter.end()
    assert lines[0].start == 5
    for before, after in pairwise(lines):
        assert before.stop == after.start
    assert lines[-1].stop == 5 + len(text)
    assert all(text[line.start - 5 : line.stop - 5].removesuffix(b"\n") == line.text for line in lines)
    assert all(len(line.text) <= LONGEST and b"\n" not in line.text for line in lines)


@pytest.mark.parametrize("usage", [None, {"completion_tokens": 5}, {"exit_code": 3}, {"signal": "SIGKILL"}])
def test_what_is_known_of_an_exit_is_the_same_from_elsewhere(usage: dict[str, Any] | None) -> None:
    attempt = Attempt(1, "owner", 0, 1.5, 2.5, 3, None, usage, "sh", "/")
    stream = Stream(
        new_id(), None, None, Status.DONE, 0, GenerationRequest(command=("sh",)), None, 1.0, 2.5, None, None
    )
    answer = json.loads(json.dumps(as_json(stream, [attempt]) | {"pieces": 3, "chunks": 0}))
    assert details_of(answer, "box").attempts == [attempt]
    assert (answer["exit_code"], answer["signal"]) == (attempt.exit_code, attempt.signal)
