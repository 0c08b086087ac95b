"""What the tests share: a home of their own, the command as a process, and one way to wait for something.

With PTSTREAM_TEST_EVERYTHING set, a test that would be skipped fails: CI installs all that any test needs.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import gc
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import anyio
import httpx
import hypothesis
import pytest

from ptstream import wire
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.engine.sqlite.cursor import TextCursor
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.http.uvicorn_protocol import PIPELINED
from ptstream.owner import Owner, open_owner
from ptstream.settings import SQLITE, Home
from ptstream.stream_json import as_json
from tests import postgres
from tests.endpoint import Server, serve
from tests.preloaded import CODE, COMMAND, FORWARDED, Preloaded, forwarding, read_at_start

# No time is asserted: a machine may be busy.
hypothesis.settings.register_profile("unhurried", hypothesis.settings(deadline=None))
hypothesis.settings.load_profile("unhurried")

# Of what pytest makes of the tests' files, half of the time that collecting them takes, the next process has the use.
sys.dont_write_bytecode = False

# No client of the tests' leaves this machine: none reads all the authorities of the world, 30 ms each time.
os.environ["SSL_CERT_DIR"] = "/nowhere"
for trusted in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(trusted, None)

ROOT = Path(__file__).parent.parent

PTSTREAM = [sys.executable, "-P", "-m", "ptstream.cli.entry"]
"""The command, as the console script runs it, of the Python that runs the tests."""

LIMIT = 120.0
"""Seconds after which something waited for is taken to never come: no measure of speed, on a busy machine either."""

ID = re.compile(r"[0-9a-hjkmnp-tv-z]{12}")

T = TypeVar("T")

ON_POSTGRES = os.environ.get("PTSTREAM_TEST_ENGINE") == "postgresql"
"""Whether commands, daemons and programs keep their streams in PostgreSQL; tests of SQLite itself are skipped then."""

Lines: TypeAlias = tuple[tuple[str, ...], ...]

FIRST, SECOND = "one two.\n", "three four.\n"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, and one more: most of the time, tests wait for what processes do."""
    return 2 * (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Files run in the order below: pytest-xdist would begin with those of many tests, which are the short ones."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What is collected stays: to look for garbage among it takes a fifth of the time, and more with each test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)  # what one test leaves behind waits for that of a few more
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test asks for marks it: nobody does by hand. Files that take long come first, so that none is left over.

    Those are the files with a browser; of the others, those with few tests, which start many processes each.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    tests = collections.Counter(item.path for item in items)
    browsing = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (item.path not in browsing, tests[item.path]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where everything is installed, nothing may be skipped."""
    report = yield
    if report.skipped and os.environ.get("PTSTREAM_TEST_EVERYTHING") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where everything is installed: {report.longrepr}"
    return report


@pytest.fixture
def anyio_backend() -> str:
    """asyncio: uvicorn and watchfiles need it."""
    return "asyncio"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short path, for the sake of Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        yield Path(path)


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    """A home that nothing has been written to. Its daemon, if a test starts one, is stopped."""
    with made_home(f"{folder}/home") as found:
        yield found


@contextlib.contextmanager
def made_home(path: str) -> Iterator[Home]:
    """A home there, whose streams are in the engine that the tests run with; its daemon is stopped at the end."""
    with postgres.place() if ON_POSTGRES else contextlib.nullcontext(SQLITE) as url:
        found = Home(path, url)
        yield found
        stop_daemon(found)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    """The store of the home."""
    if ON_POSTGRES:
        pytest.skip("tests SQLite itself")
    with Store(home) as opened:
        yield opened


def named(home: Home) -> str:
    """How a program names where the home's streams are: its path, or the URL of its engine."""
    return home.path if home.is_local else home.store


@pytest.fixture
def place(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a program that uses the library is told; a home in which it finds a config file is the test's, too."""
    monkeypatch.setenv("PTSTREAM_HOME", home.path)
    return named(home)


@pytest.fixture
async def engine(home: Home) -> AsyncIterator[Engine]:
    """The engine of the home."""
    async with open_engine(home) as opened:
        yield opened


@contextlib.asynccontextmanager
async def owning(store: Store) -> AsyncIterator[Owner]:
    """An owner of streams in the store."""
    async with attached(store) as engine, open_owner(engine) as owner:
        yield owner


def engaged(home: Home, work: Callable[..., Awaitable[T]], *words: Any) -> T:
    """What `work` gives for an engine over the home, in an event loop of its own."""

    async def run() -> T:
        async with open_engine(home) as engine:
            return await work(engine, *words)

    return anyio.run(run)


async def answered(app: Any) -> tuple[int, bytes]:
    """The HTTP status and the whole body with which an ASGI application answers a GET."""
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "http", "method": "GET", "query_string": b"", "headers": []}, receive, send)
    return said[0]["status"], b"".join(message["body"] for message in said[1:])


def started(
    words: Sequence[str], environment: dict[str, str], *, fresh: bool = False, module: str = COMMAND, **more: Any
) -> Any:
    """The command, or another module, running: forked from one that has its imports, or `fresh` from nothing.

    With `CODE` for a module, the first word is a program's text.
    """
    forked = None if fresh else forked_command(words, environment, module=module, **more)
    line = [*PTSTREAM[:2], CODE] if module == CODE else [*PTSTREAM[:3], module]
    return forked or subprocess.Popen([*line, *words], env=environment, **more)


def forked_command(words: Sequence[str], variables: dict[str, str], **more: Any) -> Any:
    """The command, forked from one that has its imports; None if only a start from nothing will do.

    What Python reads of the environment when it starts makes another such process: worth it from the second time on.
    """
    if sys.platform != "linux":
        return None
    read = tuple(sorted(read_at_start(variables).items()))
    with PRELOADING:
        ASKED[read] += 1
        if ASKED[read] == 1 and dict(read) != read_at_start(environment()):
            return None
        forked = preloaded(read)
    return forked.start(words, variables, **more)


ASKED: collections.Counter[tuple[tuple[str, str], ...]] = collections.Counter()
"""How often a command was started, by what of its environment is read at the start."""

PRELOADING = threading.Lock()


@functools.cache
def preloaded(read: tuple[tuple[str, str], ...]) -> Preloaded:
    """What commands are forked from that have this of their environment. It ends with this process."""
    others = environment().items() - read_at_start(environment()).items()
    made = Preloaded(dict(others) | dict(read))
    atexit.register(made.close)
    return made


def environment() -> dict[str, str]:
    """What of the environment the command gets: no keys, no models."""
    kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR", "COVERAGE_PROCESS_START", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def program(text: str, *words: str) -> Iterator[Any]:
    """A program of Python's, running, its stdin and its stdout pipes; killed if it is left over."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([text, *words], environment(), module=CODE, cwd=ROOT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


class Cli:
    """The command, run against one home, in an environment without keys and without models."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.environment = environment() | {"PTSTREAM_HOME": home.path, "TERM": "xterm-256color"}
        # Nothing listens there: a test never finds an Ollama of the machine's.
        if not home.is_local:
            self.environment["PTSTREAM_STORE"] = home.store
        self.environment["OLLAMA_HOST"] = "127.0.0.1:1"
        self._sessions: dict[int, str] = {}
        """What the sessions of processes are called at the database's server."""

    def run(self, *words: str, input: str | bytes | None = None, code: int | None = 0, **more: Any) -> Any:
        """Run it to its end; the completed process. Fails unless the exit code is `code` (None: any)."""
        given = input.encode() if isinstance(input, str) else input
        if given is None:
            more.setdefault("stdin", subprocess.DEVNULL)
        environment = self.environment | more.pop("env", {})
        more = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        with started(words, environment, **more) as process:
            try:
                out, err = process.communicate(given, timeout=LIMIT * 2)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess([*PTSTREAM, *words], process.returncode, out, err)
        assert code is None or done.returncode == code, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
        return done

    def out(self, *words: str, **more: Any) -> str:
        """What it prints to stdout."""
        return str(self.run(*words, **more).stdout.decode())

    @contextlib.contextmanager
    def started(self, *words: str, **more: Any) -> Iterator[Any]:
        """The command, running. What is left of it is killed. `fresh` starts it from nothing."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        sessions, named = self.session()
        with started(words, self.environment | more.pop("env", {}) | named, **more) as process:
            self._sessions[process.pid] = sessions
            try:
                yield process
            finally:
                process.kill()

    def session(self) -> tuple[str, dict[str, str]]:
        """A name for a command's sessions at the database's server, and what of its environment gives it them."""
        name = f"r{os.urandom(6).hex()}"
        return name, {} if self.home.is_local else {"PTSTREAM_STORE": f"{self.home.store}&application_name={name}"}

    def waits(self, process: Any, sessions: str | None = None) -> bool:
        """Whether a command has come so far as to watch the database for news of its stream.

        It was `started`, or its sessions are called as is said.
        """
        if self.home.is_local:
            return watches_files(process.pid)
        return postgres.looks(sessions or self._sessions[process.pid])


@contextlib.contextmanager
def on_path(folder: Path) -> Iterator[str]:
    """A directory, there, whose `ptstream` is the command, forked from one that has its imports."""
    directory = folder / "bin"
    directory.mkdir()
    command = directory / "ptstream"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(FORWARDED)} {folder}/asked "$@"\n')
    command.chmod(0o755)
    with forwarding(f"{folder}/asked", forked_command):
        yield str(directory)


@pytest.fixture
def cli(home: Home) -> Cli:
    """The command against the home."""
    return Cli(home)


@pytest.fixture(scope="module")
def served() -> Iterator[Cli]:
    """The command against a home that a module's tests share, and with it one daemon."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path, made_home(f"{path}/home") as home:
        cli = Cli(home)
        cli.run("daemon", "start")
        yield cli


class Face(NamedTuple):
    """A daemon that listens: the command for its home, its address, its token, and a client that has that."""

    cli: Cli
    url: str
    token: str
    http: httpx.Client

    @property
    def port(self) -> int:
        """The port alone."""
        return int(self.url.rpartition(":")[2])

    @property
    def headers(self) -> dict[str, str]:
        """What lets in."""
        return {"Authorization": f"Bearer {self.token}"}


class Entered(NamedTuple):
    """A browser that was let in: its page's path, without a slash at its end, and the cookie that it sends there."""

    room: str
    cookie: str


def invited(cli: Cli) -> str:
    """A link for one use, as `ptstream web` prints it."""
    with on_socket(cli.home) as http:
        return str(http.post(wire.ENTER).json()["url"])


def on_socket(home: Home) -> httpx.Client:
    """A client of its daemon's on the Unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=home.socket), base_url=wire.BASE_URL, timeout=LIMIT)


def daemon_status(home: Home) -> dict[str, Any]:
    """What `daemon status --json` says, without the start of a process."""
    with on_socket(home) as http:
        return dict(http.get(wire.STATUS).json())


def let_in(cli: Cli, url: str, **headers: str) -> Entered:
    """By a link of that daemon's, followed at `url`."""
    answer = httpx.get(f"{url}{wire.ENTER}?{invited(cli).partition('?')[2]}", headers=VISIT | headers)
    return Entered(answer.headers["location"].rstrip("/"), answer.headers["set-cookie"].partition(";")[0])


VISIT = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
"""What a browser says when its user follows a link."""


def too_many(stranger: socket.socket) -> None:
    """Ask on, without a token, until that is refused."""
    asked = answered = 0
    said = b""
    while b"HTTP/1.1 429 " not in said:
        if asked == answered:
            stranger.sendall(b"GET /streams HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
            asked += PIPELINED
        said = said[-8:] + stranger.recv(65536)  # one byte less than what is counted
        answered += said.count(b"HTTP/1.1 ")


@contextlib.contextmanager
def listening(config: str = "") -> Iterator[Face]:
    """One of a home of its own, with more lines for its config file; it has nothing to complain of at the end."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path, made_home(f"{path}/home") as home:
        cli = Cli(home)
        cli.home.make()
        Path(cli.home.config).write_text(f'listen = "127.0.0.1:0"\n{config}\n')
        cli.run("daemon", "start")
        url, token = daemon_status(home)["listen"], Path(home.token).read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=LIMIT) as http:
            yield Face(cli, url, token, http)
        assert "Traceback" not in Path(cli.home.log).read_text()


@pytest.fixture
def small() -> Iterator[Cli]:
    """The command against a home on a file system of 4 MiB of its own, with its streams in it."""
    if ON_POSTGRES:
        pytest.skip("tests SQLite itself")
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small file system")
    path = tempfile.mkdtemp(prefix="pts-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "ptstream-test", path], capture_output=True)
    if mounted.returncode:
        os.rmdir(path)
        pytest.skip("cannot mount a file system here")
    home = Home(f"{path}/home")
    yield Cli(home)
    remount(home, "rw")
    stop_daemon(home)
    subprocess.run(["umount", "-l", path], check=True)
    os.rmdir(path)


def remount(home: Home, mode: str) -> None:
    """Make the small file system read-only (`ro`), when nobody writes there any more, or writable again (`rw`)."""
    line = ["mount", "-o", f"remount,{mode},size=4m", os.path.dirname(home.path)]
    until(lambda: subprocess.run(line, capture_output=True).returncode == 0)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The base URL of a scripted endpoint in a process of its own."""
    with playing() as url:
        yield url


@contextlib.contextmanager
def playing() -> Iterator[str]:
    """The same, for as long as it is needed."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([], environment(), module="tests.endpoint", cwd=ROOT, **pipes) as process:
        yield process.stdout.readline().decode().strip()
        process.kill()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A scripted endpoint in the test's own event loop."""
    async with serve() as running:
        yield running


class Gate:
    """A command that says `FIRST`, waits until it is let on, and says `SECOND`."""

    def __init__(self, folder: Path) -> None:
        path = folder / "gate"
        os.mkfifo(path)
        # Both ends: nothing blocks, and when this is closed, whoever still waits goes on.
        self._fd = os.open(path, os.O_RDWR)
        self.command = ("sh", "-c", f"echo one two.; read x < '{path}'; echo three four.")

    def open(self) -> None:
        """Let it on."""
        os.write(self._fd, b"\n")

    def close(self) -> None:
        """Nothing waits here any more."""
        os.close(self._fd)


@pytest.fixture
def gate(folder: Path) -> Iterator[Gate]:
    """The command with two lines."""
    made = Gate(folder)
    yield made
    made.close()


def read(store: Store, id: str, offset: int = 0, *, live: bool = True) -> bytes:
    """All the text that is there from `offset`."""
    cursor, text = TextCursor(store, id, offset, live=live), b""
    while data := cursor.read():
        text += data
    cursor.close()
    return text


async def stored(engine: Engine, id: str) -> bytes:
    """The text that is in chunks."""
    cursor, text = engine.cursor(id, live=False), b""
    while data := await cursor.read():
        text += data
    cursor.close()
    return text


def tails(home: Home) -> list[str]:
    """The streams that have text beside that in chunks."""
    if home.is_local:
        return os.listdir(home.tails)
    with postgres.connected(home.store) as database:
        return [stream for (stream,) in database.execute("SELECT stream FROM pieces")]


@contextlib.contextmanager
def locked(home: Home, tables: str = "streams, chunks, pieces") -> Iterator[Callable[[str], Any]]:
    """Another program's transaction, in which SQL can be said: the store takes no write, or none to these tables."""
    with contextlib.closing(
        sqlite3.connect(home.database, isolation_level=None) if home.is_local else postgres.connected(home.store)
    ) as other:
        other.execute("BEGIN IMMEDIATE" if home.is_local else f"BEGIN; LOCK TABLE {tables} IN EXCLUSIVE MODE")
        yield other.execute
        other.execute("COMMIT")


def until(what: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait until `what()` is true; its value. For what gives no event to wait for."""
    pause, deadline = threading.Event(), time.monotonic() + limit
    while not (value := what()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)
    return value


sqlite_itself = pytest.mark.skipif(ON_POSTGRES, reason="tests SQLite itself")
"""For a test that looks into the database's file, or stands in its way."""


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def together(cli: Cli, lines: Lines, *, code: int | None = 0, **more: Any) -> list[tuple[tuple[str, ...], Any]]:
    """Each line beside what came of it; they run at the same time, a few at once."""
    with ThreadPoolExecutor(4) as pool:
        return list(zip(lines, pool.map(lambda words: cli.run(*words, code=code, **more), lines), strict=True))


def stop_daemon(home: Home) -> None:
    """Sooner than `daemon stop` starts."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(home.socket):
            return
    with contextlib.suppress(httpx.TransportError), on_socket(home) as http:
        pid = http.get(wire.STATUS).json()["pid"]
        http.post(wire.STOP)
        http.close()  # it lingers for whoever is connected
        until(lambda: gone(pid))


def detached(cli: Cli, *command: str, words: tuple[str, ...] = (), **more: Any) -> str:
    """The id of a stream that runs `command`, and has said something."""
    id = cli.out("drive", "--detach", *words, "--", *command, **more).strip()
    until(lambda: kept(cli, id))
    return id


def told(cli: Cli, id: str) -> dict[str, Any]:
    """What `show --json` says, without the start of a process."""
    if not cli.home.is_local:
        return dict(json.loads(cli.out("show", "--json", id)))
    with Store(cli.home) as store:
        stream = store.get(store.find(id).id)
        return as_json(stream, store.attempts(stream.id))


def kept(cli: Cli, id: str) -> str:
    """What `cat` prints, without the start of a process."""
    if not cli.home.is_local:
        return cli.out("cat", id)
    with Store(cli.home) as store:
        return read(store, store.find(id).id).decode()


def gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def read_exactly(process: subprocess.Popen[bytes], size: int) -> bytes:
    """The next bytes of its stdout."""
    assert process.stdout is not None
    data = b""
    while len(data) < size and (more := os.read(process.stdout.fileno(), size - len(data))):
        data += more
    return data


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code."""
    return process.wait(timeout=LIMIT)


def watches_files(pid: int) -> bool:
    """Whether a process has come so far as to watch a home's files for news."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:inotify":
                return True
    return False


async def hear_nothing(line: str) -> None:
    """For what ssh says on stderr, where no test asks."""
