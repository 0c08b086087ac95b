"""The page: the link that lets a browser in, and its session. Its files are `page_files.py`'s."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Mount, Route

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.daemon.page_files import HEADERS, file_routes
from ptstream.daemon.sessions import Session
from ptstream.errors import NotAuthenticated
from ptstream.http.app_response import web

VISIT = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width"><title>ptstream</title>
<form method=post action="{action}"><input type=hidden name=key value="{key}">
<p>This link lets this browser in, once. <button autofocus>Enter</button></form>
"""

VISIT_HEADERS = HEADERS | {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",  # with `no-referrer`, browsers call the form's origin null
    "cache-control": "no-store",
}


def page_routes(keys: Keys | None, cookie: str) -> list[Route | Mount]:
    """The routes. `cookie` is the name of the one that an invitation is exchanged for."""

    def let_in(request: Request, session: Session | None) -> Response:
        """To the page, with the session's cookie."""
        if keys is None or session is None:
            response = RedirectResponse(request.scope["root_path"] + "/", 303, HEADERS)
        else:
            path = f"{request.scope['root_path']}{keys.sessions.path_prefix(session)}/"
            response = RedirectResponse(path, 303, HEADERS | {"cache-control": "no-store"})
            secure = request.scope["scheme"] == "https"
            age = int(session.remaining(time.time()))
            word = keys.sessions.cookie(session)
            response.set_cookie(cookie, word, age, path=path, secure=secure, httponly=True, samesite="strict")
        return response

    async def enter(request: Request) -> Response:
        if request.method == "POST":
            form = parse_qs((await request.body()).decode("utf-8", "replace"))
            key = form.get("key", [""])[0]
        else:
            key = request.query_params.get("key", "")
        if keys and not keys.is_invitation(key):
            said = "This link has been used, or is too old. Run `ptstream web` for another one.\n"
            return PlainTextResponse(said, 403, HEADERS | {"cache-control": "no-store"})
        if keys and request.method != "POST" and not _is_visit(request):
            action = request.scope["root_path"] + wire.ENTER
            return HTMLResponse(VISIT.format(action=action, key=key), 200, VISIT_HEADERS)
        return let_in(request, keys.redeem(key) if keys else None)

    async def show_session(_: Request) -> Response:
        """What a page proves its key with."""
        nonce = keys.sessions.nonce if keys else None
        return JSONResponse({"nonce": nonce}, headers=HEADERS | {"cache-control": "no-store"})

    async def use_session(request: Request) -> Response:
        """For a page with the cookie its session's key, until it has it; for one with a proof, its place and cookie."""
        session = request.state.session
        if keys is None or session is None:
            raise NotAuthenticated("there is no such session")
        if not request.headers.get("authorization"):
            kept = "kept" in request.query_params
            fields = {"id": session.id, "key": keys.sessions.key_of(session, kept=kept)}
            return JSONResponse(fields, headers=HEADERS | {"cache-control": "no-store"})
        response = let_in(request, session)
        more = {"set-cookie": response.headers["set-cookie"], "cache-control": "no-store"}
        return JSONResponse({"place": response.headers["location"]}, headers=HEADERS | more)

    return [
        *file_routes(web),
        Route(wire.ENTER, enter, methods=["GET", "POST"]),
        Route(wire.SESSION, show_session),
        Route(wire.SESSION, use_session, methods=["POST"]),
    ]


def _is_visit(request: Request) -> bool:
    """Whether somebody follows the link, and no program looks ahead where it leads, or what is to be shown of it.

    Browsers say so in Fetch Metadata, by TLS and to their own machine: what says nothing is a program. On this machine
    that is the user's own, as curl; elsewhere a chat's, which shows what a link leads to.
    """
    headers = request.headers
    if request.method == "HEAD" or any(headers.get(name) for name in ("sec-purpose", "purpose", "x-purpose", "x-moz")):
        return False
    if "sec-fetch-mode" in headers:
        return headers["sec-fetch-mode"] == "navigate" and headers.get("sec-fetch-dest") == "document"
    return bool(request.scope["scheme"] != "https")
