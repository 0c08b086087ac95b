"""`ptstream chat` on a real terminal: questions, answers, leaving, coming back, and what else may be typed there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pexpect
import pytest

from ptstream import wire
from tests import endpoint
from tests.conftest import LIMIT, Cli, ended, listening, on_socket, playing, stop_daemon, told
from tests.emulator import Emulator
from tests.terminal import Terminal

ANSWER = endpoint.TEXT
BEGUN = "".join(endpoint.PIECES[:3]).strip()
PASTE, PASTED = "\x1b[200~", "\x1b[201~"


class Talk:
    """The command in a terminal, and what that shows."""

    def __init__(self, cli: Cli, *words: str, columns: int = 80, **environment: str) -> None:
        self.child: Any = Terminal(("chat", *words), cli.environment | environment, dimensions=(24, columns))
        self._shown = Emulator(columns, 24)
        self._seen = 0

    def sees(self, *texts: str) -> str:
        """Waits until the terminal shows this, below what was seen before; the rows from there on."""
        begin = self._seen
        for text in texts:
            self._seen = self.shows(text) + len(text)
        return self.text[begin : self._seen]

    def shows(self, text: str) -> int:
        """Waits until the terminal shows this, in a line that may change yet; where it begins."""
        while (at := self.text.find(text, self._seen)) < 0:
            try:
                self._shown.feed_raw(self.child.read_nonblocking(65536, LIMIT))
            except pexpect.ExceptionPexpect as error:
                raise AssertionError(f"{text!r} is not to be seen in\n{self.text}") from error
        return at

    @property
    def text(self) -> str:
        """All that it shows, its scrollback included."""
        return "\n".join(self._shown.rows)

    def types(self, keys: str) -> None:
        """Keys, where the prompt stands."""
        self.sees("\n>") if self._seen else self.sees("Ctrl-D leaves", ">")
        self.child.send(keys)

    def asks(self, line: str, *then: str) -> str:
        """A line and Enter, and what comes then."""
        self.types(f"{line}\r")
        return self.sees(*then)

    def leaves(self) -> int:
        """The exit code, once it is over."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else 128 + self.child.signalstatus)


@asynccontextmanager
async def endpoint_for(cli: Cli) -> AsyncIterator[endpoint.Server]:
    """A scripted endpoint, which the command asks."""
    async with endpoint.serve() as server:
        cli.environment |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}
        yield server


async def beside(work: Callable[[], Any]) -> Any:
    """What blocks, while the endpoint answers."""
    return await anyio.to_thread.run_sync(work)


def said(server: endpoint.Server) -> list[str]:
    """What the model was told last."""
    asked = [each for each in server.requests if each.method == "POST"]
    return [str(message["content"]) for message in asked[-1].body["messages"]]


@pytest.mark.anyio
async def test_a_conversation(cli: Cli, folder: Path) -> None:
    async with endpoint_for(cli) as server:

        def talk() -> Iterator[None]:
            chat = Talk(cli, "-s", "Be brief.")
            assert "model ok at" in chat.asks("Why?", ANSWER, "done")
            yield
            assert "model" not in chat.asks("And then?", ANSWER, "done")
            yield
            chat.asks("/retry", ANSWER, "done")
            yield
            chat.types("/edit\r")
            chat.sees("edit> And then?")
            chat.child.send("!\x1b\rNow.\r")
            chat.sees(ANSWER, "done")
            yield
            chat.asks("/hlep", "did you mean /help?")
            chat.asks("/mod\t", "model ok")  # alone, it says which
            chat.asks("/model gguf:/nowhere", "ptstream: ", "/nowhere")
            chat.asks(f"/save {folder}/talk.md", "2 turns in")
            chat.asks("/save /etc/passwd", "is there already")
            chat.asks("/help", "Alt-Enter", "Ctrl-D")
            chat.asks("\x0b/no question\x03", "/no question")
            chat.asks(" /etc is what?", ANSWER, "done")
            yield
            chat.types("\x04")
            assert chat.leaves() == 0

        steps = talk()
        told_then = []
        for _ in range(5):
            await beside(partial(next, steps))
            told_then.append(said(server))
        await beside(partial(next, steps, None))
    first = ["Be brief.", "Why?"]
    assert told_then == [
        first,
        [*first, ANSWER, "And then?"],
        [*first, ANSWER, "And then?"],
        [*first, ANSWER, "And then?!\nNow."],
        [*first, ANSWER, "And then?!\nNow.", ANSWER, "/etc is what?"],
    ]
    saved = f"> Why?\n\n{ANSWER}\n\n> And then?!\n> Now.\n\n{ANSWER}\n"
    assert (folder / "talk.md").read_text() == saved
    assert cli.out("cat", "--thread", "@last").startswith(saved)


@pytest.mark.anyio
async def test_leaving_an_answer_and_asking_on(cli: Cli) -> None:
    async with endpoint_for(cli) as server:

        def left() -> Talk:
            chat = Talk(cli, "-m", "stall")
            chat.asks("Why?")
            chat.shows(BEGUN)
            chat.child.send("\x03")
            chat.sees("goes on · ptstream watch")
            chat.asks("And then?", "still runs")
            assert "And then?" in cli.out("ls", "--status", "pending")  # it is not lost, whatever happens
            chat.child.send("\x03")
            chat.sees("goes on")
            chat.shows("\n> And then?")
            assert cli.out("ls", "--status", "pending") == ""
            chat.child.send("\x15/model ok\rSo?\r")
            chat.sees("/model ok", "So?", "still runs")
            return chat

        def right(chat: Talk) -> None:
            chat.sees(ANSWER, "done")
            chat.asks("/model stall", "/model")
            chat.asks("Once more?")
            chat.shows(BEGUN)
            chat.child.send("\x1c")
            chat.sees("was cancelled")
            chat.types("\x04")
            assert chat.leaves() == 0

        chat = await beside(left)
        server.release.set()
        server.release = anyio.Event()
        await beside(partial(right, chat))
        assert said(server) == ["Why?", ANSWER, "So?", ANSWER, "Once more?"]


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["killed", "hung up"])
async def test_after_its_terminal_is_gone_it_comes_back_to_the_whole_answer(cli: Cli, end: str) -> None:
    async with endpoint_for(cli) as server:

        def gone() -> Talk:
            chat = Talk(cli)
            chat.asks("Who?", ANSWER, "done")
            chat.asks("/model stall", "/model")
            chat.asks("Why?")
            chat.shows(BEGUN)
            if end == "killed":
                os.kill(chat.child.pid, signal.SIGKILL)
                assert chat.leaves() == 128 + signal.SIGKILL
            else:
                chat.child.ptyproc.fileobj.close()
                chat.child.closed = chat.child.ptyproc.closed = True
                assert chat.child.wait() == 129
            cli.run("drive", "--", "echo", "a command")
            back = Talk(cli, "-c")
            back.sees("Who?", ANSWER, "Why?")
            back.shows(BEGUN)
            return back

        def whole(back: Talk) -> None:
            back.sees(ANSWER, "done")
            back.asks("/model ok", "/model")
            back.asks("So?", ANSWER, "done")
            back.types("\x04")
            assert back.leaves() == 0

        back = await beside(gone)
        server.release.set()
        await beside(partial(whole, back))
        assert said(server) == ["Who?", ANSWER, "Why?", ANSWER, "So?"]
        # What was stored, and not asked when its terminal was killed, is asked; the rest is what was said.
        last = json.loads(cli.out("ls", "--json", "-n", "1"))["id"]
        with on_socket(cli.home) as http:
            http.post(wire.STREAMS, json={"prompt": "Anew?", "parent": last}).raise_for_status()
        again = await beside(partial(Talk, cli, "-c"))
        await beside(partial(again.sees, "Who?", ANSWER, "Why?", ANSWER, "So?", ANSWER, "Anew?", ANSWER, "done", "\n>"))
        again.child.close()


@pytest.mark.anyio
async def test_a_paste_is_one_question_and_what_was_asked_can_be_had_again(cli: Cli) -> None:
    async with endpoint_for(cli) as server:

        def talk() -> None:
            cli.run("drive", "-p", "An earlier question")
            cli.run("drive", "-p", "x" * 300)
            chat = Talk(cli)
            chat.asks(f"{PASTE}one\rtwo\r\rthree{PASTED}", "one\n  two\n\n  three", ANSWER, "done")
            chat.asks("/model slow", "/model")
            chat.asks("Slowly?")
            chat.shows(BEGUN)
            chat.child.send(f"{PASTE}four\rfive{PASTED}\r")  # while it answers
            chat.sees(ANSWER, "done", "\n> four\n  five", ANSWER, "done")
            chat.asks("si\x00x", ANSWER, "done")  # as Ctrl-D comes that was pressed while it answered
            other = Talk(cli)
            other.types("\x1b[A\x1b[A")
            other.shows("four\n  five")
            other.child.send("\x03")
            other.types("\x12earlier")
            other.shows("An earlier question")
            other.child.send("\r\r")
            other.sees(ANSWER, "done")
            other.types("\x12xxx")
            other.shows("x" * 50)
            other.child.close()

        await beside(talk)
        assert said(server) == ["An earlier question"]
    prompts = [told(cli, line.split("\t")[0])["prompt"] for line in cli.out("ls").splitlines()]
    assert prompts[1:5] == ["six", "four\nfive", "Slowly?", "one\ntwo\n\nthree"]


def test_without_a_terminal_each_line_is_a_question(cli: Cli, folder: Path) -> None:
    with playing() as url:
        cli.environment |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}
        done = cli.run("chat", input=f"Why?\n\n  And then?\n/save {folder}/talk.md\n /last\n")
        assert done.stdout.decode() == f"{ANSWER}\n" * 3
        assert done.stderr.count(b"model ok at") == 1
        assert (folder / "talk.md").read_text() == f"> Why?\n\n{ANSWER}\n\n> And then?\n\n{ANSWER}\n"
        first, second, third = reversed([line.split("\t")[0] for line in cli.out("ls").splitlines()])
        assert [told(cli, id)["parent"] for id in (first, second, third)] == [None, first, second]
        assert cli.run("chat", "-c", first, input="So?").stdout.decode() == f"{ANSWER}\n"
        assert told(cli, cli.out("ls", "-q", "-n", "1").strip())["parent"] == first
        # What fails is the last thing that is asked.
        assert cli.run("chat", "-m", "error-inside", input="Why?\nWhy?\n", code=5).stdout.count(b"It was a") == 1
        for words, given, code in (
            (("chat",), "/nope\nWhy?\n", 2),
            (("chat",), "/retry\n", 2),
            (("chat", "Why?"), "", 2),
            (("chat", "-c", "nosuch"), "", 3),
            (("chat",), "", 0),
        ):
            assert cli.run(*words, input=given, code=code).stdout == b""


def test_a_pipe_that_ends_no_line_is_refused_in_words(cli: Cli) -> None:
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as source:
        refused = cli.run("chat", stdin=source.stdout, code=2)
        source.kill()
    assert b"a question is a line, and may have 16777216 bytes" in refused.stderr
    assert cli.out("ls") == ""


def test_a_running_answer_is_waited_for_without_a_terminal_too(cli: Cli) -> None:
    with playing() as url:
        cli.environment |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}
        running = cli.out("drive", "-d", "-m", "stall", "-p", "Why?").strip()
        with cli.started("chat", "-c", "-m", "ok", stdin=subprocess.PIPE) as process:
            process.stdin.write(b"So?\n")
            process.stdin.close()
            assert b"still runs" in process.stderr.readline()
            cli.run("cancel", running, code=None)
            assert process.stdout.read().decode() == f"{ANSWER}\n"
            assert ended(process) == 0


def test_on_a_terminal_that_draws_nothing_no_control_sequence_is_written(cli: Cli) -> None:
    with playing() as url:
        cli.environment |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "PTSTREAM_MODEL": "ok"}
        chat = Terminal(("chat",), cli.environment | {"TERM": "dumb"})
        chat.expect_exact("> ")
        chat.send("dropped")
        chat.expect_exact("dropped")
        chat.sendintr()
        chat.expect_exact("\r\n> ")
        chat.send("Why?\r")
        chat.expect_exact(ANSWER)
        assert "\x1b" not in str(chat.before)
        chat.expect_exact("\r\n> ")
        chat.sendeof()
        chat.expect(pexpect.EOF)
        assert "\x1b" not in str(chat.before)
        chat.close()
        assert chat.exitstatus == 0
    assert told(cli, "@last")["prompt"] == "Why?"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_the_prompt(cli: Cli, number: int, code: int) -> None:
    chat = Talk(cli)
    chat.types("half a question")
    chat.shows("half a question")
    os.kill(chat.child.pid, signal.SIGINT)  # as Ctrl-C
    chat.sees("half a question")
    chat.types("another")
    chat.shows("another")
    os.kill(chat.child.pid, number)
    assert chat.leaves() == code


def test_what_stands_in_the_way_is_said_and_one_asks_on_and_elsewhere_it_is_the_same(cli: Cli) -> None:
    with playing() as url, listening(f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{url}"\n') as face:
        cli.environment |= {"PTSTREAM_HOST": face.url, "PTSTREAM_TOKEN": face.token, "NO_COLOR": "1"}
        cli.run("drive", "-p", "Who?")
        chat = Talk(cli, columns=40)
        chat.asks("/retry", "nothing has been asked yet")
        chat.asks("Why?", "model ok at", ANSWER[:39], "done")
        chat.asks("/model nosuch/one", "ptstream: ", "nosuch")
        chat.asks("/model mine/error-inside", "/model")
        chat.asks("And then?", "ran out of memory", "error")
        chat.asks("/model mine/ok", "/model")
        chat.asks("/retry", ANSWER[:39], "done")
        chat.types("/model mi\t")
        chat.shows("/model mine/ok")
        chat.child.send("\x03")
        face.cli.run("rm", "-f", "@last")
        chat.asks("So?", "the conversation has been", "begins another")
        chat.shows("\n> So?")
        chat.child.send("\r")
        chat.sees("So?", ANSWER[:39], "done")
        stop_daemon(face.cli.home)
        chat.asks("Where are you?", "daemon")
        chat.child.send("\x03")  # it would go on trying for a while
        chat.sees("interrupted")
        chat.shows("\n> Where are you?")
        chat.child.send("\x03")
        chat.types("\x04")
        assert chat.leaves() == 0
        face.cli.run("daemon", "start")
        assert "And then?" in face.cli.out("ls")


def test_no_other_command_loads_what_the_prompt_needs() -> None:
    line = "import sys; from ptstream.cli import app; [app.load(name) for name in app.COMMANDS]; "
    subprocess.run([sys.executable, "-c", f"{line}assert 'prompt_toolkit' not in sys.modules"], check=True)
