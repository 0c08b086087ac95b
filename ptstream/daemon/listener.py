"""The daemon on TCP: an address, its server, and deadlines for clients that are slow or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ptstream import wire
from ptstream.config import Settings, load
from ptstream.daemon.connections import Connections, Guest
from ptstream.daemon.drives import Daemon
from ptstream.daemon.face import make_face
from ptstream.daemon.gate import Cors, Gate
from ptstream.daemon.keys import Keys
from ptstream.daemon.outside import Outside
from ptstream.errors import ConfigurationError
from ptstream.origins import is_loopback, is_unspecified, shown

log = logging.getLogger("ptstream")

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

PIPELINED = 16
"""Requests that a connection may have waiting for those before them (RFC 9112, 9.3.2). Clients that do so are few, and
each that waits takes a hundred times the memory of its shortest form."""

BODY_TIME = 60.0
"""Seconds that it may take for the body, if it is known who asks; a stranger has HEAD_TIME once more."""

STALL_TIME = 120.0
"""Seconds after which a client is dropped that takes nothing of its answer: it may ask again from where it was.

OpenAI's clients cannot, so they are waited for. One whose machine is gone, TCP gives up by itself.
"""


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

    def __init__(self, daemon: Daemon, address: Address, *, token: bool = True, plain_http: bool = False) -> None:
        home = daemon.home
        settings = load(home)
        self._socket = _bound(address)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)  # a name, as localhost, may lead anywhere
        try:
            self._check(settings, token=token, plain_http=plain_http or settings.plain_http)
            self._keys = Keys(home) if token else None
        except ConfigurationError:
            self._socket.close()
            raise
        self._sockets = [self._socket, *_beside(self.address)]
        cookie = f"ptstream-{port}"  # all ports of a host share their cookies
        outside = Outside("" if is_unspecified(host) else address.host, settings)
        gate = Gate(make_face(daemon, self._keys, cookie), self._keys, cookie, outside)
        self._public_url = settings.public_url
        self._server = Server(
            uvicorn.Config(
                Cors(gate, outside),
                http=partial(Patient, Connections()),  # type: ignore[arg-type]
                log_config=None,
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

    def _check(self, settings: Settings, *, token: bool, plain_http: bool) -> None:
        """Raises ConfigurationError for an address where strangers could do, or hear, what is not theirs."""
        if not token and not self.address.loopback:
            raise ConfigurationError(f"without a token the daemon listens on this machine alone, not on {self.address}")
        public = settings.public_url and settings.public_url.origin
        if plain_http or (public.scheme == "https" if public else self.address.loopback):
            return
        if public and is_loopback(public.host) and self.address.loopback:
            return
        place = settings.public_url if public and self.address.loopback else f"http://{self.address}"
        raise ConfigurationError(
            f"at {place} whoever is on the way would read the token, and all text: put a proxy before it that speaks"
            ' TLS, and name its address (public_url = "https://…" in config.toml); or, on a network that you trust, as'
            " a VPN's or a container's, say so (plain_http = true there, or --plain-http)"
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def invitation(self) -> str:
        """A link for one use, which lets a browser in."""
        place = str(self._public_url or self._near())
        return f"{place}{wire.ENTER}?key={self._keys.invitation()}" if self._keys else f"{place}/"

    def lock(self) -> None:
        """End every session of the page, and every link."""
        if self._keys:
            self._keys.lock()

    def _near(self) -> str:
        """Where this machine finds it: no browser goes to an address that stands for all."""
        if not is_unspecified(self.address.host):
            return self.url
        return f"http://{self.address._replace(host='::1' if ':' in self.address.host else '127.0.0.1')}"

    async def serve(self) -> None:
        """Answer, until `stop`."""
        await self._server.serve(sockets=self._sockets)

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


def _beside(address: Address) -> Iterator[socket.socket]:
    """The loopback address of the other kind, where the name localhost leads as well: it must lead to nobody else.

    What a browser was given at that name it would send there.
    """
    if address.host in ("127.0.0.1", "0.0.0.0"):
        other = address._replace(host="::1")
    elif address.host in ("::1", "::"):
        other = address._replace(host="127.0.0.1")
    else:
        return
    try:
        yield _bound(other)
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            log.warning("%s is another program's: do not call this daemon by the name localhost", other)


FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\n"
    b"connection: close\r\n\r\nThere are too many connections"
)


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, but not patient for ever: it knows no time-out but that of an idle connection, and no limit
    to a request's head."""

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _guest: Guest | None = None
    _answering = ""
    """The path of the request whose answer is being sent."""

    _head = 0
    """Bytes since the last that belonged to a body, or ended a request."""

    def __init__(self, connections: Connections, **more: Any) -> None:
        super().__init__(**more)
        self._all = connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        guest = Guest((self.client or ("",))[0], transport.abort, self._is_idle)
        if not self._all.enter(guest):  # at once: asked or not, it holds a file
            transport.write(FULL)
            transport.close()
            return
        self._guest = guest
        self._expect(HEAD_TIME)

    def _admit(self) -> None:
        """Who asks is known: there is time for a large body, and nobody takes the connection's place."""
        if self._guest and not self._guest.known:
            self._all.know(self._guest)
        if self._deadline and not self.cycle.response_complete and self.cycle.more_body:
            self._expect(BODY_TIME)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._head > HEAD_SIZE and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._parse(self._without_offer() + data[offered.args[0] :])
        except httptools.HttpParserError:
            said = "Invalid HTTP request received."
            self.logger.warning(said)
            self.send_400_response(said)

    def _without_offer(self) -> bytes:
        """The head just read, for another parser, as if no other protocol were offered (RFC 9110, 7.8).

        httptools ends the request there, and would take its body for the next one: somebody else's, behind a proxy.
        """
        before, self.parser = self.parser, httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        line = b"%s %s HTTP/%s\r\n" % (before.get_method(), self.url, before.get_http_version().encode())
        fields = (b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade")
        return b"".join((line, *fields, b"\r\n"))

    def _is_offered(self) -> bool:
        """Whether the request that is being read offers another protocol; CONNECT does, but is none that we answer."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["admit"] = self._admit
        self._expect(HEAD_TIME)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED:  # uvicorn, which reads on with every answer, knows no limit
            raise ValueError("too many requests at once")  # parsing ends here: the client is told, and dropped
        if self._is_offered():
            return
        self._expect(HEAD_TIME)  # for a stranger's body as well
        super().on_headers_complete()
        self.headers = []  # what comes after the body is no part of the head (RFC 9110, 6.5.1)

    def on_message_complete(self) -> None:
        if self._is_offered():
            return
        self._head = 0
        self._expect(None)
        super().on_message_complete()
        self._expect_another()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle.scope["path"]  # `self.scope` is the last request's, which may have to wait
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self.cycle.response_complete:
            self.cycle.body.clear()  # what nobody has read of it
        super().on_response_complete()
        self._expect_another()

    def pause_writing(self) -> None:
        super().pause_writing()
        known = self._guest is not None and self._guest.known
        if not (known and self._answering.endswith(wire.COMPLETIONS)):  # a proxy may have left a path before it
            self._stall = self.loop.call_later(STALL_TIME, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._guest:
            self._all.leave(self._guest)
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
