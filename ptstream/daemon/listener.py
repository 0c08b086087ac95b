"""The daemon on TCP: an address, its server, and deadlines for clients that are slow or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ptstream import wire
from ptstream.config import load
from ptstream.daemon.drives import Daemon
from ptstream.daemon.face import make_face
from ptstream.daemon.gate import Cors, Gate
from ptstream.daemon.keys import Keys, token_of
from ptstream.daemon.outside import Outside
from ptstream.errors import ConfigurationError
from ptstream.origins import is_loopback, is_unspecified, shown

LINGER = 1
"""Seconds that readers get to take the end, once every stream has ended."""

KEPT = 10
"""Seconds that a connection is kept for a next request: longer than the clients keep theirs.

httpx and OpenAI's keep them for 5 s, as uvicorn would: a request that came then met a server that was hanging up.
"""

HEAD_TIME = 10.0
"""Seconds that a client may take for the head of a request, the first one counted from its connection on."""

HEAD_SIZE = 64 * 1024
"""Bytes that a request may have besides its body, and a read of the socket's more."""

BODY_TIME = 60.0
"""Seconds that it may take for the body."""

STALL_TIME = 120.0
"""Seconds after which a client is dropped that takes nothing of its answer: it may ask again from where it was.

OpenAI's clients cannot, so they are waited for. One whose machine is gone, TCP gives up by itself.
"""

CONNECTIONS = 1024
"""Connections at once; who comes then gets a 503, asked or not."""


class Address(NamedTuple):
    """Where to listen. Port 0 is any that is free."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


USUAL = Address("127.0.0.1", 7878)
"""Where the page is unless the config file says otherwise."""


_ADDRESS = re.compile(r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")


def address_of(word: str) -> Address:
    """`HOST:PORT`, the host in brackets if it has colons. Raises ConfigurationError."""
    parts = _ADDRESS.fullmatch(word)
    if parts and int(parts["port"]) < 65536:
        return Address(parts["v6"] or parts["name"], int(parts["port"]))
    raise ConfigurationError(f"{shown(word)} is no address to listen on, which is HOST:PORT as in {USUAL}")


class Server(uvicorn.Server):
    """Signals are ours: uvicorn's own handling re-raises them and skips the streams' ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """The daemon's face on one address, listening from the start on. Raises ConfigurationError."""

    def __init__(self, daemon: Daemon, address: Address, *, token: bool = True) -> None:
        if not token and not address.loopback:
            raise ConfigurationError(f"without a token the daemon listens on this machine alone, not on {address}")
        home = daemon.store.home
        self._keys = Keys(token_of(home)) if token else None
        self._socket = _bound(address)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)
        settings = load(home)
        cookie = f"ptstream-{port}"  # all ports of a host share their cookies
        outside = Outside(address.host, settings)
        gate = Gate(make_face(daemon, self._keys, cookie), self._keys, cookie, outside)
        self._public_url = settings.public_url
        self._server = Server(
            uvicorn.Config(
                Cors(gate, outside),
                http=Patient,
                log_level="warning",
                lifespan="off",
                ws="none",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # what a proxy says is `outside.py`'s to read
                timeout_keep_alive=KEPT,
                timeout_graceful_shutdown=LINGER,
            )
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def invitation(self) -> str:
        """A link for one use, which lets a browser in."""
        place = str(self._public_url or self._near())
        return f"{place}{wire.ENTER}?key={self._keys.invitation()}" if self._keys else f"{place}/"

    def _near(self) -> str:
        """Where this machine finds it: no browser goes to an address that stands for all."""
        if not is_unspecified(self.address.host):
            return self.url
        return f"http://{self.address._replace(host='::1' if ':' in self.address.host else '127.0.0.1')}"

    async def serve(self) -> None:
        """Answer, until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more requests; `serve` returns in a moment."""
        self._server.should_exit = True


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(tuple(address), family=family, backlog=1024)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)  # not its own words, which name the address again
        raise ConfigurationError(f"{address} cannot be listened on: {why}") from error


FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\n"
    b"connection: close\r\n\r\nThere are too many connections"
)


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, but not patient for ever: it knows no time-out but that of an idle connection, and no limit
    to a request's head."""

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _answering = ""
    """The path of the request whose answer is being sent."""

    _head = 0
    """Bytes since the last that belonged to a body, or ended a request."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:  # at once: asked or not, it holds a file
            transport.write(FULL)
            transport.close()
            return
        self._expect(HEAD_TIME)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > HEAD_SIZE and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect(HEAD_TIME)

    def on_headers_complete(self) -> None:
        self._expect(BODY_TIME)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        self._expect(None)
        super().on_message_complete()
        self._expect_another()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle.scope["path"]  # `self.scope` is the last request's, which may have to wait
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_another()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._answering.endswith(wire.COMPLETIONS):  # a proxy may have left a path before it
            self._stall = self.loop.call_later(STALL_TIME, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._stop_stall()
        super().connection_lost(exc)

    def _stop_stall(self) -> None:
        if self._stall:
            self._stall.cancel()
            self._stall = None

    def _expect_another(self) -> None:
        """uvicorn's own time-out ends with the next byte, which need not be that of a request."""
        if self._deadline is None and self.cycle.response_complete and not self.transport.is_closing():
            self._expect(HEAD_TIME)

    def _expect(self, seconds: float | None) -> None:
        """The next thing within so many seconds, or the connection is dropped."""
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
