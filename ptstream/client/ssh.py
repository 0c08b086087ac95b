"""The way to a daemon on another machine: HTTP through its user's own ssh, as docker does it.

Each connection is one `ssh HOST ptstream dial-stdio`, whose stdin and stdout are one end of a pair of sockets. ssh does
all the authenticating; nothing but HTTP goes through it. Its stderr is a pipe of ours: what comes out of it may be from
there, and is handed on line by line.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import shlex
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import anyio
import httpcore
import httpx
from anyio.abc import Process, TaskGroup

from ptstream import wire
from ptstream.child_signals import send_signal
from ptstream.client.daemon_client import Client
from ptstream.errors import ConfigurationError, SshFailed
from ptstream.origins import shown
from ptstream.ungrouped import ungrouped

OPTIONS = (
    *("-T", "-a", "-x"),  # no terminal; no agent of ours there, and no display
    *("-o", "ClearAllForwardings=yes"),  # the second connection would find their ports taken
    *("-o", "RemoteCommand=none"),
    *("-o", "ConnectTimeout=30"),
    *("-o", "ServerAliveInterval=15"),  # or a network that went away would look like a stream that says nothing
)
"""What ssh is given besides the user's own configuration. In PTSTREAM_SSH the user may say otherwise: ssh takes the
first value of each."""

SENT_BY_HABIT = re.compile(r"LANG|LANGUAGE|LC_.*")
"""Variables that distributions have every ssh send: the locale there is that user's own."""

KEPT = 3.0
"""Seconds that a connection is kept for the next request: less than the daemon keeps it, which would race."""

LAST_MOMENT = 1.0
"""Seconds that an ssh which was signalled to end may take."""

LINE = 64 * 1024
"""Bytes that the first line from the other side may have."""

SAID = 4096
"""Bytes of stderr that are read at once; a longer line is handed on in parts."""

Hear = Callable[[str], Awaitable[None]]
"""What is called with each line that ssh, or what runs there, writes to stderr: any text without a line end."""

URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_.+@\\][A-Za-z0-9_.+@\\-]*)@)?"
    r"(?:(?P<host>[A-Za-z0-9_.][A-Za-z0-9_.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
"""Neither user nor host begins with a `-`, which would be an option of ssh's, nor holds what a shell takes for more
than a word, since a user's ProxyCommand may hand it to one (CVE-2023-51385)."""


class Host(NamedTuple):
    """Another machine, as PTSTREAM_HOST names it, and how it is reached."""

    destination: str
    port: str | None
    program: tuple[str, ...]
    remote: str

    @property
    def argv(self) -> list[str]:
        """ssh's line. Ctrl-\\ at our terminal cancels a stream, and must not end the connection as well."""
        port = ("-p", self.port) if self.port else ()
        line = [*self.program, *OPTIONS, *port, "--", self.destination, f"{self.remote} dial-stdio"]
        return ["sh", "-c", "trap '' QUIT; exec \"$@\"", "sh", *line]


def host_named(url: str, environment: Mapping[str, str] = os.environ) -> Host:
    """The host of `ssh://[USER@]HOST[:PORT]`. Raises ConfigurationError.

    PTSTREAM_SSH holds other words than `ssh`, split as a shell would; PTSTREAM_REMOTE what is run there instead of
    `ptstream`, as words for the shell there.
    """
    if not (found := URL.fullmatch(url)):
        raise ConfigurationError(f"PTSTREAM_HOST is {shown(url)}, and must be ssh://[USER@]HOST[:PORT]")
    try:
        program = tuple(shlex.split(environment.get("PTSTREAM_SSH", ""))) or ("ssh",)
    except ValueError as error:
        raise ConfigurationError(f"PTSTREAM_SSH cannot be split into words: {error}") from error
    if shutil.which(program[0]) is None:
        raise ConfigurationError(
            f"PTSTREAM_HOST needs {program[0]}, which is not installed (PTSTREAM_SSH names another)"
        )
    name = found["host"] or found["address"]
    destination = f"{found['user']}@{name}" if found["user"] else name
    return Host(destination, found["port"], program, environment.get("PTSTREAM_REMOTE") or "ptstream")


class _Stderr:
    """Our end of an ssh's stderr."""

    def __init__(self, ours: int, hear: Hear) -> None:
        os.set_blocking(ours, False)
        self._ours = ours
        self._hear = hear
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    async def listen(self) -> None:
        """Hands on what is said. Runs until ssh and all that it has started are gone, or it is cancelled."""
        try:
            while await self._take():
                await anyio.wait_readable(self._ours)
        finally:
            ours, self._ours = self._ours, -1
            os.close(ours)

    async def last_words(self) -> None:
        """Hands on what is there, of an ssh that has ended: what it has started may hold on to its stderr."""
        for _ in range(LINE // SAID):
            if not await self._take():
                break
        line, self._line = self._line, ""
        await self._say(line)

    async def _take(self) -> bool:
        """Hands on the next part of what is there; whether more may come."""
        try:
            data = os.read(self._ours, SAID) if self._ours != -1 else b""
        except BlockingIOError:
            return True
        self._line += self._decoder.decode(data, not data)
        whole, end, rest = self._line.rpartition("\n")
        self._line = rest if data and len(rest) < SAID else ""
        await self._say(whole + end + rest.removesuffix(self._line))
        return bool(data)

    async def _say(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                await self._hear(line)


class _Connection(httpcore.AsyncNetworkStream):
    """One ssh, and our end of its stdin and stdout. `caller` is who drives for us there, as long as it lasts."""

    def __init__(self, process: Process, ours: socket.socket, stderr: _Stderr) -> None:
        ours.setblocking(False)
        self._socket = ours
        self._process = process
        self._stderr = stderr
        self.caller = ""

    @property
    def open(self) -> bool:
        """Whether it is not closed on our side."""
        return self._socket.fileno() != -1

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_httpcore(httpcore.ReadTimeout, httpcore.ReadError), anyio.fail_after(timeout):
            await anyio.wait_readable(self._socket)
            return self._socket.recv(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as_httpcore(httpcore.WriteTimeout, httpcore.WriteError), anyio.fail_after(timeout):
            rest = memoryview(buffer)
            while rest:
                await anyio.wait_writable(self._socket)
                rest = rest[self._socket.send(rest) :]

    async def aclose(self) -> None:
        self._socket.close()
        with anyio.CancelScope(shield=True):
            send_signal(self._process, signal.SIGTERM)
            with anyio.move_on_after(LAST_MOMENT) as moment:
                await self._process.wait()
            if moment.cancelled_caught:
                send_signal(self._process, signal.SIGKILL)
                await self._process.wait()
            await self._stderr.last_words()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # while it is idle: the other side has gone
            return not self.open or bool(select.select([self._socket], [], [], 0)[0])
        return None

    async def greeted(self, host: Host) -> None:
        """Take the first line from the other side. Raises SshFailed, or what stood in the way there."""
        line = b""
        while not line.endswith(b"\n") and len(line) < LINE:
            try:
                data = await self.read(LINE)
            except httpcore.ReadError:
                data = b""
            if not data:
                code = await self._exit()
                await self._stderr.last_words()
                raise SshFailed(_why(host, code, line))
            line += data
        self.caller = wire.greeted(line, host.destination)

    async def _exit(self) -> int | None:
        """The exit code of an ssh that has said its last word; None if it stays nevertheless."""
        with anyio.move_on_after(LAST_MOMENT):
            return await self._process.wait()
        return None


def _why(host: Host, code: int | None, line: bytes) -> str:
    if code == 255:
        return f"ssh cannot connect to {host.destination}"
    said = f", after it had printed {line[:200]!r}" if line else ""
    what = f"ssh {host.destination} {host.remote} dial-stdio"
    if code == 127:
        return f"{what}: no such command (PTSTREAM_REMOTE says what ptstream is called there)"
    return f"{what} ended{said} (exit {code})" if code is not None else f"{what} closed its output{said}"


@contextlib.contextmanager
def _as_httpcore(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except (OSError, anyio.ClosedResourceError) as error:
        raise failure(str(error)) from error


class _Backend(httpcore.AsyncNetworkBackend):
    """Where the connection pool gets its connections from."""

    def __init__(self, host: Host, tasks: TaskGroup, hear: Hear) -> None:
        self._host = host
        self._tasks = tasks
        self._hear = hear
        self._made: list[_Connection] = []

    @property
    def caller(self) -> str | None:
        """Of the newest connection that is open, if any is."""
        self._made = [each for each in self._made if each.open]
        return self._made[-1].caller if self._made else None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        connection = await self._started()
        try:
            await connection.greeted(self._host)
        except BaseException:
            await connection.aclose()
            raise
        self._made.append(connection)
        return connection

    async def _started(self) -> _Connection:
        """A connection whose ssh has been started."""
        environment = {name: value for name, value in os.environ.items() if not SENT_BY_HABIT.fullmatch(name)}
        ours, theirs = socket.socketpair()
        heard, said = os.pipe()
        with theirs, open(said, "wb"):
            try:
                process = await anyio.open_process(
                    self._host.argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=said, env=environment
                )
            except BaseException:
                ours.close()
                os.close(heard)
                raise
        stderr = _Stderr(heard, self._hear)
        self._tasks.start_soon(stderr.listen)
        return _Connection(process, ours, stderr)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Transport(httpx.AsyncBaseTransport):
    """For an httpx client. Requests raise PtstreamError where no connection comes about, else httpx's own errors.

    `hear` is called, by tasks among `tasks`, with what ssh and whatever runs there say on stderr.
    """

    def __init__(self, host: Host, tasks: TaskGroup, hear: Hear) -> None:
        self._backend = _Backend(host, tasks, hear)
        self._pool = httpcore.AsyncConnectionPool(network_backend=self._backend, keepalive_expiry=KEPT)

    @property
    def caller(self) -> str | None:
        """Who drives for us there: known while there is a connection."""
        return self._backend.caller

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        assert isinstance(request.stream, httpx.AsyncByteStream)
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for data in self._answer.aiter_stream():
                yield data

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except httpcore.NetworkError as error:
        raise httpx.NetworkError(str(error)) from error
    except httpcore.ProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


@contextlib.asynccontextmanager
async def connect(host: Host, hear: Hear) -> AsyncIterator[tuple[Client, Callable[[], Awaitable[Mapping[str, Any]]]]]:
    """The daemon there, and as whom a drive is asked for there: as who was let in.

    It is connected to, and started if need be, by the first request: each may raise SshFailed. `hear` is called with
    each line that ssh, or what runs there, writes to stderr.
    """
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            transport = Transport(host, tasks, hear)
            # No time-out: somebody may have to type a password.
            async with httpx.AsyncClient(
                transport=transport,
                base_url=wire.BASE_URL,
                timeout=None,
                headers=wire.PLAIN,
                event_hooks={"response": [wire.check_plain]},
            ) as http:
                client = Client(host.destination, http)

                async def asker() -> Mapping[str, Any]:
                    if transport.caller is None:
                        await client.ask("GET", wire.STATUS)  # connects
                    return {"caller": transport.caller}

                yield client, asker
            tasks.cancel_scope.cancel()
