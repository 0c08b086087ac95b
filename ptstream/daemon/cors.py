"""CORS: which web apps' pages may call the daemon, and what is sent to browsers about it (WHATWG Fetch, 3.2)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from ptstream.daemon.host_and_origin import OwnAddresses
from ptstream.errors import NotAllowed
from ptstream.http.json_response import error_response

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


class Cors(CORSMiddleware):
    """Allows, by headers for browsers, that the pages of these origins may call, and how: never with the cookie."""

    def __init__(self, app: ASGIApp, addresses: OwnAddresses) -> None:
        super().__init__(
            app,
            allow_methods=METHODS,
            allow_headers=["*"],  # OpenAI's client for browsers has a dozen of its own
            expose_headers=ANSWER_HEADERS,
            allow_private_network=True,  # from the web to this machine, which is what it was listed for
            max_age=PREFLIGHT_TIME,
        )
        self._addresses = addresses

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether it is listed, in whatever letters."""
        return self._addresses.is_listed(origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        """An origin that is not listed is refused as it would be without asking before, which says why."""
        origin = request_headers["origin"]
        if self.is_allowed_origin(origin):
            return super().preflight_response(request_headers)
        return error_response(NotAllowed(not_listed(origin)))


def not_listed(origin: str) -> str:
    """Why a page of that origin may not call."""
    if origin == "null":
        return (
            "a page that was opened from a file, or in a sandboxed frame, may not call the daemon: it has no origin"
            " ('null'); serve it from an address, and list that among `origins` in config.toml"
        )
    return (
        f"the web page of {origin[:100]!r} may not call the daemon: its origin is not among `origins` in config.toml,"
        " nor that of `public_url`"
    )
