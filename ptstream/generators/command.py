"""A command's output as a stream: its prompt on stdin, its stdout the text, its exit the end.

It runs in its own session, in the caller's directory, with the caller's environment, umask and limit on core files.
What it writes to stderr goes beside the text, and the end of it becomes the cause when the command fails.
"""

from __future__ import annotations

import codecs
import contextlib
import math
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ptstream import coredump
from ptstream.errors import GeneratorError, ungrouped
from ptstream.generators import Caller, Event, Note, Source, Stderr
from ptstream.streams import Flush, Words

DRAIN = 0.5
DRAIN_BYTES = 1024 * 1024
"""Seconds that a pipe is waited for after the exit, and bytes that may come out of it: a child in the background may
hold it open for ever, and a command leaves no more behind than a pipe and our buffer hold."""

GRACE = 0.1
"""Seconds between SIGTERM and SIGKILL."""

FED = 64 * 1024
"""Bytes of stdin that are written at once. The event loop copies what a pipe does not take."""

KEPT_STDERR = 4096
"""Bytes of the end of stderr that are kept for the cause."""

Output = tuple[Literal["stdout", "stderr"], bytes]


@dataclass(slots=True, eq=False)
class Command:
    """A running command. `output` gives what it writes as it comes, and ends soon after its exit."""

    argv: Sequence[str]
    output: MemoryObjectReceiveStream[Output]
    _process: Process
    _end: bytearray = field(default_factory=bytearray)

    async def end(self) -> None:
        """Wait for the exit. Raises GeneratorError for a bad one, with the end of stderr as the cause."""
        code = await self._process.wait()
        if code == 0:
            return
        how = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
        raise GeneratorError(": ".join(filter(None, [f"{self.argv[0]}: {how}", self.last_words])))

    @property
    def last_words(self) -> str:
        """The end of its stderr; where that is one pipe with stdout, the end of both."""
        lines = self._end.decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-10:])[-1000:]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.asynccontextmanager
async def running(
    argv: Sequence[str], *, stdin: bytes | None, caller: Caller, left: list[str] | None = None, one_pipe: bool = False
) -> AsyncIterator[Command]:
    """The command, for as long as the context lasts; what is left of its process group then is killed.

    With `one_pipe`, its stdout and stderr are the same pipe, so that all it writes keeps its order: it is `stdout`.

    What left the group on purpose is somebody's daemon, perhaps: it is added to `left`, `name (pid N)`, and lives.

    Raises GeneratorError when it cannot be started.
    """
    process = await _start(argv, stdin, caller, one_pipe)
    send, receive = anyio.create_memory_object_stream[Output](0)
    command = Command(argv, receive, process)
    try:
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                if process.stdin is not None:
                    tasks.start_soon(_feed, process.stdin, stdin or b"")
                tasks.start_soon(_read_all, process, send, command._end)
                yield command
                tasks.cancel_scope.cancel()
    finally:
        receive.close()
        with anyio.CancelScope(shield=True):
            outliving = await _kill(process)
            if left is not None:
                left += outliving
            await process.aclose()


async def _start(argv: Sequence[str], stdin: bytes | None, caller: Caller, one_pipe: bool) -> Process:
    try:
        async with coredump.limited(caller.core):
            return await anyio.open_process(
                _located(argv, caller),
                stdin=-3 if stdin is None else -1,  # subprocess.DEVNULL, subprocess.PIPE
                stderr=-2 if one_pipe else -1,  # subprocess.STDOUT
                cwd=caller.directory,
                # Python would hold back what it prints into a pipe.
                env={"PYTHONUNBUFFERED": "1", **caller.environment},
                umask=caller.umask,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        missing = caller.directory if not os.path.isdir(caller.directory) else argv[0]
        raise GeneratorError(f"{missing}: no such command" if missing == argv[0] else f"{missing} is gone") from error
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{argv[0]} cannot be started: {getattr(error, 'strerror', None) or error}") from error


def _located(argv: Sequence[str], caller: Caller) -> list[str]:
    """Found on the caller's PATH, not on ours."""
    import shutil

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
            for start in range(0, len(data), FED):
                await pipe.send(data[start : start + FED])


async def _read_all(process: Process, send: MemoryObjectSendStream[Output], last_words: bytearray) -> None:
    """Its pipes until their ends, or for a while after the exit; `last_words` is of stderr, or of the one pipe."""
    assert process.stdout is not None
    if process.stderr is None:
        pipes = [_Pipe("stdout", process.stdout, send, last_words)]
    else:
        pipes = [_Pipe("stdout", process.stdout, send), _Pipe("stderr", process.stderr, send, last_words)]
    async with send, anyio.create_task_group() as tasks:
        for pipe in pipes:
            tasks.start_soon(pipe.read)
        await process.wait()
        for pipe in pipes:
            pipe.exited()


class _Pipe:
    """One of a command's two, read to its end; after the exit, no further than what the command itself may have left.

    Only the time that is spent waiting for the pipe counts: a reader that is held up, as by a full disk, loses nothing.
    """

    def __init__(
        self,
        name: Literal["stdout", "stderr"],
        pipe: ByteReceiveStream,
        send: MemoryObjectSendStream[Output],
        kept: bytearray | None = None,
    ) -> None:
        self._name: Literal["stdout", "stderr"] = name
        self._pipe = pipe
        self._send = send
        self._kept = kept
        self._patience = math.inf
        self._left = math.inf
        self._receiving = anyio.CancelScope()

    def exited(self) -> None:
        """From now on its end is near."""
        self._patience, self._left = DRAIN, DRAIN_BYTES
        self._receiving.deadline = anyio.current_time() + DRAIN

    async def read(self) -> None:
        """Until its end."""
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            while self._left > 0 and (data := await self._receive()):
                self._left -= len(data)
                if self._kept is not None:
                    self._kept += data
                    del self._kept[:-KEPT_STDERR]
                await self._send.send((self._name, data))

    async def _receive(self) -> bytes:
        """What comes next; b"" when patience is over. Raises EndOfStream."""
        began, patience = anyio.current_time(), self._patience
        with anyio.CancelScope(deadline=began + patience) as self._receiving:
            data = await self._pipe.receive()
            if patience < math.inf:
                self._patience -= anyio.current_time() - began
            return data
        return b""


async def _kill(process: Process) -> list[str]:
    """End the process group; what of its descendants goes on outside of it."""
    family = descendants(process.pid)
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await process.wait()
    # Also after an orderly exit: the group outlives its leader when it left children behind.
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()
    return [f"{name} (pid {pid})" for pid in family if (name := _name_outside(pid, process.pid))]


def _name_outside(pid: int, group: int) -> str | None:
    """The name of a process that lives and is not of this process group."""
    with contextlib.suppress(OSError):
        if os.getpgid(pid) != group:
            with open(f"/proc/{pid}/stat", "rb") as file:
                head, _, rest = file.read().decode("utf-8", "replace").rpartition(")")
            if rest.split()[0] not in ("Z", "X"):
                return head.partition("(")[2]
    return None


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def descendants(pid: int, proc: str = "/proc") -> list[int]:
    """The processes that `pid` started and theirs, also those that left its group. Empty where the system is silent."""
    found: list[int] = []
    todo = [pid]
    while todo:
        children = _children(todo.pop(), proc)
        found += children
        todo += children
    return found


def _children(pid: int, proc: str) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"{proc}/{pid}/task"):
            with open(f"{proc}/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    return found


class Decoder:
    """UTF-8 in any cuts; what is not UTF-8 becomes U+FFFD and is counted in `replaced`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carry = b""
        self.replaced = 0

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text that is whole now."""
        text = self._decoder.decode(data, final)
        genuine = (self._carry + data).count(b"\xef\xbf\xbd")  # U+FFFD that was there already
        self._carry = data[-2:] if len(data) >= 2 else (self._carry + data)[-2:]
        self.replaced += max(0, text.count("\ufffd") - genuine)
        return text


async def _generate(
    argv: Sequence[str], stdin: bytes | None, caller: Caller, left: list[str]
) -> AsyncGenerator[Event, None]:
    text, beside = Decoder(), Decoder()
    async with running(argv, stdin=stdin, caller=caller, left=left, one_pipe=caller.stderr) as command:
        async for name, data in command.output:
            if name == "stdout":
                yield text.feed(data)
            elif piece := beside.feed(data):
                yield Stderr(piece)
        yield text.feed(b"", final=True)
        if text.replaced:
            yield Note(f"{text.replaced} bytes that are not UTF-8 were replaced by U+FFFD")
        await command.end()


def source(words: Words, caller: Caller) -> Source:
    """The stream's command, ready to run. Silence is normal for it."""
    assert words.command
    argv = words.command
    prompt = None if words.prompt is None else words.prompt.encode("utf-8", "replace")
    left: list[str] = []
    return Source(
        model=os.path.basename(argv[0]),
        place=os.fsencode(caller.directory).decode("utf-8", "replace"),
        flush=Flush.LINES,
        generate=lambda: _generate(argv, prompt, caller, left),
        patient=True,
        left=left,
    )
