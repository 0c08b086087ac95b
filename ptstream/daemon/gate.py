"""Who may call over the network: what stands before the daemon's routes on TCP, and lets in or turns away.

A web page of somebody else's must not reach the daemon through its user's browser: neither under a name of its own
that leads here (DNS rebinding), nor from its own origin, nor with the cookie.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.errors import NotAllowed, NotAuthenticated, PtstreamError, TooLarge, TooMany
from ptstream.serving import error_response
from ptstream.settings import Settings

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request at most."""

MAX_BODIES = 4 * MAX_BODY
"""Bytes of all the requests together that are being answered."""

RATE = 100.0
"""Requests in a second, in the long run."""

BURST = 1000
"""Requests at once."""

METHODS = ("GET", "HEAD", "POST", "DELETE")

REQUEST_HEADERS = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID")

ANSWER_HEADERS = (
    "ETag",
    "Location",
    "PTStream-Error",
    "PTStream-Status",
    "Retry-After",
    "Stream-Closed",
    "Stream-Cursor",
    "Stream-ID",
    "Stream-Next-Offset",
    "Stream-SSE-Data-Encoding",
    "Stream-Up-To-Date",
)
"""What a page of an allowed origin may read of an answer."""


@dataclass(slots=True)
class Rate:
    """So many a second, and so many at once: the generic cell rate algorithm (ITU-T I.371)."""

    rate: float
    burst: int
    _due: float = 0.0

    def take(self, now: float) -> float:
        """Take one's turn: 0, or in how many seconds there is one."""
        due = max(self._due, now)
        if (late := due - now - (self.burst - 1) / self.rate) > 0:
            return late
        self._due = due + 1 / self.rate
        return 0.0


class Gate:
    """The application behind the gate. Without keys, everybody is let in who is no web page of another origin."""

    def __init__(self, app: ASGIApp, keys: Keys | None, host: str, cookie: str, settings: Settings) -> None:
        self._app = app
        self._keys = keys
        self._names = {host.strip("[]").lower(), "localhost"} | {
            (urlsplit(origin).hostname or "") for origin in settings.origins
        }
        self._origins = frozenset(settings.origins)
        self._rate = Rate(RATE, BURST)
        self._strangers_rate = Rate(RATE, BURST)
        self._cookie = cookie
        self._room = _Room(MAX_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        scope, inside = self._entered(scope)
        try:
            self._check(scope, headers, inside)
        except PtstreamError as error:
            await _refusal(error, scope, receive, send)
        else:
            body = _Bounded(receive, self._room)
            try:
                await self._app(scope, body, send)
            finally:
                self._room.left += body.size

    def _entered(self, scope: Scope) -> tuple[Scope, bool]:
        """The request without the path of the page's room, and whether it had that."""
        if self._keys is None or not scope["path"].startswith(f"{self._keys.room}/"):
            return scope, False
        cut = len(self._keys.room)
        return {**scope, "path": scope["path"][cut:], "raw_path": scope["raw_path"][cut:]}, True

    def _check(self, scope: Scope, headers: Headers, inside: bool) -> None:
        """Raises NotAllowed, NotAuthenticated, TooMany, TooLarge."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise NotAllowed("the daemon is not called by that name")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}" and origin not in self._origins:
            raise NotAllowed("that web page may not call the daemon: its origin is not among `origins` in config.toml")
        known = self._is_known(headers, origin, inside)
        # Who has no key, and any web page can ask, takes nobody's turn who has one.
        rate = self._rate if known else self._strangers_rate
        if wait := rate.take(time.monotonic()):
            raise TooMany(f"too many requests: ask again in {wait:.1f} s")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or int(length[:18]) > MAX_BODY:
            raise TooLarge(f"a request may have {MAX_BODY} bytes")
        if known or _is_public(scope["path"]):
            return
        if self._keys is None:
            raise NotAllowed("a web page of another origin may not call the daemon")
        raise NotAuthenticated("a token is needed: Authorization: Bearer, with what `ptstream daemon token` prints")

    def _is_ours(self, host: str) -> bool:
        """Whether `host` names us. An address cannot be rebound to another one; a name can."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_known(self, headers: Headers, origin: str | None, inside: bool) -> bool:
        """Whether who asks has a key or, where there are none, is no web page that may not."""
        # Without an origin come the images, scripts and frames of a page, whosever it is.
        own = headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        if self._keys is None:
            return own or origin in self._origins
        scheme, _, word = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._keys.is_token(word.strip())
        # Another port of the same host is the same site, and its pages might send the cookie along.
        return inside and own and origin not in self._origins and any(map(self._keys.is_cookie, self._cookies(headers)))

    def _cookies(self, headers: Headers) -> Iterator[str]:
        """The values of our cookie: of one name there may be several, for another path or from another port.

        Not by `http.cookies`, which before Python 3.11.10 takes minutes for some (CVE-2024-7592); ours needs no quotes.
        """
        for header in headers.getlist("cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self._cookie:
                    yield value

    def open_to(self, origins: tuple[str, ...]) -> ASGIApp:
        """The gate, answering to web pages of these origins as CORS wants it, never with the cookie."""
        if not origins:
            return self
        return CORSMiddleware(
            self,
            allow_origins=list(origins),
            allow_methods=list(METHODS),
            allow_headers=list(REQUEST_HEADERS),
            expose_headers=list(ANSWER_HEADERS),
        )


def _is_public(path: str) -> bool:
    """What tells nobody anything: the page itself, which is the same for all, and how to call us."""
    return path in ("/", wire.ENTER, wire.OPENAPI) or path.startswith("/web/")


@dataclass(slots=True)
class _Room:
    """Bytes that bodies may still take."""

    left: int


class _Bounded:
    """The request's body, as far as it may go, and as there is room. Raises TooLarge, TooMany."""

    def __init__(self, receive: Receive, room: _Room) -> None:
        self._receive = receive
        self._room = room
        self.size = 0
        """Bytes that it has taken of the room."""

    async def __call__(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        if self.size + size > MAX_BODY:
            raise TooLarge(f"a request may have {MAX_BODY} bytes")
        if size > self._room.left:
            raise TooMany("too many large requests at once: ask again in a moment")
        self.size += size
        self._room.left -= size
        return message


async def _refusal(error: PtstreamError, scope: Scope, receive: Receive, send: Send) -> None:
    response = error_response(error)
    if isinstance(error, NotAuthenticated):
        response.headers["www-authenticate"] = 'Bearer realm="ptstream"'
    if isinstance(error, TooMany):
        response.headers["retry-after"] = "1"
    # The connection stays open: closed with a body unread, it would be reset, and the client not see the answer.
    await response(scope, receive, send)
