"""The routes of the daemon on TCP: what all have, models alone to drive, OpenAI's way of asking, and the page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from ptstream import wire
from ptstream.daemon import openai_api, stream_routes
from ptstream.daemon.callers import only_models, own_caller
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.docs import docs_routes
from ptstream.daemon.keys import Keys
from ptstream.daemon.page import page_routes
from ptstream.daemon.read_routes import READ_ROUTES
from ptstream.daemon.routes import Table, routes
from ptstream.daemon.schemas import CreateStream, DriveStream, FillAnyStream, request_of
from ptstream.daemon.stream_routes import STREAM_ROUTES
from ptstream.http.json_response import EXCEPTION_HANDLERS
from ptstream.http.request_body import body_as


async def _create(daemon: Daemon, request: Request) -> Response:
    response = await stream_routes.create(daemon, await body_as(request, CreateStream), only_models)
    response.headers["location"] = request.scope["root_path"] + response.headers["location"]
    return response


async def _drive(daemon: Daemon, request: Request) -> Response:
    body = await body_as(request, DriveStream)
    caller = own_caller(daemon.home)
    return await stream_routes.drive(daemon, request, caller, only_models, on_drop=body.on_drop)


async def _fill(daemon: Daemon, request: Request) -> Response:
    return await stream_routes.fill(daemon, request, only_models)


async def _check(daemon: Daemon, request: Request) -> Response:
    generation = request_of(await body_as(request, FillAnyStream))
    only_models(generation)
    return await stream_routes.check_request(daemon, generation, own_caller(daemon.home))


TCP_ROUTES: Table = [
    *READ_ROUTES,
    *STREAM_ROUTES,
    ("POST", wire.STREAMS, _create),
    ("PATCH", wire.STREAM, _fill),
    ("POST", wire.CHECK, _check),
    ("POST", wire.DRIVE, _drive),
    ("POST", wire.COMPLETIONS, openai_api.complete),
    ("GET", wire.COMPLETION_MODELS, openai_api.list_models),
    ("GET", wire.COMPLETION_MODEL, openai_api.show_model),
]


def make_tcp_app(daemon: Daemon, keys: Keys | None, cookie: str) -> Starlette:
    """The HTTP application, for behind `AccessControl`, which lets `cookie` in."""
    table = [*routes(daemon, TCP_ROUTES), *page_routes(keys, cookie), *docs_routes()]
    return Starlette(routes=table, exception_handlers=EXCEPTION_HANDLERS)
