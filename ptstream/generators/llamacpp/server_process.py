"""One process of llama.cpp: its start, its end, what it wrote on stderr, and how many use it.

`local_server` decides which there are; `llamacpp_process` is what runs in it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from subprocess import PIPE

import anyio
import httpx
from anyio.abc import Process

from ptstream.child_signals import send_signal
from ptstream.errors import GeneratorError
from ptstream.generators.child_process import describe_exit
from ptstream.generators.llamacpp import embedded, shared_libraries
from ptstream.generators.llamacpp.gguf import CONTEXT

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llamacpp_process.py")

GRACE = 2.0
"""Seconds between asking a process to end and killing it."""

STDERR_BYTES = 64 * 1024
"""Bytes of what a process writes on its stderr that are kept, the last ones."""


class ServerProcess:
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
        with shared_libraries.environment() as environment:
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
        raise GeneratorError(f"llama.cpp cannot load {self.gguf}: {self._complaint() or describe_exit(code)}")

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
            send_signal(self._process, signal.SIGKILL)
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
            return GeneratorError(f"llama.cpp ended in the middle of the answer: {describe_exit(code)}")
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


def _name_of(gguf: str) -> str:
    file = os.path.basename(gguf)
    return embedded.NAME if file == embedded.FILE else file
