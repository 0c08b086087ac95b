"""llama.cpp on this machine: a process for each GGUF file in use, started on first use and stopped when idle.

It runs apart, so that a crash in native code takes no text along, and it ends when we do. How it is asked is
`openai`'s business; `llamacpp_process` is what runs in it.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from subprocess import PIPE
from typing import Any

import anyio
import httpx
from anyio.abc import Process, TaskGroup, TaskStatus

from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import Generation
from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp import shared_libraries as libraries
from ptstream.generators.openai.chat import Manner, Message, chat
from ptstream.generators.openai.upstream import Upstream
from ptstream.settings import Home

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llamacpp_process.py")

CONTEXT = 8192
"""Tokens that a prompt and its answer share."""

MAX_PROMPT = CONTEXT * 128
"""Bytes that can never fit: no token is longer. Counting the tokens of 50 MB takes half a minute and 2 GB."""

IDLE = 300.0
"""Seconds without a user after which a process is stopped."""

GRACE = 2.0
"""Seconds between asking a process to end and killing it."""

SOCKET_PATH = 100
"""Bytes that a socket's path may have everywhere."""

STDERR_BYTES = 64 * 1024
"""Bytes of what a process writes on its stderr that are kept, the last ones."""

STALE = 60.0
"""Seconds after which a socket that nobody listens on belongs to a process that is gone."""


class LocalServer:
    """The llama.cpp processes of one owner, which run in its task group `tasks`.

    `close` it, or cancel the group: the group does not end before they have.
    """

    def __init__(self, home: Home, tasks: TaskGroup, *, idle: float = IDLE) -> None:
        self._home = home
        self._tasks = tasks
        self._idle = idle
        self._servers: dict[str, _Server] = {}
        self._scopes: set[anyio.CancelScope] = set()
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    def __repr__(self) -> str:
        return f"LocalServer({list(self._servers.values())})"

    @property
    def running(self) -> Mapping[str, int]:
        """The process ids, by the path of the GGUF file."""
        return {gguf: server.pid for gguf, server in self._servers.items()}

    def close(self) -> None:
        """Stop every process, used or not. Returns at once."""
        for scope in self._scopes:
            scope.cancel()

    async def chat(self, gguf: str, messages: Sequence[Message], options: Mapping[str, Any]) -> Generation:
        """The answer of the model in the file `gguf`. A last message of the assistant's is continued.

        Raises GeneratorError, also when the process cannot be started or dies.
        """
        size = sum(len(message["content"]) for message in messages)
        if size > MAX_PROMPT:
            raise GeneratorError(f"a prompt of {size} characters is too long: the model takes {CONTEXT} tokens")
        model = os.path.basename(gguf)
        async with (
            self.reach(gguf) as upstream,
            aclosing(chat(upstream, model, messages, options=options, manner=Manner(tries=1))) as events,
        ):
            async for event in events:
                yield event

    @asynccontextmanager
    async def reach(self, gguf: str) -> AsyncIterator[Upstream]:
        """Where the model in the file `gguf` is asked, for as long as the context lasts.

        Raises GeneratorError when the process cannot be started; and instead of one from inside, if it has died.
        """
        async with self._use(gguf) as server:
            with reachable(server.path) as path:
                try:
                    yield Upstream("http://localhost/v1", uds=path, name="llama.cpp")
                except GeneratorError as error:
                    raise await server.explain(error) from error

    @asynccontextmanager
    async def _use(self, gguf: str) -> AsyncIterator[_Server]:
        async with self._locks[gguf]:
            server = self._servers.get(gguf)
            if server is None or server.ended:
                server = await self._started(gguf)
            else:
                server.enter()
        try:
            yield server
        finally:
            server.leave()

    async def _started(self, gguf: str) -> _Server:
        self._home.make()
        sweep(self._home.path)
        server = _Server(gguf, os.path.join(self._home.path, f"model-{secrets.token_hex(4)}.sock"))
        server.enter()
        await self._tasks.start(self._run, server, name=f"llama.cpp {gguf}")
        return server

    async def _run(self, server: _Server, *, task_status: TaskStatus[None]) -> None:
        started = False
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await server.start()
                self._servers[server.gguf] = server
                task_status.started()
                started = True
                await server.until_idle(self._idle)
            finally:
                # Before anything is waited for: whoever comes now starts a process of their own.
                self._scopes.discard(scope)
                if self._servers.get(server.gguf) is server:
                    del self._servers[server.gguf]
                with anyio.CancelScope(shield=True):
                    await server.stop()
        if not started:
            raise GeneratorError("llama.cpp was stopped before it had started")


class _Server:
    """One process, with its socket at `path`, and how many use it."""

    def __init__(self, gguf: str, path: str) -> None:
        self.gguf = gguf
        self.path = path
        self._users = 0
        self._changed = anyio.Event()
        self._process: Process | None = None
        self._stderr = b""

    def __repr__(self) -> str:
        return f"<llama.cpp {self.pid} with {self.gguf}, {self._users} users>"

    @property
    def pid(self) -> int:
        """The process id, 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> bool:
        """Whether the process is known to be gone."""
        return self._process is not None and self._process.returncode is not None

    def enter(self) -> None:
        """One more user."""
        self._users += 1
        self._change()

    def leave(self) -> None:
        """One user fewer."""
        self._users -= 1
        self._change()

    async def start(self) -> None:
        """Start the process and wait until it listens. Raises GeneratorError if it does not come to that."""
        with libraries.environment() as environment:
            self._process = await anyio.open_process(
                # -P: no module of the working directory, or of this one, stands in for one of Python's.
                [sys.executable, "-P", PROCESS, "--model", self.gguf, *self._arguments()],
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment,
                start_new_session=True,  # an interrupt at the terminal is not meant for it
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read_stderr)  # to its end, if it does not listen
                if await self._listens():
                    tasks.cancel_scope.cancel()
                    return
        code = await self._process.wait()
        raise GeneratorError(f"llama.cpp cannot load {self.gguf}: {self._complaint() or _ending(code)}")

    async def until_idle(self, seconds: float) -> None:
        """Returns when nobody has used it for `seconds`, or when it has ended by itself."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wait, tasks.cancel_scope)
            tasks.start_soon(self._read_stderr)
            idle = False
            while not idle:
                changed = self._changed
                with anyio.move_on_after(None if self._users else seconds) as scope:
                    await changed.wait()
                idle = scope.cancelled_caught and not self._users
            tasks.cancel_scope.cancel()

    async def stop(self) -> None:
        """End the process, if need be by force, and remove its socket."""
        if self._process is not None:
            assert self._process.stdin is not None
            await self._process.stdin.aclose()
            with anyio.move_on_after(GRACE):
                await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    async def explain(self, error: GeneratorError) -> GeneratorError:
        """`error`, or what lies behind it if the process has died."""
        if self._process is None or not isinstance(error.__cause__, httpx.TransportError):
            return error
        # The connection breaks a moment before the death is known.
        with anyio.move_on_after(GRACE):
            code = await self._process.wait()
            return GeneratorError(f"llama.cpp ended in the middle of the answer: {_ending(code)}")
        return error

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _arguments(self) -> list[str]:
        # What an answer calls the model: a name, and no path.
        return ["--socket", self.path, "--context", str(CONTEXT), "--alias", _name_of(self.gguf)]

    async def _wait(self, scope: anyio.CancelScope) -> None:
        assert self._process is not None
        await self._process.wait()
        scope.cancel()

    async def _listens(self) -> bool:
        """Whether it has come to listen; else it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            return bool(await self._process.stdout.receive())
        except anyio.EndOfStream:
            return False

    async def _read_stderr(self) -> None:
        """Take what it says beside its answers, to the end, so that it never waits and nothing of it grows."""
        assert self._process is not None
        assert self._process.stderr is not None
        async for part in self._process.stderr:
            self._stderr = (self._stderr + part)[-STDERR_BYTES:]

    def _complaint(self) -> str:
        """What llama.cpp said when it could not load the model, else the last line of its stderr."""
        lines = self._stderr.decode("utf-8", "replace").splitlines()
        reasons = [line.partition("error loading model: ")[2] for line in lines]
        return next(filter(None, reasons), lines[-1] if lines else "")


@contextmanager
def reachable(path: str, descriptors: str = "/proc/self/fd") -> Iterator[str]:
    """A path by which the socket at `path` can be reached, however long that is. Raises ConfigurationError."""
    if len(os.fsencode(path)) <= SOCKET_PATH:
        yield path
        return
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not os.path.exists(f"{descriptors}/{descriptor}"):
            raise ConfigurationError(f"the path of the home is too long for a socket here: {folder}")
        yield f"{descriptors}/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _name_of(gguf: str) -> str:
    file = os.path.basename(gguf)
    return embedded.NAME if file == embedded.FILE else file


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def sweep(folder: str) -> None:
    """Remove the sockets of processes that were killed together with their owner."""
    for name in os.listdir(folder):
        if name.startswith("model-") and name.endswith(".sock"):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                # A young one may have been made, but not be listened on yet.
                if time.time() - os.stat(path).st_mtime > STALE and _deserted(path):
                    os.unlink(path)


def _deserted(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
