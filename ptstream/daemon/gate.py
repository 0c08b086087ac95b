"""Who may call over the network: what stands before the daemon's routes on TCP, and lets in or turns away.

A web page of somebody else's must not reach the daemon through its user's browser: neither under a name of its own
that leads here (DNS rebinding), nor from its own origin, nor with the cookie. Who brings the token has it from the
home, and may call by any name.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.daemon.outside import Outside, Seen
from ptstream.daemon.rate import Rate
from ptstream.daemon.sessions import IDLE_TIME, WHOLE_TIME, Session
from ptstream.errors import (
    ConfigurationError,
    NotAllowed,
    NotAuthenticated,
    PtstreamError,
    SessionEnded,
    TooLarge,
    TooMany,
)
from ptstream.origins import origin_of
from ptstream.serving import error_response

log = logging.getLogger("ptstream")

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request at most."""

MAX_BODIES = 4 * MAX_BODY
"""Bytes of all the requests together that are being answered."""

STRANGERS_BODY = 16 * 1024
"""Bytes of a request of somebody who has shown no key, for what is open to all."""

STRANGERS_BODIES = 1024 * 1024
"""Bytes of all of those together."""

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

NO_SESSION = (
    f"this browser's session has ended: after {IDLE_TIME / 86400:g} days without use or {WHOLE_TIME / 86400:g} in all,"
    " by `ptstream web --lock`, with another token, or with another daemon, to which its page has not shown its key."
    " `ptstream web` opens a new one"
)

NO_OTHER_PAGE = "a web page of another origin may not call the daemon: list its origin among `origins` in config.toml"

NO_WORD = (
    "under this name, without TLS, browsers do not say which page asks: without a token the daemon is called by a"
    " loopback name, or by an https address that config.toml names as `public_url` or among `origins`"
)

NO_WORKER = "the daemon's page has no service worker: one at this address is of whoever had it before, and is removed"

_ROOM = re.compile(r"/[0-9a-f]{32}(?=/)")
"""The path before the page's, that of a session: some daemon's, or none's."""


class Gate:
    """The application behind the gate. Without keys, everybody is let in who is no web page of another origin."""

    def __init__(self, app: ASGIApp, keys: Keys | None, cookie: str, outside: Outside) -> None:
        self._app = app
        self._keys = keys
        self._outside = outside
        self._known = _Turn(Rate(RATE, BURST), MAX_BODY, _Room(MAX_BODIES))
        # Who has no key, and any web page can ask, takes nobody's turn who has one, nor their room.
        self._strangers = _Turn(Rate(RATE, BURST), STRANGERS_BODY, _Room(STRANGERS_BODIES))
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ask = self._asked(scope)
        try:
            turn = self._check(ask)
        except PtstreamError as error:
            await _refusal(error, scope, receive, send)
            return
        body = _Bounded(receive, turn)
        # As ASGI has it: the path is the whole one, and the routes look at what of it comes after the root's.
        root = self._outside.path if ask.seen.public else ""
        whole = {**scope, "scheme": ask.seen.scheme, "path": root + ask.path, "root_path": root}
        whole["state"] = {**scope.get("state", {}), "session": ask.session}
        try:
            with self._keys.sessions.answering() if self._keys and ask.session else nullcontext():
                await self._app(whole, body, send)
        finally:
            turn.room.left += body.size

    def _asked(self, scope: Scope) -> _Ask:
        """What the request shows."""
        headers = Headers(scope=scope)
        seen = self._outside.seen(scope, headers)
        path = _without(self._outside.path, scope["path"])
        inside = _ROOM.match(path)
        room = inside[0] if inside else ""
        ask = _Ask(scope, headers, seen, path[len(room) :])
        if self._keys:
            self._look(self._keys)
            ask.token = self._has_token(self._keys, headers)
            words = tuple(self._cookies(headers)) if room else ()
            ask.cookie = bool(words)
            found = (self._keys.sessions.of_cookie(room, word) for word in words)
            ask.session = next(filter(None, found), None) or self._proved(self._keys, ask)
        return ask

    def _look(self, keys: Keys) -> None:
        try:
            keys.look()
        except ConfigurationError as error:  # its words are for the owner of the home
            log.error("nobody is let in: %s", error)

    def _check(self, ask: _Ask) -> _Turn:
        """As whom it is answered. Raises NotAllowed, NotAuthenticated, TooMany, TooLarge."""
        if not ask.token and (name := self._outside.stranger(ask.seen, ask.scope)) is not None:
            raise NotAllowed(self._no_name(name))
        origin = ask.origin
        if origin is not None and not (self._outside.is_own(origin, ask.seen) or self._outside.is_listed(origin)):
            raise NotAllowed(_no_origin(origin))
        if "service-worker" in ask.headers:
            raise NotAllowed(NO_WORKER)
        known = ask.token or self._is_known(ask) or self._is_invited(ask)
        if known and (admit := ask.scope.get("state", {}).get("admit")):
            admit()
        turn = self._known if known else self._strangers
        if wait := turn.rate.take(time.monotonic()):
            raise TooMany(f"too many requests: ask again in {wait:.1f} s")
        length = ask.headers.get("content-length", "0")
        public = _is_public(ask.path)
        if known or public:
            if not (length.isascii() and length.isdecimal()) or int(length[:18]) > turn.body:
                raise TooLarge(f"a request may have {turn.body} bytes")
            return turn
        if self._keys is None:
            raise NotAllowed(NO_WORD if "sec-fetch-site" not in ask.headers else NO_OTHER_PAGE)
        if ask.session:
            raise NotAuthenticated(NO_PAGE)
        raise SessionEnded(NO_SESSION) if ask.cookie else NotAuthenticated(NO_TOKEN)

    def _has_token(self, keys: Keys, headers: Headers) -> bool:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and keys.is_token(word.strip())

    def _proved(self, keys: Keys, ask: _Ask) -> Session | None:
        """The session that a page which was let in by another daemon's life proves to have; see `sessions.py`.

        Its proof is for one address. Who holds the port that was the daemon's could pass it on to where that is now:
        so the port has to be ours, unless the address is one that the user named.
        """
        scheme, _, word = ask.headers.get("authorization", "").partition(" ")
        id, _, proof = word.strip().partition(":")
        if scheme != wire.PROOF or ask.path != wire.SESSION or ask.origin is None:
            return None
        if not self._outside.is_here(ask.origin, ask.seen, ask.scope):
            return None
        return keys.sessions.of_proof(id, proof, str(origin_of(ask.origin)))

    def _is_known(self, ask: _Ask) -> bool:
        """Whether who asks is the page, with its session or, where there are no keys, no web page that may not."""
        # Without an origin come the images, scripts and frames of a page, whosever it is.
        site = ask.headers.get("sec-fetch-site")
        if self._keys is None:
            if ask.origin is not None and self._outside.is_listed(ask.origin):
                return True
            if site is None and ask.origin is None and not self._outside.is_told_sites(ask.seen):
                return False
            return site in (None, "same-origin", "none")
        # Another port of the same host is the same site, and its pages might send the cookie along.
        own = ask.origin is None or self._outside.is_own(ask.origin, ask.seen)
        return ask.session is not None and site in (None, "same-origin", "none") and own

    def _is_invited(self, ask: _Ask) -> bool:
        """Whether it is for a link that nobody has used yet: however many strangers ask, it finds its turn."""
        if self._keys is None or ask.path != wire.ENTER:
            return False
        query = parse_qs(ask.scope["query_string"].decode("latin-1"))
        return self._keys.is_invitation(query.get("key", [""])[0])

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
    """What tells nobody anything: the page itself, which is the same for all, how to enter, the API, the manual."""
    return path in ("/", wire.ENTER, wire.SESSION, wire.OPENAPI, "/docs") or path.startswith(("/web/", "/docs/"))


@dataclass(slots=True)
class _Ask:
    """A request, and what it has shown."""

    scope: Scope
    headers: Headers
    seen: Seen
    path: str
    """Without that of `public_url` and of a page's session."""
    token: bool = False
    cookie: bool = False
    """Whether it has a session's, good or not."""
    session: Session | None = None

    @property
    def origin(self) -> str | None:
        """That of the page which asks, if a page does."""
        return self.headers.get("origin")


@dataclass(slots=True)
class _Room:
    """Bytes that bodies may still take."""

    left: int


@dataclass(slots=True)
class _Turn:
    """What those have together who are known, or those who are not: their rate, their room, and a body's size."""

    rate: Rate
    body: int
    room: _Room


class _Bounded:
    """The request's body, as far as it may go, and as there is room. Raises TooLarge, TooMany."""

    def __init__(self, receive: Receive, turn: _Turn) -> None:
        self._receive = receive
        self._most = turn.body
        self._room = turn.room
        self.size = 0
        """Bytes that it has taken of the room."""

    async def __call__(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        if self.size + size > self._most:
            raise TooLarge(f"a request may have {self._most} bytes")
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
    if "service-worker" in Headers(scope=scope):  # Service Workers, 4.1.1: a browser asks for each one's script anew
        response.headers["clear-site-data"] = '"storage"'
    # The connection stays open: closed with a body unread, it would be reset, and the client not see the answer.
    await response(scope, receive, send)
