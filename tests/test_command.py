"""A command's end: what it left in its pipes is read, and others that write there are not waited for. Its stderr."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import anyio
import pexpect
import pytest

from ptstream.errors import GeneratorError
from ptstream.generators import Caller, Stderr, child_process, command
from ptstream.generators.child_process import running
from ptstream.streams import GenerationRequest
from tests.conftest import Cli, Gate, ended
from tests.terminal import Terminal


@pytest.mark.anyio
async def test_what_a_command_left_in_its_pipe_is_not_lost_to_a_reader_that_is_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_process, "DRAIN_SECONDS", 0.1)
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    text = b"".join(b"%d\n" % n for n in range(25_000))  # less than the pipe and our buffer hold
    async with running(["seq", "0", "24999"], stdin=None, caller=caller) as child:
        first = await child.output.receive()
        await child.end()
        await anyio.sleep(3 * child_process.DRAIN_SECONDS)
        rest = [data async for _, data in child.output]
    assert b"".join([first[1], *rest]) == text


@pytest.mark.anyio
async def test_a_child_that_goes_on_writing_does_not_keep_it() -> None:
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    async with running(["sh", "-c", "yes & echo done"], stdin=None, caller=caller) as child:
        size = sum([len(data) async for _, data in child.output])
        await child.end()
    assert len(b"done\n") <= size < 4 * child_process.DRAIN_BYTES


# --- stderr


def kinds(line: str, *, one_pipe: bool) -> tuple[str, str]:
    """What the shell's `line` writes as text, and beside it."""

    async def generate() -> tuple[str, str]:
        text = beside = ""
        caller = Caller("/", {"PATH": os.environ["PATH"]}, stderr=one_pipe)
        generation = command.source(GenerationRequest(command=("sh", "-c", line)), caller).generate()
        async for event in generation:
            if isinstance(event, str):
                text += event
            elif isinstance(event, Stderr):
                beside += event.text
        return text, beside

    return anyio.run(generate)


def test_in_one_pipe_all_keeps_its_order() -> None:
    line = "i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; printf '%s ' $i; i=$((i+1)); done"
    expected = subprocess.run(["sh", "-c", f"{{ {line}; }} 2>&1"], capture_output=True, check=True).stdout.decode()
    assert kinds(line, one_pipe=True) == (expected, "")
    text, beside = kinds(line, one_pipe=False)
    assert (text.count("out"), text.count("err"), beside.count("err"), beside.count("out")) == (300, 0, 300, 0)


@pytest.mark.anyio
async def test_the_end_of_one_pipe_is_the_cause() -> None:
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    argv = ["sh", "-c", "echo text; echo the cause >&2; exit 3"]
    async with running(argv, stdin=None, caller=caller, one_pipe=True) as child:
        assert b"".join([data async for _, data in child.output]) == b"text\nthe cause\n"
        with pytest.raises(GeneratorError, match=r"exit code 3: text\nthe cause$"):
            await child.end()


@pytest.mark.parametrize("begun", ["Password: ", "\r 12%", "\r 12%\r 13%", "a\tb", "Größe"])
def test_what_is_no_line_yet_is_seen_at_once(served: Cli, gate: Gate, begun: str) -> None:
    """Not only when its line ends, or its command."""
    with served.started("drive", "--", "sh", "-c", f'printf %s "$1" >&2; {gate.command[2]}', "sh", begun) as process:
        assert process.stderr is not None
        seen = b""
        while begun.replace("\r", "\n").encode().strip() not in seen:
            more = os.read(process.stderr.fileno(), 4096)
            assert more, seen
            seen += more
        gate.open()
        assert ended(process) == 0


def test_a_line_without_an_end_takes_no_memory(cli: Cli) -> None:
    size = 32 * 1024 * 1024
    cli.run("daemon", "start")
    before = _peak(cli)
    done = cli.run("drive", "--", "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x >&2; echo done")
    assert done.stdout == b"done\n"
    assert _peak(cli) - before < size / 2


def _peak(cli: Cli) -> int:
    """The most memory that the daemon has had, in bytes."""
    pid = json.loads(cli.out("daemon", "status", "--json"))["pid"]
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_the_last_line_beside_the_text_ends_on_a_terminal(served: Cli) -> None:
    child = Terminal(("drive", "-q", "--", "sh", "-c", "printf 'no end' >&2"), served.environment)
    child.expect(pexpect.EOF)
    assert re.sub(r"\x1b\[\dm", "", child.before or "").endswith("no end\r\n")
