"""Bad input gets a clear line on stderr and the right exit code, never a traceback, and no text is lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ptstream import wire
from ptstream.config import load
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite import schema
from ptstream.errors import ConfigurationError
from ptstream.settings import Home
from tests.conftest import (
    FIRST,
    LIMIT,
    PTSTREAM,
    Cli,
    Gate,
    Lines,
    detached,
    ended,
    engaged,
    gone,
    kept,
    needs,
    read_exactly,
    remount,
    sqlite_itself,
    stop_daemon,
    together,
    told,
    until,
)
from tests.endpoint import PIECES, TEXT

ROOT = Path(__file__).parent.parent

BEGIN = "".join(PIECES[:3])

BAD_BYTE = os.fsdecode(b"\xff")


@pytest.fixture(scope="module")
def impatient() -> Iterator[Cli]:
    """The same, its daemon waiting for no model longer than a moment."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        cli = Cli(Home(f"{path}/home"))
        cli.run("create", "x")
        Path(cli.home.config).write_text("first_timeout = 0.2\nidle_timeout = 0.2\n")
        cli.run("daemon", "start")
        yield cli
        stop_daemon(cli.home)


def refused(cli: Cli, *words: str, code: int, **more: Any) -> str:
    """What it says. It prints nothing, exits with `code`, and is no traceback."""
    return _refusal(cli.run(*words, code=code, **more))


def all_refused(cli: Cli, *lines: tuple[str, ...], code: int) -> list[str]:
    """The same of several at once."""
    return [_refusal(done) for _, done in together(cli, lines, code=code)]


def _refusal(done: Any) -> str:
    said = str(done.stderr.decode())
    assert done.stdout == b""
    assert said.strip()
    assert "Traceback" not in said
    assert "Internal Server Error" not in said
    return said


# --- ids and words


READING: Lines = (("cat", "spoken"), ("watch", "spoken"), ("drive", "spoken"), ("ls",), ("--help",), ("cat", "--help"))

READERS = ("cat", "watch", "show", "wait", "cancel", "rm", "drive")


def test_ids_that_are_none(served: Cli) -> None:
    assert all("nosuch" in said for said in all_refused(served, *((command, "nosuch") for command in READERS), code=3))
    sentence = "Why is the sky blue?"
    for said in all_refused(served, *((command, sentence) for command in READERS), code=2):
        assert "--prompt" in said
    all_refused(served, *(("watch", malformed) for malformed in ("a/b", "@nothing", "")), code=2)
    all_refused(served, *(("cat", malformed) for malformed in ("a/b", "@nothing", "")), code=2)


def test_ambiguous_ids(served: Cli) -> None:
    async def made(engine: Engine) -> list[str]:
        for _ in range(40):
            await engine.create()
        return sorted(stream.id for stream in await engine.listed())

    ids = engaged(served.home, made)
    first = next(a for a, b in itertools.pairwise(ids) if a[0] == b[0])
    said = refused(served, "cat", first[0], code=2)
    assert "several" in said
    assert served.out("show", first.upper()).split()[1] == first


def test_words_that_are_not_utf8(served: Cli) -> None:
    lines: Lines = (
        ("create", f"a{BAD_BYTE}"),
        ("create", "--name", f"a{BAD_BYTE}", "x"),
        ("create", "--title", f"a{BAD_BYTE}", "x"),
        ("create", "--model", f"a{BAD_BYTE}", "x"),
        ("drive", "-p", f"a{BAD_BYTE}", "--", "cat"),
        ("cat", f"a{BAD_BYTE}"),
        ("show", f"a{BAD_BYTE}"),
    )
    for words, done in together(served, lines, code=None):
        assert "Traceback" not in done.stderr.decode()
        assert done.returncode in ((0, 2) if words[0] in ("create", "drive") else (2, 3)), words
    # A command's own words are bytes, whatever they are.
    assert served.run("drive", "--", "printf", f"%s{BAD_BYTE}").stdout == "\ufffd".encode()


def test_empty_prompts(served: Cli, folder: Path) -> None:
    (folder / "empty").touch()
    (folder / "binary").write_bytes(b"\xff\xfe")
    empty: Lines = (("create", ""), ("create", "  \n"), ("drive", "-p", ""), ("drive", "-p", f"@{folder}/empty"))
    for said in all_refused(served, *empty, code=2):
        assert "empty" in said
    assert "empty" in refused(served, "drive", "-p", "", code=2, input="\n")
    unreadable = (f"@{folder}/binary", f"@{folder}/missing", f"@{folder}")
    all_refused(served, *(("drive", "-p", prompt) for prompt in unreadable), code=2)


def test_a_prompt_of_50_mb(cli: Cli) -> None:
    prompt = b"0123456789abcde\n" * (50 * 1024 * 1024 // 16)
    done = cli.run("drive", "--name", "huge", "--", "sh", "-c", "wc -c", input=prompt)
    assert done.stdout.split() == [str(len(prompt)).encode()]
    assert cli.out("cat", "huge") == done.stdout.decode()


def test_a_prompt_from_a_pipe_that_is_not_utf8(served: Cli) -> None:
    done = served.run("drive", "--", "cat", input=b"a\xffb")
    assert done.stdout == "a\ufffdb".encode()
    assert "UTF-8" in done.stderr.decode()


def test_any_text_comes_back_as_it_was(served: Cli) -> None:
    text = "a\0b\r\nc\x1b[31m\u2028\u0085\x0b\x0c\x1c\ufeff\U0001f642\u200d" + "x" * 100_000
    assert served.run("drive", "--name", "odd", "--", "cat", input=text).stdout == text.encode()
    for _, done in together(served, (("drive", "odd"), ("cat", "odd"), ("watch", "odd"))):
        assert done.stdout == text.encode()


def test_models_that_are_none(served: Cli, folder: Path) -> None:
    names = ("nosuch/model", "gguf:/nonexistent", "openai/x")  # the last one needs a key
    lines: Lines = tuple(("drive", "-m", name, "-p", "x") for name in names)
    before = served.out("ls", "-q")
    for name, said in zip(names, all_refused(served, *lines, code=4), strict=True):
        assert name.partition("/")[0] in said
    more: Lines = (("-m", "smollm3"), ("-m", "opnai/gpt"), ("-m", "replay:"), ("-d", "-m", "nosuch/x"))
    all_refused(served, *(("drive", *words, "-p", "x") for words in more), code=4)
    all_refused(served, ("drive", "--generator", f"{folder}/nosuch.py:f"), code=4)
    refused(served, "drive", "-p", "x", code=4, env={"PTSTREAM_MODEL": "nosuch/x"})
    assert served.out("ls", "-q") == before, "a mistyped model leaves a stream behind"
    # So its name is free for the right one.
    refused(served, "drive", "--name", "retried", "-p", "x", "-m", "nosuch/x", code=4)
    (folder / "text").write_text("Said.")
    assert served.out("drive", "--name", "retried", "-p", "x", "-m", f"replay:{folder}/text?rate=0") == "Said."
    # What has its text needs no model any more.
    assert served.out("drive", "--name", "retried", "-p", "x", env={"PTSTREAM_MODEL": "nosuch/x"}) == "Said."


def test_models_that_are_none_of_a_stream_that_goes_on(served: Cli, folder: Path) -> None:
    served.out("drive", "--name", "said", "--", "echo", "x")
    (folder / "text").write_text("Said.")
    served.out("drive", "--name", "asked", "-p", "x", "-m", f"replay:{folder}/text?rate=0")
    before = served.out("ls", "-q")
    lines: Lines = tuple(("--from", "asked", "-m", "nosuch/x", *more) for more in ((), ("-p", "y"), ("-d",)))
    all_refused(served, *(("drive", *line) for line in lines), code=4)
    refused(served, "drive", "--from", "said", "-p", "why?", code=4, env={"PTSTREAM_MODEL": "nosuch/x"})
    assert served.out("ls", "-q") == before, "a mistyped model leaves a stream behind"


def test_a_model_that_its_endpoint_does_not_list_is_told_before_its_stream(
    served: Cli, endpoint: str, folder: Path
) -> None:
    before = served.out("ls", "-q")
    # An Ollama lists all that it has, and no tag means the latest.
    said = refused(served, "drive", "-p", "x", "-m", "ollama/oks", code=4, env={"OLLAMA_HOST": endpoint})
    assert "ollama does not list a model oks: it has ok, reasoning, slow" in said
    assert served.out("ls", "-q") == before
    # Others may know a model by more names: here it is the endpoint that decides.
    here = {"OPENAI_BASE_URL": endpoint}
    done = served.run("drive", "-p", "x", "-m", "length", env=here)
    _, second, *_ = done.stderr.decode().splitlines()  # the first is the id
    assert (done.returncode, second) == (0, "openai does not list a model length: it has ok, reasoning, slow")
    assert b"does not list" not in served.run("drive", "-p", "x", "-m", "ok", env=here).stderr


def test_bad_configuration(cli: Cli) -> None:
    cli.home.make()
    cli.run("create", "x")
    lines: Lines = (("models",), ("drive", "-d", "-p", "x", "-m", "a/b"))
    for text in ("foo = 1\n", "nonsense", 'first_timeout = "long"\n', "[endpoints.a]\nbase_url = 3\n", "\xff"):
        Path(cli.home.config).write_bytes(text.encode("latin-1"))
        assert "config.toml" in refused(cli, "models", code=4)
    assert all("config.toml" in said for said in all_refused(cli, *lines, code=4))
    os.unlink(cli.home.config)
    os.mkdir(cli.home.config)
    assert all("config.toml" in said for said in all_refused(cli, *lines, code=4))
    assert cli.out("ls", "-q", "--status", "pending").strip()


@pytest.mark.parametrize(
    "text",
    [
        "model = " + "9" * 5000,
        "model = 0x" + "f" * 5000,
        "model = [[0o" + "7" * 9000 + "]]",
        "model = " + "[" * 3000,
        "model = " + "{ a = " * 3000,
        f"model = {['x' * 9] * 9999}",
        "x" * 9999 + " = 1",
        f'origins = ["http://{"x" * 9999}/"]',
        f"[endpoints.{'x' * 9999}]\nno = 1",
        f'[endpoints.a]\nbase_url = "x"\n{"x" * 9999} = 1',
    ],
    ids=lambda text: text[:30],
)
def test_a_config_file_is_refused_shortly_whatever_stands_in_it(home: Home, text: str) -> None:
    home.make()
    Path(home.config).write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.toml") as refused:
        load(home)
    assert len(str(refused.value)) < 1000


SECRET = "sk-nobody-else-sees-this"


@pytest.mark.parametrize(
    "text",
    [
        f'public_url = "https://user:{SECRET}@box.example"',
        f'public_url = "https://box.example/?key={SECRET}"',
        f'origins = ["https://user:{SECRET}@box.example"]',
        f'origins = ["https://box.example?key={SECRET}"]',
        f'model = ["https://user:{SECRET}@box.example"]',
        f'api_key = "{SECRET}"',
        f'[endpoints.a]\nbase_url = "https://x"\napi_key = "{SECRET}"',
    ],
)
def test_what_is_refused_in_a_config_file_repeats_no_secret(home: Home, text: str) -> None:
    home.make()
    Path(home.config).write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load(home)
    assert SECRET not in str(refused.value)


def test_an_output_that_takes_nothing(served: Cli) -> None:
    served.run("drive", "--name", "spoken", "--", "echo", "hi")
    with open("/dev/full", "wb") as full:
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(served.started(*words, stdout=full)) for words in READING]
            for words, process in zip(READING, processes, strict=True):
                _, said = process.communicate(timeout=LIMIT)
                assert process.returncode == 1, words
                assert b"Traceback" not in said
                assert b"space" in said
        with served.started("tee", "--name", "teed", stdin=subprocess.PIPE, stdout=full) as process:
            _, said = process.communicate(b"1\n" * 100_000, timeout=LIMIT)
            assert process.returncode == 1
            assert b"Traceback" not in said
            assert b"space" in said
    assert kept(served, "teed") == "1\n" * 100_000
    assert told(served, "teed")["status"] == "done"


def test_an_output_that_was_never_open(served: Cli) -> None:
    served.run("drive", "--name", "closed", "--", "echo", "hi")
    for words in (("cat", "closed"), ("watch", "closed"), ("drive", "closed")):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *PTSTREAM, *words],
            env=served.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
        )
        assert b"Traceback" not in done.stderr
        assert done.returncode == 141, words


# --- databases


def every_command(cli: Cli, code: int) -> Iterator[str]:
    """What each says of a database that it cannot use."""
    lines = (("ls",), ("cat", "x"), ("watch", "x"), ("show", "x"), ("create", "x"), ("tee",), ("drive", "--", "true"))
    yield from all_refused(cli, *lines, code=code)


@sqlite_itself
def test_a_database_that_is_none(cli: Cli) -> None:
    os.makedirs(os.path.dirname(cli.home.database))
    garbage = b"this is no database, but it is long enough to look like one. " * 100
    Path(cli.home.database).write_bytes(garbage)
    for said in every_command(cli, 4):
        assert cli.home.database in said
    assert Path(cli.home.database).read_bytes() == garbage


@sqlite_itself
def test_somebody_elses_database(cli: Cli) -> None:
    os.makedirs(os.path.dirname(cli.home.database))
    with contextlib.closing(sqlite3.connect(cli.home.database)) as other:
        other.execute("CREATE TABLE streams (mine TEXT)")
        other.commit()
    for said in every_command(cli, 4):
        assert "not a ptstream database" in said


@sqlite_itself
def test_a_newer_database(cli: Cli) -> None:
    cli.run("create", "--name", "x", "the prompt")
    with contextlib.closing(sqlite3.connect(cli.home.database)) as other:
        other.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    for said in every_command(cli, 4):
        assert "newer" in said
    with contextlib.closing(sqlite3.connect(cli.home.database)) as other:
        other.execute(f"PRAGMA user_version={schema.VERSION}")
    assert told(cli, "x")["prompt"] == "the prompt"


def test_a_read_only_home(small: Cli, gate: Gate) -> None:
    cli, id = small, detached(small, *gate.command)
    cli.run("cancel", id)
    stop_daemon(cli.home)
    remount(cli.home, "ro")
    for _, done in together(cli, (("cat", id), ("watch", id), ("cat", "--wait", id)), code=None):
        assert done.stdout == FIRST.encode()
        assert "Traceback" not in done.stderr.decode()
    assert id in cli.out("ls")
    assert id in cli.out("show", id)
    cli.run("wait", id, code=6)
    refusals: Lines = (("create", "x"), ("rm", id), ("tee",), ("drive", "--", "echo", "hi"), ("daemon", "start"))
    for line, done in together(cli, refusals, code=None):
        assert done.stdout == b""
        assert done.returncode in (1, 4), line
        assert "Traceback" not in done.stderr.decode()
        assert cli.home.path in done.stderr.decode(), line


def test_an_orphan_in_a_read_only_home_is_told_as_ended(small: Cli) -> None:
    cli = small
    with cli.started("tee", "--name", "t", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"whole line\nhalf")
        assert read_exactly(process, 15) == b"whole line\nhalf"
        process.kill()
        ended(process)
    remount(cli.home, "ro")
    assert cli.out("cat", "t") == "whole line\nhalf"
    watched = cli.run("watch", "t", code=5)
    assert watched.stdout == b"whole line\nhalf"
    assert "died at byte 15" in watched.stderr.decode()
    assert cli.out("ls", "--status", "error", "-q").strip()


def test_a_database_that_may_not_be_looked_at_is_not_taken_for_none(cli: Cli) -> None:
    os.mkdir(cli.home.path, 0o700)
    os.symlink("db", f"{cli.home.path}/db")  # round in circles: root too may not look there
    lines = (("ls",), ("cat", "@last"), ("watch", "@last"), ("create", "x"), ("rm", "@last"))
    assert all(cli.home.path in said for said in all_refused(cli, *lines, code=4))


def test_a_full_disk_loses_nothing_that_was_shown(small: Cli, folder: Path) -> None:
    """The generator is paused until there is room again."""
    cli, gate = small, Gate(folder)
    ballast_file = Path(cli.home.path) / "ballast"
    script = f"seq 10000; read x < '{folder}/gate'; seq 10001 20000"
    before, whole = (b"".join(b"%d\n" % n for n in range(1, end)) for end in (10001, 20001))
    with cli.started("drive", "--name", "full", "--", "sh", "-c", script) as driver:
        assert read_exactly(driver, len(before)) == before
        with open(ballast_file, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"\0" * 4096):
                pass
        gate.open()
        until(lambda: _status(cli)["paused"] == 1)
        done = cli.run("cat", "full", code=None)
        assert b"Traceback" not in done.stderr
        assert done.stdout.startswith(before)
        assert whole.startswith(done.stdout)
        refusal = cli.run("create", "y" * 100_000, code=None)
        assert b"Traceback" not in refusal.stderr
        assert refusal.returncode != 0
        assert cli.home.path in refusal.stderr.decode()
        assert "full" in refusal.stderr.decode()
        os.unlink(ballast_file)
        assert before + driver.communicate(timeout=LIMIT)[0] == whole
        assert driver.returncode == 0
    gate.close()
    assert kept(cli, "full").encode() == whole


def _status(cli: Cli) -> dict[str, Any]:
    transport = httpx.HTTPTransport(uds=cli.home.socket)
    with httpx.Client(transport=transport, base_url=wire.BASE_URL, timeout=LIMIT) as client:
        fields: dict[str, Any] = client.get(wire.STATUS).json()
        return fields


# --- endpoints


ERRORS = {
    "status-401": ("401", ""),
    "status-404": ("404", ""),
    "malformed": ("not part of an answer", BEGIN),
    "odd": ("not part of an answer", ""),
    "truncate": ("broke off", BEGIN),
    "no-done": ("before the answer's end", BEGIN),
    "error-inside": ("ran out of memory", BEGIN),
    "html": ("a web page", ""),
}


def test_an_endpoints_failure_is_the_cause(served: Cli, endpoint: str) -> None:
    environment = {"OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "sk-secret"}
    lines: Lines = tuple(("drive", "-p", "x", "-m", model) for model in ERRORS)
    for words, done in together(served, lines, env=environment, code=5):
        why, text = ERRORS[words[-1]]
        assert done.stdout.decode() == text
        assert why in done.stderr.decode()
        fields = told(served, done.stderr.decode().split()[0])
        assert fields["status"] == "error"
        assert why in fields["error"]
        assert "sk-secret" not in done.stderr.decode()


def test_an_endpoint_that_is_busy_or_not_there(served: Cli, endpoint: str) -> None:
    """All at once, since each is asked several times."""
    asked = {
        "status-429": (endpoint, "429"),
        "status-500": (endpoint, "500"),
        "nobody": ("http://127.0.0.1:1/v1", "refused"),
        "reset-at-once": (endpoint, ""),
    }
    with contextlib.ExitStack() as stack:
        drives = {
            model: stack.enter_context(served.started("drive", "-p", "x", "-m", model, env={"OPENAI_BASE_URL": url}))
            for model, (url, _) in asked.items()
        }
        for model, process in drives.items():
            out, err = process.communicate(timeout=LIMIT)
            assert (out, process.returncode) == (b"", 5), err
            fields = told(served, err.decode().split()[0])
            assert fields["status"] == "error"
            assert asked[model][1] in fields["error"]
            assert "asking again" in err.decode()


def test_an_endpoint_that_recovers(served: Cli, endpoint: str) -> None:
    done = served.run("drive", "-p", "x", "-m", "flaky-503-1", env={"OPENAI_BASE_URL": endpoint})
    assert done.stdout.decode() == TEXT


def test_an_endpoint_that_stalls_times_out(impatient: Cli, endpoint: str) -> None:
    lines: Lines = tuple(("drive", "-p", "x", "-m", model) for model in ("silent", "stall"))
    answers = together(impatient, lines, env={"OPENAI_BASE_URL": endpoint}, code=7)
    assert [done.stdout.decode() for _, done in answers] == ["", BEGIN]
    ids = [done.stderr.decode().split()[0] for _, done in answers]
    assert all(told(impatient, id)["status"] == "timeout" for id in ids)
    for _, done in together(impatient, (("watch", ids[0]), ("wait", ids[0]), ("watch", ids[1])), code=7):
        assert re.search(r"0\.2 s \((first|idle)_timeout\)", done.stderr.decode())


def test_silence_is_normal_for_a_command(impatient: Cli, gate: Gate) -> None:
    with impatient.started("drive", "--", *gate.command) as process:
        assert read_exactly(process, len(FIRST)) == FIRST.encode()
        refused(impatient, "wait", "--timeout", "0.4", "@last", code=8)
        gate.open()
        assert ended(process) == 0


def test_an_answer_that_was_cut_off_says_so(served: Cli, endpoint: str) -> None:
    """Whoever tells the end tells it: who drove, and who comes later."""
    done = served.run("drive", "-p", "x", "-m", "length", env={"OPENAI_BASE_URL": endpoint})
    assert done.stdout.decode() == BEGIN
    said = "the answer was cut off: it reached the limit of its length (length)"
    assert done.stderr.decode().count(said) == 1
    id = done.stderr.decode().split()[0]
    for words, later in together(served, (("watch", id), ("wait", id), ("drive", id), ("show", id))):
        assert (later.stdout if words[0] == "show" else later.stderr).decode().count(said) == 1
    assert json.loads(served.out("watch", "--json", id).splitlines()[-1])["note"] == said
    assert json.loads(served.out("show", "--json", id))["note"] == said
    assert json.loads(served.out("show", "--json", id))["error"] is None


def test_a_good_end_has_no_note(served: Cli, endpoint: str) -> None:
    done = served.run("drive", "-p", "x", "-m", "ok", env={"OPENAI_BASE_URL": endpoint})
    assert told(served, done.stderr.decode().split()[0])["note"] is None
    assert len(done.stderr.decode().splitlines()) == 2


# --- commands


def test_commands_that_cannot_run(served: Cli, folder: Path) -> None:
    (folder / "plain").write_text("not executable")
    programs = ("nosuch-command", f"{folder}/plain", f"{folder}", "")
    for words, done in together(served, tuple(("drive", "--", program) for program in programs), code=5):
        assert done.stdout == b""
        assert words[-1] != programs[0] or "no such command" in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


def test_a_command_that_dies_by_a_signal(served: Cli) -> None:
    done = served.run("drive", "--", "sh", "-c", "printf text; kill -SEGV $$", code=5)
    assert done.stdout == b"text"
    assert "SIGSEGV" in done.stderr.decode()


def test_output_that_is_not_utf8_is_replaced_and_said_so(served: Cli) -> None:
    for _, done in together(served, (("drive", "--", "printf", "a\\377\\376b\\303"),) * 3):
        assert done.stdout == "a\ufffd\ufffdb\ufffd".encode()
        assert "UTF-8" in done.stderr.decode()
        assert "3 bytes" in done.stderr.decode()
    # What looks so from the outset is no replacement.
    done = served.run("drive", "--", "printf", "a\ufffdb")
    assert "UTF-8" not in done.stderr.decode()


def test_children_left_in_the_background_do_not_keep_it(served: Cli, gate: Gate) -> None:
    script = f"({' '.join(gate.command[:1])} -c 'read x') & echo text"
    done = served.run("drive", "--", "sh", "-c", script)
    assert done.stdout == b"text\n"


@needs("setsid")
def test_a_cancelled_command_names_what_left_its_group(served: Cli, folder: Path) -> None:
    script = f"setsid sh -c 'echo $$ > \"{folder}/child\"; exec sleep 1000' & echo begun; wait"
    id = detached(served, "sh", "-c", f"sleep 1000 & echo $! > '{folder}/grouped'; {script}")
    served.run("cancel", id)
    child = int((folder / "child").read_text())
    assert gone(int((folder / "grouped").read_text()))
    assert told(served, id)["error"] == f"cancelled at byte 6; still running: sleep (pid {child})"
    os.kill(child, signal.SIGKILL)
