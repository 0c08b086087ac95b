"""The command and the daemon, forked from a process that has their imports already: a start takes a tenth of the time.

Most of what a command of the tests' costs is the loading of modules, which is the same for all of them. So one process
loads them once, and is forked for each command, and for each daemon that such a command starts: what runs then is the
program, with its own arguments, environment, directory, standard streams and exit code. What only a start from nothing
shows (what a line imports, an interrupt while modules load, the environment that the kernel remembers) is tested by
tests that start `conftest.PTSTREAM` themselves, or ask for a `fresh` start: the daemon of a fresh command is fresh too.

Linux alone; elsewhere, and for what a fork cannot be given, a process is started as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

LARGEST = 100_000
"""Bytes of a request to the process that is forked; for a longer line a command is started from nothing."""

READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_")
"""How the names of variables begin that are read when Python starts, by itself or by the system's loader."""

READ_BY_US = {"PYTHONUNBUFFERED"}
"""Of these what the standard streams are opened for a new process by."""

PID = STATUS = struct.Struct("i")

COMMAND = "ptstream.cli.entry"

CODE = "-c"
"""In place of a module: the first word is a program's text."""

DAEMON = [sys.executable, "-P", "-m", "ptstream.daemon"]
"""How a command's line for a daemon begins."""

SHOWN = 400
"""Bytes that `ps` can show of the words of a process that was forked."""

NUMBERS = 1000
"""Descriptors below this number are closed in a new process; those that it gets wait above for their own numbers."""

PR_SET_PDEATHSIG = 1


class Request(NamedTuple):
    """What a process is to become."""

    words: list[str]
    environment: dict[str, str]
    directory: str
    module: str = COMMAND
    """What it runs as its main program."""
    session: bool = False
    """Whether it gets a session of its own."""
    passed: Sequence[int] = ()
    """The numbers of the descriptors that it gets beyond its standard streams."""
    is_daemon: bool = False
    """Whether it outlives whoever asked for it, and asks for no other."""
    dies: bool = False
    """Whether it is killed when the tests' process ends."""
    terminal: bool = False
    """Whether its stdin is its controlling terminal."""


HOW = ("session", "passed", "dies", "terminal")
"""What of a request is said beside the words."""


class Process:
    """A command that runs, with what of `subprocess.Popen` the tests use."""

    def __init__(self, line: Sequence[str], report: int, pipes: Sequence[IO[bytes] | None]) -> None:
        self.args = list(line)
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = pipes
        self._report = report
        self.pid = int(PID.unpack(os.read(report, PID.size))[0])

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        if (code := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(STATUS.unpack(os.read(self._report, STATUS.size))[0])
            os.close(self._report)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Feed it, and read all that it says. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        said: dict[IO[bytes], bytes] = {}
        outputs = [pipe for pipe in (self.stdout, self.stderr) if pipe]
        readers = [threading.Thread(target=lambda pipe=pipe: said.update({pipe: pipe.read()})) for pipe in outputs]
        feeder = threading.Thread(target=_feed, args=(self.stdin, input or b""))
        for thread in (*readers, feeder):
            thread.daemon = True
            thread.start()
        for thread in readers:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        for pipe in outputs:
            pipe.close()
        return tuple(said.get(pipe) if pipe else None for pipe in (self.stdout, self.stderr))  # type: ignore[return-value]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.stdout, self.stderr, self.stdin):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.wait()


def _feed(pipe: IO[bytes] | None, data: bytes) -> None:
    if pipe and not pipe.closed:
        with contextlib.suppress(BrokenPipeError):
            pipe.write(data)
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


class Forks:
    """Starts processes by asking the one that is forked for it."""

    def __init__(self, asked: socket.socket, read: Mapping[str, str]) -> None:
        self._socket = asked
        self._read = read

    def start(self, line: Sequence[str], environment: Mapping[str, str], **more: Any) -> Process | None:
        """Start the command or another `module` with these words; None if only a start from nothing will do."""
        directory = os.fspath(more.pop("cwd", None) or os.getcwd())
        how = {name: more.pop(name) for name in ("module", *HOW) if name in more}
        return self._start(Request(list(line), dict(environment), directory, **how), more)

    def daemon(self, line: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int], **more: Any) -> Any:
        """The same for a daemon, which a command starts."""
        assert more.pop("start_new_session")
        words = list(line[len(DAEMON) :])
        request = Request(words, dict(env), os.getcwd(), DAEMON[-1], session=True, passed=pass_fds, is_daemon=True)
        return self._start(request, more)

    def _start(self, request: Request, more: dict[str, Any]) -> Process | None:
        streams = [more.pop(name, None) for name in ("stdin", "stdout", "stderr")]
        data = json.dumps(request).encode()
        if more or len(data) > LARGEST or read_at_start(request.environment) != self._read:
            return None
        with contextlib.ExitStack() as stack:
            given, pipes = _opened(streams, stack)
            reading, writing = os.pipe()
            stack.callback(os.close, writing)
            # The new process can ask for others.
            socket.send_fds(self._socket, [data], [writing, self._socket.fileno(), *given, *request.passed])
        return Process(request.words, reading, pipes)


class Preloaded(Forks):
    """The process that is forked. It ends with whoever started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(ours, read_at_start(environment))
        life, self._life = os.pipe()
        passed = [theirs.fileno(), life]
        with theirs:
            line = [sys.executable, "-P", __file__, *map(str, passed), " " * SHOWN]
            self._process = subprocess.Popen(line, pass_fds=passed, env=environment)
        os.close(life)

    def close(self) -> None:
        """End it."""
        os.close(self._life)
        self._socket.close()
        self._process.wait()


FORWARDED = [
    sys.executable,
    "-I",
    "-S",
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "forwarded_command.py"),
]
"""A program that is the command; its first word is the path of a socket where somebody is `forwarding`."""


@contextlib.contextmanager
def forwarding(path: str, start: Callable[..., Any]) -> Iterator[None]:
    """What others start as `FORWARDED`, with this socket, is started by `start`; if that gives None, from nothing."""
    if sys.platform != "linux":
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(128)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_forward, args=(listener.accept()[0], start), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def _forward(asking: socket.socket, start: Callable[..., Any]) -> None:
    with asking, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        data, given, _, _ = socket.recv_fds(asking, LARGEST * 2, 3)
        words, environment, directory = json.loads(data)
        stdin, stdout, stderr = given
        process = start(words, environment, cwd=directory, stdin=stdin, stdout=stdout, stderr=stderr)
        for descriptor in given:
            os.close(descriptor)
        if process:
            asking.send(b"+")
            asking.send(str(process.wait() % 256).encode())


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What of it Python and the system's loader read when a process starts, which a fork does not do again."""
    return {
        name: value for name, value in environment.items() if name.startswith(READ_AT_START) and name not in READ_BY_US
    }


def _opened(streams: Sequence[Any], stack: contextlib.ExitStack) -> tuple[list[int], list[IO[bytes] | None]]:
    """What the command gets as its standard streams, and our ends of the pipes among them."""
    given: list[int] = []
    pipes: list[IO[bytes] | None] = []
    for number, stream in enumerate(streams):
        ours: IO[bytes] | None = None
        if stream == subprocess.PIPE:
            reading, writing = os.pipe()
            theirs, kept = (reading, writing) if number == 0 else (writing, reading)
            stack.callback(os.close, theirs)
            ours = os.fdopen(kept, "wb" if number == 0 else "rb", buffering=0 if number == 0 else -1)
        elif stream == subprocess.DEVNULL:
            theirs = os.open(os.devnull, os.O_RDWR)
            stack.callback(os.close, theirs)
        elif stream == subprocess.STDOUT:
            theirs = given[1]
        else:
            theirs = number if stream is None else stream if isinstance(stream, int) else stream.fileno()
        given.append(theirs)
        pipes.append(ours)
    return given, pipes


# --- in the process that is forked

LATE = (
    *("httpx", "anyio._backends._asyncio", "watchfiles", "rich.live", "rich.markdown", "typer.rich_utils"),
    *("uvicorn.loops.asyncio", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.off"),
    *("anyio.streams.memory", "typer.completion", "typer._click.decorators", "encodings.ascii", "zoneinfo"),
    "ptstream.here",
)
"""What is imported when it is used."""


def _load() -> None:
    """All modules of the command's and the daemon's, what they load late, and what typer makes of the commands."""
    engines = ("engine.sqlite", "engine.postgres") if importlib.util.find_spec("psycopg") else ("engine.sqlite",)
    for package in ("cli", "client", "daemon", *engines, "generators"):
        folder = importlib.import_module(f"ptstream.{package}")
        for module in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for late in LATE:
        importlib.import_module(late)
    for lazy in ("open_process", "open_signal_receiver"):
        getattr(importlib.import_module("anyio"), lazy)
    app = importlib.import_module("ptstream.cli.app")
    app.application()
    for command in app.COMMANDS:
        app.load(command)
    assert threading.active_count() == 1
    gc.freeze()


def _forks(requests: socket.socket, life: int) -> Iterator[Request]:
    """Fork for each request; yields it in the new process. Tells how each has ended, until `life` does."""
    running: dict[int, tuple[int, int]] = {}
    events = select.poll()
    for each in (requests.fileno(), life):
        events.register(each, select.POLLIN)
    while True:
        for ready, _ in events.poll():
            if ready == life:
                os._exit(0)
            if ready != requests.fileno():
                events.unregister(ready)
                _ended(ready, *running.pop(ready))
                continue
            data, given, _, _ = socket.recv_fds(requests, LARGEST * 2, 8)
            if not data:  # whoever could ask is gone
                os._exit(0)
            report, *descriptors = given
            if not (pid := os.fork()):
                requests.close()
                _become(request := Request(*json.loads(data)), descriptors)
                yield request
                return
            for descriptor in descriptors:
                os.close(descriptor)
            running[process := os.pidfd_open(pid)] = (pid, report)
            events.register(process, select.POLLIN)
            os.write(report, PID.pack(pid))


def _ended(process: int, pid: int, report: int) -> None:
    """Tell how it ended."""
    with contextlib.suppress(BrokenPipeError):  # nobody waits for a daemon's end
        os.write(report, STATUS.pack(os.waitpid(pid, 0)[1]))
    os.close(report)
    os.close(process)


def _become(request: Request, descriptors: Sequence[int]) -> None:
    if request.session:
        os.setsid()
    if request.dies:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    asked, *given = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, NUMBERS) for each in descriptors)
    os.closerange(3, NUMBERS)
    for kept, number in zip(given, (0, 1, 2, *request.passed), strict=True):
        os.dup2(kept, number)
        os.close(kept)
    if request.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request.directory)
    _show([sys.executable, "-P", *(("-m", request.module) if request.module != CODE else (CODE,)), *request.words])
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = (_stream(*each) for each in enumerate((sys.stdin, sys.stdout, sys.stderr)))
    if request.is_daemon:
        os.close(asked)
    else:
        _DaemonForked.forks = Forks(socket.socket(fileno=asked), read_at_start(request.environment))
        subprocess.Popen = _DaemonForked  # type: ignore[assignment, misc]


class _DaemonForked(subprocess.Popen[bytes]):
    """Starts processes as ever, and the daemon by a fork."""

    forks: Forks

    def __new__(cls, args: Sequence[str], *rest: Any, **more: Any) -> Any:
        forked = cls.forks.daemon(args, **more) if list(args[: len(DAEMON)]) == DAEMON else None
        return forked or super().__new__(cls)


def _show(words: Sequence[str]) -> None:
    """Have `ps` show these words, as it shows those that a process was started with."""
    with open("/proc/self/stat", encoding="ascii") as stat:
        begin, end = (int(word) for word in stat.read().rpartition(")")[2].split()[45:47])
    text = os.fsencode("\0".join(words))[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def _stream(number: int, old: Any) -> io.TextIOWrapper:
    """As Python opens its standard streams."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED")) and number > 0
    raw = os.fdopen(number, "wb" if number else "rb", buffering=0 if unbuffered else -1, closefd=False)
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(
        raw,
        encoding=old.encoding,
        errors=old.errors,
        newline=None if number == 0 else "\n",
        line_buffering=lines,
        write_through=unbuffered,
    )


def _serve() -> None:
    _load()
    from ptstream.cli import entry

    request = next(_forks(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.module == COMMAND:
        sys.argv = [str(entry.__file__), *request.words]
        entry.main()
    elif request.module == CODE:
        sys.argv = [CODE, *request.words[1:]]
        exec(compile(request.words[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test's own
    else:
        sys.argv = ["-m", *request.words]
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
