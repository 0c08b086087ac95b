"""Where a fault takes place: a home that goes with it, and processes that never outlive it.

Everything is a child of the harness, or of a process that it has forked for that, the daemon too, so that what is
killed is known by its id and what is left is cleared away, also when the harness is interrupted or killed itself.
Linux only.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ptstream
from ptstream import wire
from ptstream.engine.sqlite.cursor import TextCursor
from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from tests.faults.ears import LIMIT, Ears, Feeder, Late, Recording
from tests.preloaded import Preloaded, Process, read_at_start

TREE = str(Path(ptstream.__file__).parents[1])
"""Where the ptstream lies that this harness has imported: its processes use the same."""

HARNESS = str(Path(__file__).parents[2])

MODULE = (sys.executable, "-P", "-m")
"""How a line begins that runs a module."""

PTSTREAM = [*MODULE, "ptstream.cli.entry"]

PIPE_BYTES = 1024 * 1024
"""What a pipe holds while the harness is busy elsewhere."""

_KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True, eq=False)
class Actor:
    """A process, and all it said."""

    process: subprocess.Popen[bytes] | Process
    out: Recording
    err: Recording

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """No chance to say a word."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    @property
    def said(self) -> str:
        """Its stderr."""
        return self.err.drain().decode("utf-8", "replace")


@dataclass(slots=True, eq=False)
class Ground:
    """One home, its processes, and chance. Made by `ground`."""

    folder: str
    home: Home
    ears: Ears
    chance: random.Random
    more: dict[str, str] = field(default_factory=dict)
    """Variables for its processes."""
    actors: list[Actor] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    feeders: list[Feeder] = field(default_factory=list)

    # --- processes

    def spawn(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        terminal: tuple[int, int] | None = None,
        keep: Sequence[int] = (),
    ) -> Actor:
        """Start it. With a `terminal` (our side, its side) that is its controlling one, and its stdout."""
        inner = None if terminal is None else terminal[1]
        streams: dict[str, Any] = {
            "stdin": stdin if inner is None else inner,
            "stdout": subprocess.PIPE if inner is None else inner,
            "stderr": subprocess.PIPE,
            "cwd": self.folder,
        }
        process = _forked(argv, self.environment, streams, keep, inner is not None) or subprocess.Popen(
            argv,
            env=self.environment,
            pass_fds=keep,
            start_new_session=True,
            preexec_fn=_prepare if inner is None else _prepare_with_terminal,
            **streams,
        )
        out = terminal[0] if terminal else _own(process.stdout)
        actor = Actor(process, self.record(out), self.record(_own(process.stderr)))
        self.actors.append(actor)
        return actor

    @property
    def environment(self) -> dict[str, str]:
        """No keys, no models; the ptstream that the harness has, and the harness itself."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {
            "PTSTREAM_HOME": self.home.path,
            "PYTHONPATH": f"{TREE}:{HARNESS}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OLLAMA_HOST": "127.0.0.1:1",
            "TERM": "dumb",
            **self.more,
        }

    def ptstream(self, *words: str, stdin: int = subprocess.DEVNULL, pty: tuple[int, int] | None = None) -> Actor:
        """The command, running."""
        return self.spawn([*PTSTREAM, *words], stdin=stdin, terminal=pty)

    def ask(self, *words: str) -> Actor:
        """The command, run to its end."""
        actor = self.ptstream(*words)
        self.ended(actor)
        return actor

    def ended(self, *actors: Actor, limit: float = LIMIT) -> None:
        """Returns when they have ended, and all they said is heard. Raises Late."""
        for actor in actors:
            self.ears.until(lambda a=actor: a.gone, f"the end of {actor.process.args!r}", limit)  # type: ignore[misc]
            actor.out.drain()
            actor.err.drain()

    def daemon(self) -> Actor:
        """A daemon of this home, answering."""
        reading, writing = os.pipe()
        try:
            actor = self.spawn(
                [*MODULE, "ptstream.daemon", "--home", self.home.path, "--ready-fd", str(writing)],
                keep=(writing,),
            )
        finally:
            os.close(writing)
        ready = self.record(reading)
        self.ears.until(lambda: not ready.open or ready.data, "a daemon that answers")
        ready.close()
        if bytes(ready.data) != wire.READY:
            raise Late(f"no daemon: {bytes(ready.data)!r} {actor.said}")
        self.ears.until(self._answers, "a daemon that answers")  # another one may have been faster, and is just there
        return actor

    def kill_strays(self) -> int:
        """Kill the daemons that commands have started in this home, which are no children of ours; how many."""
        ours = {actor.process.pid for actor in self.actors}
        found = [pid for pid in _with_word(self.home.path) if pid not in ours]
        for pid in found:
            self._kill_stranger(pid)
        return len(found)

    def _kill_stranger(self, pid: int) -> None:
        """Kill what is no child of ours; returns when its last thread is gone, and with it its locks."""
        with contextlib.suppress(ProcessLookupError), open(os.pidfd_open(pid), "rb", buffering=0) as process:
            signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
            self.ears.until(lambda: select.select([process], [], [], 0)[0], f"the end of {pid}")

    def record(self, fd: int) -> Recording:
        """Hear `fd`, and close it at the end."""
        with contextlib.suppress(OSError):  # no pipe, or the user has too many
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        recording = Recording(self.ears, fd)
        self.recordings.append(recording)
        return recording

    def clear(self) -> None:
        """End what still runs; nothing is left to hear."""
        for actor in self.actors:
            actor.kill()
        for feeder in self.feeders:
            feeder.close()
        for recording in self.recordings:
            recording.close()
        self.kill_strays()
        self.actors, self.feeders, self.recordings = [], [], []

    # --- the daemon's wire, as anybody may speak it

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def connect(self) -> socket.socket:
        """A connection to the daemon."""
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(self.home.socket)
            stack.pop_all()
        return connection

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the daemon's answer. Raises OSError when there is none."""
        with self.connect() as connection:
            connection.settimeout(LIMIT)
            head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head_, _, answered = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head_.split(b"\r\n")[0]:
            raise OSError(f"{path}: {answer[:500]!r}")
        return answered

    def drive(self, id: str) -> None:
        """Have the daemon drive a pending stream."""
        caller = {"directory": self.folder, "environment": self.environment, "umask": 0o22, "python": sys.executable}
        told = caller | {"stderr": False, "on_drop": False}
        self.request("POST", wire.DRIVE.format(id=id), wire.dumps(told))

    def live(self, id: str, offset: int = 0) -> Body:
        """A live reader of the stream that speaks HTTP over the Unix socket. Raises OSError when there is no daemon."""
        with self.connect() as connection:
            path = f"{wire.TEXT.format(id=id)}?offset={offset}&live=1"
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            body = Body(self.ears, connection.detach())
        self.recordings.append(body)
        return body

    # --- the store, without a daemon

    def store(self, patience: float = 5.0) -> Store:
        """The store of this home."""
        return Store(self.home, patience)


class Body(Recording):
    """A chunked answer as it comes: `data` holds the body alone. `whole` is set by its orderly end."""

    def __init__(self, ears: Ears, fd: int) -> None:
        super().__init__(ears, fd)
        self.whole = False
        self.status = b""
        self._raw = bytearray()

    def _heard(self, data: bytes) -> None:
        self._raw += data
        if not self.status:
            head, separator, rest = bytes(self._raw).partition(b"\r\n\r\n")
            if not separator:
                return
            self.status, self._raw = head.split(b"\r\n")[0], bytearray(rest)
        while self._chunk():
            pass

    def _chunk(self) -> bool:
        at = self._raw.find(b"\r\n")
        if at < 0 or self.whole:
            return False
        size = int(self._raw[:at], 16)
        if len(self._raw) < at + 2 + size + 2:
            return False
        self.data += self._raw[at + 2 : at + 2 + size]
        del self._raw[: at + 4 + size]
        self.whole = size == 0
        return not self.whole


@contextlib.contextmanager
def ground(chance: random.Random, *, folder: str | None = None) -> Iterator[Ground]:
    """A home of its own in `folder`, or in a new one; all of it is gone afterwards."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="pts-faults-", ignore_cleanup_errors=True)
            folder = stack.enter_context(made)
        ears = Ears()
        stack.callback(ears.close)
        here = Ground(folder, Home(os.path.join(folder, "home")), ears, chance)
        stack.callback(here.clear)
        yield here


def read(store: Store, id: str, *, live: bool = True) -> tuple[bytes, TextCursor]:
    """All the text that is there now, and the cursor that read it (closed), for the state that it saw."""
    cursor, text = TextCursor(store, id, live=live), bytearray()
    while data := cursor.read():
        text += data
    cursor.close()
    return bytes(text), cursor


def terminal() -> tuple[int, int]:
    """A new terminal that passes bytes as they are: our side and the other."""
    ours, other = pty.openpty()
    tty.setraw(other, termios.TCSANOW)
    return ours, other


def leave_in_order() -> None:
    """SIGTERM and SIGHUP end us as an interrupt does: everything is cleared away."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def _with_word(word: str) -> Iterator[int]:
    """The processes that have `word` among their arguments."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(word) in Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0"):
                yield int(name)


def _own(pipe: IO[bytes] | None) -> int:
    """A descriptor of our own for a pipe that `subprocess` would close when it likes."""
    assert pipe is not None
    with pipe:
        return fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 3)


def _forked(
    argv: Sequence[str], environment: Mapping[str, str], streams: Mapping[str, Any], keep: Sequence[int], terminal: bool
) -> Process | None:
    """The process, if it is a module of Python's, forked from one that has its imports: a start takes a tenth."""
    if tuple(argv[:3]) != MODULE:
        return None
    forks = _preloaded(tuple(read_at_start(environment).items()))
    more = dict(streams, session=True, dies=True, passed=keep, terminal=terminal)
    return forks.start(argv[4:], environment, module=argv[3], **more)


@functools.cache
def _preloaded(read: tuple[tuple[str, str], ...]) -> Preloaded:
    """What is forked, for processes that have this of their environment. What it forked dies with the harness."""
    made = Preloaded(dict(read))
    atexit.register(made.close)
    return made


def _prepare() -> None:
    # Safe: the harness has one thread. What it starts dies with it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prepare_with_terminal() -> None:
    _prepare()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
