"""One HTTP/1.1 connection: uvicorn's protocol, with what it lacks: limits in time and size, and three mends.

uvicorn knows no time-out but that of an idle connection, and no limit to a request's head; its parser takes a body
behind `Upgrade:` for the next request, and it takes trailers for a part of the head. Its methods that are overridden
here are not all public, so `pyproject.toml` caps its version.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ptstream.http.connection_limits import Connections, Guest
from ptstream.http.followed_response import BREAK_OFF

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
"""Seconds after which a client is dropped that takes nothing of its answer: it may ask again from where it was."""


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """What clients from the network are held to: how many there may be at once, and how long each may take."""

    connections: Connections = field(default_factory=Connections)
    unhurried: tuple[str, ...] = ()
    """How the paths end whose answers wait for a known client as long as it takes."""


FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\n"
    b"connection: close\r\n\r\nThere are too many connections"
)


class Connection(HttpToolsProtocol):
    """One connection. Without `strangers` its client is this machine's own user, whom nothing hurries."""

    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _guest: Guest | None = None
    _answering = ""
    """The path of the request whose answer is being sent."""

    _head = 0
    """Bytes since the last that belonged to a body, or ended a request."""

    def __init__(self, strangers: Strangers | None, **more: Any) -> None:
        super().__init__(**more)
        self._strangers = strangers

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._strangers is None:
            return
        guest = Guest((self.client or ("",))[0], transport.abort, self._is_idle)
        if not self._strangers.connections.enter(guest):  # at once: asked or not, it holds a file
            transport.write(FULL)
            transport.close()
            return
        self._guest = guest
        self._expect(HEAD_TIME)

    def _admit(self) -> None:
        """Who asks is known: there is time for a large body, and nobody takes the connection's place."""
        if self._strangers and self._guest and not self._guest.known:
            self._strangers.connections.know(self._guest)
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
        self.scope["state"][BREAK_OFF] = self.transport.close
        self._expect(HEAD_TIME)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED:  # uvicorn, which reads on with every answer, knows no limit
            raise ValueError("too many requests at once")  # parsing ends here: the client gets an error, and is dropped
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
        if self._strangers is None:
            return
        known = self._guest is not None and self._guest.known
        if not (known and self._answering.endswith(self._strangers.unhurried)):
            self._stall = self.loop.call_later(STALL_TIME, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._strangers and self._guest:
            self._strangers.connections.leave(self._guest)
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
        self._deadline = None
        if seconds is not None and self._strangers is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)
