"""The daemon, as its clients see it: start it if need be, ask it to drive, read from it.

It knows the wire alone, never the daemon's code, which it starts as a process.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

import anyio
import httpx
import httpx_sse

from ptstream import __version__, strict_json, wire
from ptstream.errors import ConfigurationError, DaemonUnreachable, PtstreamError
from ptstream.origins import shown
from ptstream.settings import Home

CONNECT_TIMEOUT = 5.0
"""Seconds for a daemon to accept and to answer what takes no time."""

START_TIMEOUT = 20.0
"""Seconds that a starting daemon is waited for."""

STARTS = 3
"""How often a daemon is started that dies at once, in all."""

ANSWER_BYTES = 64 * 1024 * 1024
"""How long an answer, or an event, may be that is read whole: who answers may be another machine."""

DAEMON_VARIABLES = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "SHELL",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        "PYTHONDONTWRITEBYTECODE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ]
)
"""All of its starter's environment that a daemon gets: other callers' keys are not its business."""


class Driven(NamedTuple):
    """A drive's answer: which model where, or that the stream was driven (or over) already."""

    attached: bool
    model: str | None
    place: str | None


class Aside(NamedTuple):
    """What a generator said beside its text; `kind` is `wire.NOTE` or `wire.REASONING`, `number` counts from 1."""

    kind: str
    text: str
    number: int


class ConnectionBroken(DaemonUnreachable):
    """The connection broke before the end: ask again from the offset that was reached."""

    code = "connection-broken"


class DaemonDied(DaemonUnreachable):
    """The daemon that was started died before it could say why: another one may live."""

    code = "daemon-died"


class DaemonSilent(DaemonUnreachable):
    """The daemon is there and does not answer, or may not be asked: another one would not help."""

    code = "daemon-silent"


class BadAnswer(PtstreamError):
    """What answers is there, and says what no daemon of this version does: asking again would not help."""

    code = "bad-answer"


@dataclass(slots=True, eq=False)
class Client:
    """A connection to one daemon, which is at `place`. Made by `connect` and `connect_or_start`."""

    place: str
    _http: httpx.AsyncClient

    async def status(self) -> dict[str, Any]:
        """See `ptstream daemon status`."""
        return await self._ask("GET", wire.STATUS)

    async def stop(self) -> dict[str, Any]:
        """Ask the daemon to end; its last status. Returns before it has."""
        return await self._ask("POST", wire.STOP)

    async def stop_idle(self, pid: int) -> bool:
        """The same, unless it is another process than `pid`, or runs something by now: then False."""
        told = await self._ask("POST", f"{wire.STOP}?idle={pid}")
        return told["pid"] == pid and not told["running"]

    async def drive(
        self,
        id: str,
        *,
        directory: str,
        environment: Mapping[str, str],
        umask: int,
        core: int,
        stderr: bool = False,
        on_drop: bool = False,
    ) -> Driven:
        """Have the daemon drive a pending stream. Raises what stood in the way, the stream being pending still."""
        told = _caller(directory, environment, umask, core) | {"stderr": stderr, "on_drop": on_drop}
        answer = await self._ask("POST", wire.DRIVE.format(id=id), wire.dumps(told))
        return Driven(answer["attached"], answer["model"], answer["place"])

    @contextlib.asynccontextmanager
    async def registered(
        self, *, directory: str, environment: Mapping[str, str], umask: int, core: int
    ) -> AsyncIterator[str]:
        """As whom a connection from elsewhere drives here, while the context lasts: an id that `wire.DRIVE` takes."""
        told = _caller(directory, environment, umask, core)
        async with self._http.stream("POST", wire.CALLERS, content=wire.dumps(told)) as response:
            if response.status_code != 200:
                raise wire.error_from(await self._whole(response))
            async with contextlib.aclosing(cast(AsyncGenerator[str, None], response.aiter_lines())) as lines:
                yield strict_json.loads(await anext(lines))["caller"]

    async def cancel(self, id: str, *, drain: bool = False) -> dict[str, Any]:
        """End the stream, also when the store takes no mark just now: where it stands then.

        Raises StoreBusy when another process drives it.
        """
        return await self._ask("POST", wire.CANCEL.format(id=id), wire.dumps({"drain": drain}))

    async def invite(self) -> str:
        """A link for one use to the page. Raises ConfigurationError when the daemon cannot listen."""
        url: str = (await self._ask("POST", wire.ENTER))["url"]
        return url

    async def lock(self) -> None:
        """End every session of the page, and every link."""
        await self._ask("POST", wire.LOCK)

    async def text(self, id: str, offset: int) -> AsyncGenerator[bytes, None]:
        """The stream's bytes from `offset` as they come, to its end.

        Raises ConnectionBroken when the body did not end in order, StreamNotFound, OffsetBeyondEnd.
        """
        try:
            query = {"offset": str(offset), "live": "1"}
            async with self._http.stream("GET", wire.TEXT.format(id=id), params=query) as response:
                if response.status_code != 200:
                    raise wire.error_from(await self._whole(response))
                async for data in response.aiter_raw():
                    yield data
        except httpx.TransportError as error:
            raise ConnectionBroken(f"the connection to the daemon at {self.place} broke") from error

    async def asides(self, id: str, after: int = 0) -> AsyncGenerator[Aside, None]:
        """Reasoning and notes of the running attempt, after that number, until it ends.

        Raises ConnectionBroken, BadAnswer.
        """
        headers = {"last-event-id": str(after)}
        try:
            async with httpx_sse.aconnect_sse(self._http, "GET", wire.ASIDES.format(id=id), headers=headers) as events:
                events.response.stream = _Lines(events.response.stream, self.place)
                async for event in events.aiter_sse():
                    yield self._aside(event)
        except httpx.TransportError as error:
            raise ConnectionBroken(f"the connection to the daemon at {self.place} broke") from error

    def _aside(self, event: httpx_sse.ServerSentEvent) -> Aside:
        try:
            aside = Aside(event.event, strict_json.loads(event.data), int(event.id))
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"the daemon at {self.place} says something that is none of its events: {error}") from error
        if not isinstance(aside.text, str):
            raise BadAnswer(f"the daemon at {self.place} says something that is none of its events: no text")
        return aside

    async def _ask(
        self, method: str, path: str, content: bytes | None = None, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = await self._answer(method, path, content, query)
        try:
            answer = strict_json.loads(body)
        except ValueError as error:
            raise BadAnswer(f"the daemon at {self.place} answered something that is no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise BadAnswer(f"the daemon at {self.place} answered something that is no JSON object")
        return answer

    async def _answer(
        self, method: str, path: str, content: bytes | None = None, query: Mapping[str, Any] | None = None
    ) -> bytes:
        try:
            async with self._http.stream(method, path, content=content, params=query) as response:
                body = await self._whole(response)
        except httpx.TransportError as error:
            raise DaemonUnreachable(f"the daemon at {self.place} does not answer: {shown(error)}") from error
        if not response.is_success:
            raise wire.error_from(body)
        return body

    async def _whole(self, response: httpx.Response) -> bytes:
        """All of an answer. Raises BadAnswer for one without end."""
        runs, size = [], 0
        async for data in response.aiter_raw():
            runs.append(data)
            size += len(data)
            if size > ANSWER_BYTES:
                raise BadAnswer(_endless(self.place))
        return b"".join(runs)


class _Lines(httpx.AsyncByteStream):
    """A body of lines. Raises BadAnswer for a line without end."""

    def __init__(self, body: httpx.AsyncByteStream | httpx.SyncByteStream, place: str) -> None:
        assert isinstance(body, httpx.AsyncByteStream)
        self._body = body
        self._place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._body:
            size = size + len(data) if b"\n" not in data else len(data)
            if size > ANSWER_BYTES:
                raise BadAnswer(_endless(self._place))
            yield data

    async def aclose(self) -> None:
        """Close it."""
        await self._body.aclose()


def _endless(place: str) -> str:
    return (
        f"what answers at {place} is no daemon of this version: it sends more than {ANSWER_BYTES // 2**20} MiB at once"
    )


def _caller(directory: str, environment: Mapping[str, str], umask: int, core: int) -> dict[str, Any]:
    """From where a drive is asked for, in the wire's words."""
    return {
        "directory": directory,
        "environment": dict(environment),
        "umask": umask,
        "core": core,
        "python": sys.executable,
    }


@contextlib.asynccontextmanager
async def connect(home: Home) -> AsyncIterator[Client]:
    """The running daemon. Raises DaemonUnreachable when there is none."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(wire.short_path(home.socket))
        except OSError as error:
            raise DaemonUnreachable("the daemon is not running") from error
        transport = wire.socket_transport(path)
        async with httpx.AsyncClient(
            transport=transport,
            base_url=wire.BASE_URL,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            headers=wire.PLAIN,
            event_hooks={"response": [wire.check_plain]},
        ) as http:
            client = Client(home.socket, http)
            await _check_there(client, home)
            yield client


async def _check_there(client: Client, home: Home) -> None:
    try:
        await client._http.get(wire.STATUS, timeout=CONNECT_TIMEOUT)
    except httpx.TimeoutException as error:
        raise DaemonSilent(
            f"the daemon does not answer within {CONNECT_TIMEOUT:g} s: is its process stopped? (see {home.log})"
        ) from error
    except httpx.TransportError as error:
        if os.path.exists(home.socket) and not os.access(home.socket, os.W_OK):
            raise DaemonSilent(f"the daemon may not be spoken to: {home.socket} cannot be written") from error
        raise DaemonUnreachable("the daemon is not running") from error


@contextlib.asynccontextmanager
async def connect_or_start(home: Home) -> AsyncIterator[Client]:
    """The daemon, started if it is not running, replaced if it is idle and of another version.

    Raises DaemonUnreachable, and ConfigurationError for a busy daemon of another version.
    """
    async with contextlib.AsyncExitStack() as stack:
        deadline = anyio.current_time() + START_TIMEOUT
        starts = 0
        while (client := await _connected(stack, home)) is None:
            if anyio.current_time() > deadline:
                raise DaemonUnreachable(f"the daemon does not answer; see {home.log}")
            starts += 1
            try:
                await anyio.to_thread.run_sync(start, home)
            except DaemonDied:
                if starts == STARTS:
                    raise
        yield client


async def _connected(stack: contextlib.AsyncExitStack, home: Home) -> Client | None:
    """A connection to a daemon of our own version, None if there is none (any more)."""
    try:
        socket = listening(home)
        client = await stack.enter_async_context(connect(home))
        status = await client.status()
        if status["version"] == __version__:
            return client
        if count := status["running"]:
            raise ConfigurationError(
                f"a daemon of version {status['version']} is running {count} stream{'s'[: count - 1]}, and this is"
                f" {__version__}: wait for them, or end it with 'ptstream daemon stop'"
            )
        if await client.stop_idle(status["pid"]):
            with anyio.move_on_after(START_TIMEOUT):
                await gone(home, socket)
    except DaemonSilent:
        raise
    except DaemonUnreachable:
        pass
    return None


def listening(home: Home) -> tuple[int, int] | None:
    """What tells a daemon's socket from the next one's, None if there is none."""
    try:
        found = os.stat(home.socket)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


async def gone(home: Home, socket: tuple[int, int] | None) -> None:
    """Returns when the daemon that was `listening` does so no more; another one may."""
    while socket and listening(home) == socket:
        await anyio.sleep(0.02)


def start(home: Home) -> None:
    """Start the daemon in a session of its own and wait until it answers.

    Nothing of the caller's standard streams goes along, or `$(ptstream drive --detach …)` would wait for it.
    Raises DaemonUnreachable, DaemonDied, or what the daemon says of why it cannot start.
    """
    home.make()
    with _opened_log(home) as log:
        process, answer = _launched(home, log)
    if answer == wire.READY:
        # It lives on without us; its exit is not ours to wait for.
        process.returncode = 0
        return
    if answer:
        raise wire.error_from(answer)
    if answer is None:
        process.returncode = 0
        raise DaemonUnreachable(
            f"the daemon, pid {process.pid}, did not come up in {START_TIMEOUT:g} s; see {home.log}"
        )
    raise DaemonDied(f"the daemon ended as it started (exit {process.wait()}); see {home.log}")


def _launched(home: Home, log: BinaryIO) -> tuple[subprocess.Popen[bytes], bytes | None]:
    """The daemon's process, and what it said when it was ready or gave up: nothing if it died, None if it did not."""
    reading, writing = os.pipe()
    with open(reading, "rb") as ready:
        try:
            process = subprocess.Popen(
                # -P: a module in the caller's directory must not become part of the daemon.
                [sys.executable, "-P", "-m", "ptstream.daemon", "--home", home.path, "--ready-fd", str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(writing,),
                env=_daemon_environment(os.environ),
            )
        except OSError as error:
            raise DaemonUnreachable(f"the daemon cannot be started: {error.strerror}") from error
        finally:
            os.close(writing)
        return process, ready.read() if select.select([ready], [], [], START_TIMEOUT)[0] else None


def _opened_log(home: Home) -> BinaryIO:
    """The log, to append to; what daemons before wrote is kept once. Raises ConfigurationError."""
    try:
        if os.path.exists(home.log) and os.stat(home.log).st_size > wire.LOG_BYTES:
            os.replace(home.log, home.log + ".1")
        return open(home.log, "ab", opener=_private)
    except OSError as error:
        raise ConfigurationError(
            f"the home {home.path} cannot be written: {error.strerror}; name another with --home"
        ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _daemon_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in DAEMON_VARIABLES}
