"""A command with a pseudo-terminal: what it finds there, that it comes out byte for byte, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pexpect
import pytest

from ptstream.errors import GeneratorError
from ptstream.generators import Caller
from ptstream.generators.child_process import running
from ptstream.generators.pseudo_terminal import PseudoTerminal
from ptstream.streams import GenerationRequest, TerminalSize, inherited
from tests import endpoint
from tests.conftest import Cli, Gate, daemon_status, ended, until
from tests.terminal import Terminal

SHELL = ("--tty", "--", "sh", "-c")


async def said(*argv: str, **environment: str) -> bytes:
    """What a command writes to its terminal. Raises GeneratorError."""
    caller = Caller("/", {"PATH": os.environ["PATH"], **environment})
    async with running(argv, stdin=None, caller=caller, terminal=PseudoTerminal(TerminalSize(100, 30))) as child:
        data = b"".join([data async for _, data in child.output])
        await child.end()
    return data


@contextlib.contextmanager
def as_by_nohup() -> Iterator[None]:
    """What is begun in the background by a script, and is to outlive its terminal."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


# --- what it finds there


@pytest.mark.anyio
async def test_it_is_a_terminal_for_output_alone() -> None:
    program = "import os; print([os.isatty(fd) for fd in range(3)], *os.get_terminal_size(2), os.ttyname(1)[:5])"
    assert await said(sys.executable, "-c", program) == b"[False, True, True] 100 30 /dev/\n"


@pytest.mark.anyio
async def test_it_knows_colours_and_waits_for_no_keys() -> None:
    line = "echo $TERM $PAGER $GIT_PAGER"
    assert await said("sh", "-c", line, TERM="dumb", GIT_PAGER="less") == b"xterm-256color cat cat\n"
    assert await said("sh", "-c", line, TERM="tmux") == b"tmux cat cat\n"


@pytest.mark.anyio
async def test_whoever_reads_from_it_finds_its_end() -> None:
    """Also who throws away what was typed before, as whoever asks for a password does."""
    assert await said("sh", "-c", "for i in 1 2 3; do read x </dev/tty || echo $?; done") == b"1\n1\n1\n"
    program = "import getpass\ntry: getpass.getpass('?')\nexcept EOFError: print('end')"
    assert await said(sys.executable, "-c", program) == b"?end\n"


@pytest.mark.anyio
async def test_it_ignores_no_signal() -> None:
    """As on a terminal that was just opened, whatever Python and its owner ignore."""
    with as_by_nohup():
        assert await said("grep", "SigIgn", "/proc/self/status") == b"SigIgn:\t0000000000000000\n"


# --- what comes out


@pytest.mark.anyio
async def test_it_comes_out_byte_for_byte() -> None:
    text = "a\nb\rc\r\nd\tö\033[31m\004\0"
    assert await said(sys.executable, "-c", f"print({text!r}, end='')") == text.encode()


@pytest.mark.anyio
async def test_all_of_it_comes_out() -> None:
    assert await said("seq", "100000") == b"".join(b"%d\n" % n for n in range(1, 100_001))


def test_a_command_that_would_hold_it_back_is_seen_at_once(served: Cli, gate: Gate) -> None:
    """Python holds back what it prints into a pipe, unless its environment says otherwise, which -E ignores."""
    program = f"print('one', end=''); print(' two.'); open({gate.command[2].split(chr(39))[1]!r}).readline()"
    with served.started("drive", "--tty", "--", sys.executable, "-E", "-c", program) as process:
        assert process.stdout.readline() == b"one two.\n"
        gate.open()
        assert ended(process) == 0


def test_the_size_is_that_of_the_callers(served: Cli) -> None:
    child = Terminal(("drive", "-q", *SHELL, "stty size <&1"), served.environment, dimensions=(13, 57))
    child.expect(pexpect.EOF)
    assert (child.before or "").splitlines()[-1].endswith("13 57")
    assert served.out("drive", *SHELL, "stty size <&1") == "24 80\n"
    assert served.out("cat", "@last") == "24 80\n"


SIZES = """
import os, signal
woken, wakes = os.pipe()
os.set_blocking(wakes, False)
signal.set_wakeup_fd(wakes)
signal.signal(signal.SIGWINCH, lambda *_: None)
while True:
    print("size", *os.get_terminal_size(1), flush=True)
    os.read(woken, 1)
"""
"""Says how large its terminal is, at first and whenever it is told of another size."""


def test_it_follows_the_callers_while_that_is_there(served: Cli) -> None:
    words = ("drive", "--tty", "-q", "--", sys.executable, "-c", SIZES)
    child = Terminal(words, served.environment, dimensions=(13, 57))
    child.expect_exact("size 57 13")
    child.setwinsize(20, 40)
    try:
        child.expect_exact("size 40 20")
    except pexpect.TIMEOUT as error:  # not seen again since it was once: which side did not hear of it?
        raise AssertionError(served.out("cat", "@last") + Path(served.home.log).read_text()) from error
    child.sendintr()
    child.expect(pexpect.EOF)
    other = Terminal(("drive", "@last"), served.environment, dimensions=(30, 90))
    other.expect_exact("size 90 30")
    other.setwinsize(31, 91)
    other.expect_exact("size 91 31")
    watcher = Terminal(("watch", "@last"), served.environment, dimensions=(50, 100))
    watcher.expect_exact("size 91 31")
    watcher.setwinsize(51, 101)
    other.setwinsize(32, 92)
    watcher.expect_exact("size 92 32")
    served.run("cancel", "@last")
    sizes = re.findall(r"size (\d+ \d+)", served.out("cat", "@last"))
    assert sizes == ["57 13", "40 20", "90 30", "91 31", "92 32"]


def test_stderr_is_text_as_well_and_stdin_is_the_prompt(served: Cli) -> None:
    done = served.run("drive", "-p", "asked", *SHELL, "cat; echo; echo beside >&2")
    assert done.stdout == b"asked\nbeside\n"
    assert served.out("drive", *SHELL, "cat; echo end") == "end\n"


# --- how it ends


@pytest.mark.anyio
async def test_what_cannot_be_run_says_so() -> None:
    with pytest.raises(GeneratorError, match="nowhere-to-be-found: no such command"):
        await said("nowhere-to-be-found")
    with pytest.raises(GeneratorError, match=r"exit code 127: ./nowhere cannot be started: No such file or directory"):
        await said("./nowhere")
    with pytest.raises(GeneratorError, match=r"exit code 126: /dev/null cannot be started: Permission denied"):
        await said("/dev/null")


def test_its_exit_is_the_end(served: Cli) -> None:
    served.run("drive", "--exit-code", *SHELL, "exit 3", code=3)
    served.run("drive", "--exit-code", *SHELL, "kill -TERM $$", code=128 + signal.SIGTERM)
    shown = json.loads(served.out("show", "--json", "@last"))
    assert (shown["status"], shown["signal"], shown["options"]) == ("error", "SIGTERM", {"tty": True})


@pytest.mark.anyio
async def test_a_child_that_holds_it_open_is_not_waited_for() -> None:
    survivors: list[str] = []
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    argv = ["sh", "-c", "(trap '' HUP; exec sleep 300) & setsid sleep 301 & echo done"]
    async with running(
        argv, stdin=None, caller=caller, survivors=survivors, terminal=PseudoTerminal(TerminalSize())
    ) as child:
        assert b"".join([data async for _, data in child.output]) == b"done\n"
        await child.end()


@pytest.mark.anyio
async def test_what_it_leaves_behind_writes_its_last() -> None:
    """As behind a pipe: `exec > >(tee log)` is in many scripts."""
    assert await said("bash", "-c", "exec > >(sleep 0.1; exec cat); echo all of it") == b"all of it\n"
    assert await said("sh", "-c", "(sleep 0.1; echo last) & echo first") == b"first\nlast\n"


@pytest.mark.anyio
async def test_what_it_sends_to_its_group_is_its_own_affair() -> None:
    signals = ("USR1", "USR2", "ALRM", "INT", "TERM", "HUP")
    line = f"trap 'echo heard' {' '.join(signals)}; {'; '.join(f'kill -{name} 0' for name in signals)}; echo done"
    with as_by_nohup():
        assert await said("sh", "-c", line) == b"heard\n" * len(signals) + b"done\n"


@pytest.mark.anyio
async def test_whoever_closes_it_can_open_it_again() -> None:
    line = "exec >/dev/null 2>&1; sleep 0.1; head -c 100000 /dev/zero >/dev/tty"
    assert await said("sh", "-c", line) == bytes(100_000)


@pytest.mark.anyio
async def test_what_it_does_not_read_of_its_prompt_is_no_hindrance() -> None:
    caller = Caller("/", {"PATH": os.environ["PATH"]})
    argv = ["sh", "-c", "exec <&-; echo on; sleep 0.1; echo done"]
    async with running(argv, stdin=bytes(1_000_000), caller=caller, terminal=PseudoTerminal(TerminalSize())) as child:
        assert b"".join([data async for _, data in child.output]) == b"on\ndone\n"
        await child.end()


def test_cancel_ends_it(served: Cli) -> None:
    with served.started("drive", *SHELL, "trap 'echo terminated; exit' TERM; echo on; sleep 300 & wait") as process:
        assert process.stdout.readline() == b"on\n"
        served.run("cancel", "@last")
        assert ended(process) == 6
    assert served.out("cat", "@last").startswith("on\n")


def test_when_its_owner_dies_it_is_hung_up_on(cli: Cli, folder: Path) -> None:
    """As by any terminal that goes; what ignores that goes on, as under nohup."""
    heard = folder / "heard"
    line = f"trap 'echo hung up > {heard}; exit' HUP; echo $$; sleep 300 & wait"
    with cli.started("drive", *SHELL, line) as process:
        pid = int(process.stdout.readline())
        os.kill(daemon_status(cli.home)["pid"], signal.SIGKILL)
        assert ended(process) == 5
    assert until(lambda: heard.exists() and heard.read_text()) == "hung up\n"
    until(lambda: not Path(f"/proc/{pid}").exists())


# --- with the stream


def test_again_it_has_one_too(served: Cli) -> None:
    line = "test -t 1 && echo yes"
    assert served.out("drive", *SHELL, line) == served.out("drive", "--again") == "yes\n"
    assert b"begins anew" not in served.run("drive", "--again").stderr


def test_what_it_does_not_go_with(served: Cli) -> None:
    assert b"--tty goes with a command" in served.run("drive", "--tty", "-p", "x", code=2).stderr
    served.run("drive", "--tty", "-o", "seed", "1", "--", "true", code=2)


@pytest.mark.anyio
async def test_a_model_that_is_asked_about_it_is_not_told_of_a_terminal(cli: Cli) -> None:
    async with endpoint.serve() as server:
        cli.environment |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}

        async def drive(*words: str) -> Any:
            return await anyio.to_thread.run_sync(lambda: cli.run("drive", *words))

        await drive(*SHELL, "echo text")
        await drive("--from", "@last", "-p", "Why?")
        assert "tty" not in server.requests[-1].body
    assert "tty" not in json.dumps(json.loads(cli.out("show", "--json", "@last"))["options"])


def test_another_command_has_none() -> None:
    had = GenerationRequest(command=("ls",), options={"tty": True})
    assert inherited(had, GenerationRequest()) == had
    assert inherited(had, GenerationRequest(command=("pwd",))) == GenerationRequest(command=("pwd",))
    assert inherited(had, GenerationRequest(prompt="Why?")).options is None


def test_a_progress_bar_is_one_line_on_the_screen(served: Cli) -> None:
    child = Terminal(("drive", "-q", *SHELL, r"printf '\r10%%\r\033[32m100%%\033[0m\n'"), served.environment)
    child.expect(pexpect.EOF)
    assert re.search(r"\r(\x1b\[K)?\x1b\[32m100%\x1b\[0m", child.before or "")
