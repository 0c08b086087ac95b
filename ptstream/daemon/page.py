"""The page and its modules, as files of the package; and the link that lets a browser in."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.serving import web

HEADERS = {
    # The text on the page is a model's: nothing in it may run, load, or be sent anywhere.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


class _Files(StaticFiles):
    """With the page's headers. A module may be loaded by the pages of allowed origins as well."""

    def file_response(self, *given: Any, **more: Any) -> Response:
        response = super().file_response(*given, **more)
        response.headers.update(HEADERS | {"cross-origin-resource-policy": "cross-origin"})
        return response


def page_routes(keys: Keys | None, cookie: str) -> list[Route | Mount]:
    """The routes. `cookie` is the name of the one that an invitation is exchanged for."""

    async def page(_: Request) -> Response:
        return FileResponse(web / "index.html", headers=HEADERS)

    async def enter(request: Request) -> Response:
        if keys and not keys.redeem(request.query_params.get("key", "")):
            said = "This link has been used, or is too old. Run `ptstream web` for another one.\n"
            return PlainTextResponse(said, 403, HEADERS | {"cache-control": "no-store"})
        room = request.scope["root_path"] + (f"{keys.room}/" if keys else "/")
        response = RedirectResponse(room, 303, HEADERS | {"cache-control": "no-store"})
        if keys:
            tls = request.scope["scheme"] == "https"
            response.set_cookie(
                cookie, keys.cookie, 400 * 86400, path=room, secure=tls, httponly=True, samesite="strict"
            )
        return response

    return [
        Route("/", page),
        Route(wire.ENTER, enter),
        Mount("/web", _Files(directory=web), name="web"),
    ]
