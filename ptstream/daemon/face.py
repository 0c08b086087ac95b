"""The routes of the daemon on TCP: what all have, models alone to drive, OpenAI's way of asking, and the page."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from ptstream import wire
from ptstream.daemon import api, completions
from ptstream.daemon.docs import docs_routes
from ptstream.daemon.drives import Daemon
from ptstream.daemon.keys import Keys
from ptstream.daemon.page import page_routes


async def _create(daemon: Daemon, request: Request) -> Response:
    response = await api.create(daemon, await api.asked(request, "CREATE"), api.only_models)
    response.headers["location"] = request.scope["root_path"] + response.headers["location"]
    return response


async def _drive(daemon: Daemon, request: Request) -> Response:
    told: dict[str, Any] = await api.asked(request, "DRIVE")
    caller = api.own_caller(daemon.store.home)
    return await api.drive(daemon, request, caller, api.only_models, on_drop=told.get("on_drop", False))


ROUTES: list[tuple[str, str, api.Handler]] = [
    *api.ROUTES,
    ("POST", wire.STREAMS, _create),
    ("POST", wire.DRIVE, _drive),
    ("POST", wire.COMPLETIONS, completions.complete),
    ("GET", wire.COMPLETION_MODELS, completions.list_models),
    ("GET", wire.COMPLETION_MODEL, completions.show_model),
]


def make_face(daemon: Daemon, keys: Keys | None, cookie: str) -> Starlette:
    """The HTTP application, for behind a `Gate`, which lets `cookie` in."""
    routes = [*api.routes(daemon, ROUTES), *page_routes(keys, cookie), *docs_routes()]
    return Starlette(routes=routes, exception_handlers=api.REFUSALS)
