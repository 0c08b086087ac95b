"""Who may call over the network: what stands before the daemon's routes on TCP, and lets in or turns away.

A web page of somebody else's must not reach the daemon through its user's browser: neither under a name of its own
that leads here (DNS rebinding), nor from its own origin, nor with the cookie. Who brings the token has it from the
home, and may call by any name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.daemon.outside import Outside, Seen
from ptstream.errors import NotAllowed, NotAuthenticated, PtstreamError, TooLarge, TooMany
from ptstream.serving import error_response

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request at most."""

MAX_BODIES = 4 * MAX_BODY
"""Bytes of all the requests together that are being answered."""

RATE = 100.0
"""Requests in a second, in the long run."""

BURST = 1000
"""Requests at once."""

METHODS = ("GET", "HEAD", "POST", "DELETE")

PREFLIGHT_TIME = 7200
"""Seconds for which a browser may remember that it may ask; Chromium's own limit."""

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
    "*",
)
"""What a page of an allowed origin may read of an answer: all, by name for browsers that do not know the asterisk."""


NO_TOKEN = "a token is needed: Authorization: Bearer, with what `ptstream daemon token` prints"

NO_PAGE = (
    "the page's cookie counts on the page alone: if this is the page, name its address as `public_url` in config.toml"
)


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

    def __init__(self, app: ASGIApp, keys: Keys | None, cookie: str, outside: Outside) -> None:
        self._app = app
        self._keys = keys
        self._outside = outside
        self._rate = Rate(RATE, BURST)
        self._strangers_rate = Rate(RATE, BURST)
        self._cookie = cookie
        self._room = _Room(MAX_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        seen = self._outside.seen(scope, headers)
        path, inside = self._entered(scope["path"])
        try:
            self._check(scope, headers, seen, path, inside)
        except PtstreamError as error:
            await _refusal(error, scope, receive, send)
        else:
            body = _Bounded(receive, self._room)
            # As ASGI has it: the path is the whole one, and the routes look at what of it comes after the root's.
            root = self._outside.path if seen.public else ""
            try:
                whole = {**scope, "scheme": seen.scheme, "path": root + path, "root_path": root}
                await self._app(whole, body, send)
            finally:
                self._room.left += body.size

    def _entered(self, path: str) -> tuple[str, bool]:
        """The path without that of `public_url` and of the page's room, and whether it had the latter."""
        path = _without(self._outside.path, path)
        room = self._keys.room if self._keys else ""
        return _without(room, path), bool(room) and path.startswith(f"{room}/")

    def _check(self, scope: Scope, headers: Headers, seen: Seen, path: str, inside: bool) -> None:
        """Raises NotAllowed, NotAuthenticated, TooMany, TooLarge."""
        token, origin = self._has_token(headers), headers.get("origin")
        if not token and (name := self._outside.stranger(seen, scope)) is not None:
            raise NotAllowed(self._no_name(name))
        if origin is not None and not (self._outside.is_own(origin, seen) or self._outside.is_listed(origin)):
            raise NotAllowed(_no_origin(origin))
        cookie = inside and any(map(self._is_cookie, self._cookies(headers)))
        known = token or self._is_known(origin, headers, seen, cookie)
        # Who has no key, and any web page can ask, takes nobody's turn who has one.
        rate = self._rate if known else self._strangers_rate
        if wait := rate.take(time.monotonic()):
            raise TooMany(f"too many requests: ask again in {wait:.1f} s")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or int(length[:18]) > MAX_BODY:
            raise TooLarge(f"a request may have {MAX_BODY} bytes")
        if known or _is_public(path):
            return
        if self._keys is None:
            raise NotAllowed("a web page of another origin may not call the daemon")
        raise NotAuthenticated(NO_PAGE if cookie else NO_TOKEN)

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        return self._keys is not None and scheme.lower() == "bearer" and self._keys.is_token(word.strip())

    def _is_cookie(self, word: str) -> bool:
        return self._keys is not None and self._keys.is_cookie(word)

    def _is_known(self, origin: str | None, headers: Headers, seen: Seen, cookie: bool) -> bool:
        """Whether who asks is the page, with its cookie or, where there are no keys, no web page that may not."""
        # Without an origin come the images, scripts and frames of a page, whosever it is.
        fetched_here = headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        if self._keys is None:
            return fetched_here or (origin is not None and self._outside.is_listed(origin))
        # Another port of the same host is the same site, and its pages might send the cookie along.
        return cookie and fetched_here and (origin is None or self._outside.is_own(origin, seen))

    def _no_name(self, name: str) -> str:
        said = f"the daemon is not called {name[:100]!r}: its names are this machine's, and those of `listen`,"
        said += " `public_url` and `origins` in config.toml"
        return f"{said}; who sends the token may call it by any" if self._keys else said

    def _cookies(self, headers: Headers) -> Iterator[str]:
        """The values of our cookie: of one name there may be several, for another path or from another port.

        Not by `http.cookies`, which before Python 3.11.10 takes minutes for some (CVE-2024-7592); ours needs no quotes.
        """
        for header in headers.getlist("cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self._cookie:
                    yield value


class Cors(CORSMiddleware):
    """Tells browsers that the pages of these origins may call, and how: never with the cookie."""

    def __init__(self, app: ASGIApp, outside: Outside) -> None:
        super().__init__(
            app,
            allow_methods=METHODS,
            allow_headers=["*"],  # OpenAI's client for browsers has a dozen of its own
            expose_headers=ANSWER_HEADERS,
            allow_private_network=True,  # from the web to this machine, which is what it was listed for
            max_age=PREFLIGHT_TIME,
        )
        self._outside = outside

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether it is listed, in whatever letters."""
        return self._outside.is_listed(origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        """An origin that is not listed is refused as it would be without asking before, which says why."""
        origin = request_headers["origin"]
        if self.is_allowed_origin(origin):
            return super().preflight_response(request_headers)
        return error_response(NotAllowed(_no_origin(origin)))


def _no_origin(origin: str) -> str:
    if origin == "null":
        return (
            "a page that was opened from a file, or in a sandboxed frame, may not call the daemon: it has no origin"
            " ('null'); serve it from an address, and list that among `origins` in config.toml"
        )
    return (
        f"the web page of {origin[:100]!r} may not call the daemon: its origin is not among `origins` in config.toml,"
        " nor that of `public_url`"
    )


def _without(begin: str, path: str) -> str:
    return path[len(begin) :] if begin and path.startswith(f"{begin}/") else path


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
