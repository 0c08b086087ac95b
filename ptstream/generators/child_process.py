"""A process that is run for its output: started where the caller stands, read to its exit, ended with its group.

It runs in its own session, in the caller's directory, with the caller's environment, umask and limit on core files.
Its output comes through pipes, or through a pseudo-terminal.
Its end is its exit: a child of its own that holds a pipe open is not waited for. `process_group` ends it.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import anyio
from anyio.abc import ByteSendStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ptstream import coredump
from ptstream.errors import GeneratorError
from ptstream.generators import Caller
from ptstream.generators.process_group import end_group
from ptstream.generators.pseudo_terminal import PseudoTerminal, environment_of, line_of
from ptstream.ungrouped import ungrouped

DRAIN_SECONDS = 0.5
"""How long a pipe is waited for after the exit: a child in the background may hold it open for ever."""

DRAIN_BYTES = 1024 * 1024
"""How much may come out of a pipe after the exit: a process leaves no more behind than a pipe and our buffer hold."""

STDIN_BLOCK = 64 * 1024
"""Bytes of stdin that are written at once. The event loop copies what a pipe does not take."""

STDERR_END = 4096
"""Bytes of the end of stderr that are kept for the cause."""

Output = tuple[Literal["stdout", "stderr"], bytes]


@dataclass(slots=True, eq=False)
class ChildProcess:
    """A running process. `output` gives what it writes as it comes, and ends soon after its exit."""

    argv: Sequence[str]
    output: MemoryObjectReceiveStream[Output]
    _process: Process
    _end: bytearray = field(default_factory=bytearray)

    async def exit(self) -> int:
        """Wait for the exit; its code as `subprocess` has it: below 0 it is the signal that killed it."""
        return await self._process.wait()

    async def end(self) -> None:
        """Wait for the exit. Raises GeneratorError for a bad one, with the end of stderr as the cause."""
        code = await self.exit()
        if code == 0:
            return
        raise GeneratorError(": ".join(filter(None, [f"{self.argv[0]}: {describe_exit(code)}", self.last_words])))

    @property
    def last_words(self) -> str:
        """The end of its stderr; where that is one pipe with stdout, the end of both."""
        lines = self._end.decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-10:])[-1000:]


def describe_exit(code: int) -> str:
    """How a process ended, for a person; `code` is that of `subprocess`: below 0 it is the signal that killed it."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal_name(-code)}"


def signal_name(number: int) -> str:
    """A signal as it is called; as its number, where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.asynccontextmanager
async def running(
    argv: Sequence[str],
    *,
    stdin: bytes | None,
    caller: Caller,
    survivors: list[str] | None = None,
    one_pipe: bool = False,
    terminal: PseudoTerminal | None = None,
) -> AsyncIterator[ChildProcess]:
    """The process, for as long as the context lasts; what remains of its process group then is killed.

    With `one_pipe`, its stdout and stderr are the same pipe, so that all it writes keeps its order: it is `stdout`.
    With `terminal`, they are that, opened for as long.

    A descendant that left the group on purpose is somebody's daemon, perhaps: it lives on, and is added to `survivors`
    as `name (pid N)`.

    Raises GeneratorError when it cannot be started.
    """
    with _opened(terminal) as pty:
        process = await _start(argv, stdin, caller, one_pipe, pty)
        send, receive = anyio.create_memory_object_stream[Output](0)
        child = ChildProcess(argv, receive, process)
        try:
            with ungrouped():
                async with anyio.create_task_group() as tasks:
                    if process.stdin is not None:
                        tasks.start_soon(_feed, process.stdin, stdin or b"")
                    tasks.start_soon(_read_all, process, _pipes(process, pty, send, child._end), send)
                    yield child
                    tasks.cancel_scope.cancel()
        finally:
            receive.close()
            with anyio.CancelScope(shield=True):
                alive = await end_group(process)
                if survivors is not None:
                    survivors += alive
                await process.aclose()


@contextlib.contextmanager
def _opened(terminal: PseudoTerminal | None) -> Iterator[PseudoTerminal | None]:
    if terminal is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(terminal.opened())
        except OSError as error:
            raise GeneratorError(f"there is no terminal to be had: {error.strerror}") from error
        yield opened


async def _start(
    argv: Sequence[str], stdin: bytes | None, caller: Caller, one_pipe: bool, pty: PseudoTerminal | None
) -> Process:
    try:
        line, environment = _located(argv, caller), caller.environment
        if pty:
            line, environment = line_of(line), environment_of(environment)
        async with coredump.limited(caller.core):
            process = await anyio.open_process(
                line,
                stdin=-3 if stdin is None else -1,  # subprocess.DEVNULL, subprocess.PIPE
                stdout=pty.theirs if pty else -1,
                stderr=-2 if one_pipe or pty else -1,  # subprocess.STDOUT
                cwd=caller.directory,
                # Python would hold back what it prints into a pipe.
                env={"PYTHONUNBUFFERED": "1", **environment},
                umask=caller.umask,
                start_new_session=True,
            )
        if pty:
            pty.release()
        return process
    except FileNotFoundError as error:
        missing = caller.directory if not os.path.isdir(caller.directory) else argv[0]
        raise GeneratorError(f"{missing}: no such command" if missing == argv[0] else f"{missing} is gone") from error
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{argv[0]} cannot be started: {getattr(error, 'strerror', None) or error}") from error


def _located(argv: Sequence[str], caller: Caller) -> list[str]:
    """Found on the caller's PATH, not on ours."""
    program = argv[0]
    if os.sep not in program:
        found = shutil.which(program, path=caller.environment.get("PATH", os.defpath))
        if found is None:
            raise FileNotFoundError(program)
        # A PATH may name directories relative to the caller's.
        program = os.path.join(caller.directory, found)
    return [program, *argv[1:]]


async def _feed(pipe: ByteSendStream, data: bytes) -> None:
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with pipe:
            for start in range(0, len(data), STDIN_BLOCK):
                await pipe.send(data[start : start + STDIN_BLOCK])


def _pipes(
    process: Process, pty: PseudoTerminal | None, send: MemoryObjectSendStream[Output], last_words: bytearray
) -> list[_Pipe]:
    """All that it writes to; `last_words` is of stderr, or of what is both."""
    if pty:
        return [_Pipe("stdout", pty, send, last_words)]
    assert process.stdout is not None
    if process.stderr is None:
        return [_Pipe("stdout", process.stdout, send, last_words)]
    return [_Pipe("stdout", process.stdout, send), _Pipe("stderr", process.stderr, send, last_words)]


async def _read_all(process: Process, pipes: Sequence[_Pipe], send: MemoryObjectSendStream[Output]) -> None:
    """Its pipes until their ends, or for a while after the exit."""
    async with send, anyio.create_task_group() as tasks:
        for pipe in pipes:
            tasks.start_soon(pipe.read)
        await process.wait()
        for pipe in pipes:
            pipe.exited()


class _Bytes(Protocol):
    """Where bytes come from: a pipe, or a terminal."""

    async def receive(self) -> bytes:
        """What comes next. Raises EndOfStream."""
        ...


class _Pipe:
    """One of a process's outputs, read to its end; after the exit, no further than what the process may have left.

    Only the time that is spent waiting for the pipe counts: a reader that is held up, as by a full disk, loses nothing.
    """

    def __init__(
        self,
        name: Literal["stdout", "stderr"],
        pipe: _Bytes,
        send: MemoryObjectSendStream[Output],
        kept: bytearray | None = None,
    ) -> None:
        self._name: Literal["stdout", "stderr"] = name
        self._pipe = pipe
        self._send = send
        self._kept = kept
        self._seconds_left = math.inf
        self._bytes_left = math.inf
        self._receiving = anyio.CancelScope()

    def exited(self) -> None:
        """From now on its end is near."""
        self._seconds_left, self._bytes_left = DRAIN_SECONDS, DRAIN_BYTES
        self._receiving.deadline = anyio.current_time() + DRAIN_SECONDS

    async def read(self) -> None:
        """Until its end."""
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            while self._bytes_left > 0 and (data := await self._receive()):
                self._bytes_left -= len(data)
                if self._kept is not None:
                    self._kept += data
                    del self._kept[:-STDERR_END]
                await self._send.send((self._name, data))

    async def _receive(self) -> bytes:
        """What comes next; b"" when nothing has come in time. Raises EndOfStream."""
        began, seconds_left = anyio.current_time(), self._seconds_left
        with anyio.CancelScope(deadline=began + seconds_left) as self._receiving:
            data = await self._pipe.receive()
            if seconds_left < math.inf:
                self._seconds_left -= anyio.current_time() - began
            return data
        return b""
