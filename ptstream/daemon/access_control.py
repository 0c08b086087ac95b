"""Who may call over the network: what stands before the daemon's routes on TCP, and lets in or turns away.

A web page of somebody else's must not reach the daemon through its user's browser: neither under a name of its own
that leads here (DNS rebinding), nor from its own origin, nor with the cookie. Who brings the token has it from the
home, and may call by any name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ptstream import wire
from ptstream.daemon.cors import not_listed
from ptstream.daemon.host_and_origin import OwnAddresses, Target
from ptstream.daemon.keys import Keys
from ptstream.daemon.request_limits import BoundedBody, RequestLimits, known_limits, strangers_limits
from ptstream.daemon.sessions import IDLE_TIME, WHOLE_TIME, Session
from ptstream.errors import (
    ConfigurationError,
    NotAllowed,
    NotAuthenticated,
    PtstreamError,
    SessionEnded,
    TooMany,
)
from ptstream.http.json_response import error_response
from ptstream.origins import origin_of

log = logging.getLogger("ptstream")

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

_SESSION_PATH = re.compile(r"/[0-9a-f]{32}(?=/)")
"""The path before the page's, that of a session: some daemon's, or none's."""


class AccessControl:
    """The application behind it. Without keys, everybody is let in who is no web page of another origin."""

    def __init__(self, app: ASGIApp, keys: Keys | None, cookie: str, addresses: OwnAddresses) -> None:
        self._app = app
        self._keys = keys
        self._addresses = addresses
        self._known = known_limits()
        self._strangers = strangers_limits()
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._asked(scope)
        try:
            limits = self._check(asked)
        except PtstreamError as error:
            await _refusal(error, scope, receive, send)
            return
        body = BoundedBody(receive, limits)
        # As ASGI has it: the path is the whole one, and the routes look at what of it comes after the root's.
        root = self._addresses.path if asked.target.public else ""
        whole = {**scope, "scheme": asked.target.scheme, "path": root + asked.path, "root_path": root}
        whole["state"] = {**scope.get("state", {}), "session": asked.session}
        try:
            with self._keys.sessions.answering() if self._keys and asked.session else nullcontext():
                await self._app(whole, body, send)
        finally:
            body.release()

    def _asked(self, scope: Scope) -> _Request:
        """What the request shows."""
        headers = Headers(scope=scope)
        target = self._addresses.target_of(scope, headers)
        path = _without(self._addresses.path, scope["path"])
        inside = _SESSION_PATH.match(path)
        prefix = inside[0] if inside else ""
        asked = _Request(scope, headers, target, path[len(prefix) :])
        if self._keys:
            self._look(self._keys)
            asked.token = self._has_token(self._keys, headers)
            words = tuple(self._cookies(headers)) if prefix else ()
            asked.cookie = bool(words)
            found = (self._keys.sessions.of_cookie(prefix, word) for word in words)
            asked.session = next(filter(None, found), None) or self._proved(self._keys, asked)
        return asked

    def _look(self, keys: Keys) -> None:
        try:
            keys.look()
        except ConfigurationError as error:  # its words are for the owner of the home
            log.error("nobody is let in: %s", error)

    def _check(self, asked: _Request) -> RequestLimits:
        """As whom it is answered. Raises NotAllowed, NotAuthenticated, TooMany, TooLarge."""
        if not asked.token and (name := self._addresses.foreign_name(asked.target, asked.scope)) is not None:
            raise NotAllowed(self._no_name(name))
        origin = asked.origin
        if origin is not None and not (
            self._addresses.is_own(origin, asked.target) or self._addresses.is_listed(origin)
        ):
            raise NotAllowed(not_listed(origin))
        if "service-worker" in asked.headers:
            raise NotAllowed(NO_WORKER)
        known = asked.token or self._is_known(asked) or self._is_invited(asked)
        if known and (admit := asked.scope.get("state", {}).get("admit")):
            admit()
        limits = self._known if known else self._strangers
        limits.take_turn()
        if known or _is_public(asked.path):
            limits.check_length(asked.headers)
            return limits
        if self._keys is None:
            raise NotAllowed(NO_WORD if "sec-fetch-site" not in asked.headers else NO_OTHER_PAGE)
        if asked.session:
            raise NotAuthenticated(NO_PAGE)
        raise SessionEnded(NO_SESSION) if asked.cookie else NotAuthenticated(NO_TOKEN)

    def _has_token(self, keys: Keys, headers: Headers) -> bool:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and keys.is_token(word.strip())

    def _proved(self, keys: Keys, asked: _Request) -> Session | None:
        """The session that a page which was let in by an earlier daemon process proves to have; see `sessions.py`.

        Its proof is for one address. Who holds the port that was the daemon's could pass it on to where that is now:
        so the port has to be ours, unless the address is one that the user named.
        """
        scheme, _, word = asked.headers.get("authorization", "").partition(" ")
        id, _, proof = word.strip().partition(":")
        if scheme != wire.PROOF or asked.path != wire.SESSION or asked.origin is None:
            return None
        if not self._addresses.is_here(asked.origin, asked.target, asked.scope):
            return None
        return keys.sessions.of_proof(id, proof, str(origin_of(asked.origin)))

    def _is_known(self, asked: _Request) -> bool:
        """Whether who asks is the page, with its session or, where there are no keys, no web page that may not."""
        # Without an origin come the images, scripts and frames of a page, whosever it is.
        site = asked.headers.get("sec-fetch-site")
        if self._keys is None:
            if asked.origin is not None and self._addresses.is_listed(asked.origin):
                return True
            if site is None and asked.origin is None and not self._addresses.is_told_sites(asked.target):
                return False
            return site in (None, "same-origin", "none")
        # Another port of the same host is the same site, and its pages might send the cookie along.
        own = asked.origin is None or self._addresses.is_own(asked.origin, asked.target)
        return asked.session is not None and site in (None, "same-origin", "none") and own

    def _is_invited(self, asked: _Request) -> bool:
        """Whether it is for a link that nobody has used yet: however many strangers asked, it finds its turn."""
        if self._keys is None or asked.path != wire.ENTER:
            return False
        query = parse_qs(asked.scope["query_string"].decode("latin-1"))
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


def _without(begin: str, path: str) -> str:
    return path[len(begin) :] if begin and path.startswith(f"{begin}/") else path


def _is_public(path: str) -> bool:
    """What reveals nothing: the page itself, which is the same for all, how to enter, the API, the manual."""
    return path in ("/", wire.ENTER, wire.SESSION, wire.OPENAPI, "/docs") or path.startswith(("/web/", "/docs/"))


@dataclass(slots=True)
class _Request:
    """A request, and what it has shown."""

    scope: Scope
    headers: Headers
    target: Target
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
