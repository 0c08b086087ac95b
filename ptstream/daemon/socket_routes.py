"""The routes of the daemon's own socket: all that there is, and what only its owner may ask for."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ptstream import wire
from ptstream.daemon import stream_routes
from ptstream.daemon.callers import anything, caller_of
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.read_routes import READ_ROUTES
from ptstream.daemon.routes import Table, client_gone, id_of, routes
from ptstream.daemon.schemas import CallerContext, CheckRequest, CreateAnyStream, DriveHere, Terminal, request_of
from ptstream.daemon.stream_routes import STREAM_ROUTES
from ptstream.errors import ConfigurationError
from ptstream.generators import Caller
from ptstream.http.json_response import EXCEPTION_HANDLERS, UNSTORED, json_response
from ptstream.http.request_body import body_as, converted, json_body
from ptstream.streams import TerminalSize


async def _stop(daemon: Daemon, request: Request) -> Response:
    idle = request.query_params.get("idle")
    # One that is to be replaced may be busy by now, or another that was started since.
    if idle is None or (idle == str(os.getpid()) and not daemon.owner.running):
        daemon.stop.set()
    return json_response(daemon.status())


async def _create(daemon: Daemon, request: Request) -> Response:
    return await stream_routes.create(daemon, await body_as(request, CreateAnyStream), anything)


async def _drive(daemon: Daemon, request: Request) -> Response:
    body = await json_body(request)
    asked = converted(body, DriveHere)
    terminal = TerminalSize(*asked.terminal) if asked.terminal else None
    caller = replace(_asker(daemon, body, asked.caller), stderr=asked.stderr, terminal=terminal)
    return await stream_routes.drive(daemon, request, caller, anything, on_drop=asked.on_drop)


async def _resize(daemon: Daemon, request: Request) -> Response:
    """Of a command that is driven here; any other is left as it is."""
    size = await body_as(request, Terminal)
    if drive := daemon.owner.running.get(id_of(request)):
        drive.resize(TerminalSize(size.columns, size.rows))
    return Response(status_code=204)


async def _register(daemon: Daemon, request: Request) -> Response:
    """Keep a caller for as long as the answer is listened to: a line with its id, and then nothing."""
    caller = caller_of(await body_as(request, CallerContext))
    body = _registered(daemon, request, caller)
    return StreamingResponse(body, media_type="application/x-ndjson", headers=UNSTORED)


async def _registered(daemon: Daemon, request: Request, caller: Caller) -> AsyncIterator[bytes]:
    id = secrets.token_hex(16)
    daemon.callers[id] = caller
    try:
        yield wire.dumps({"caller": id}) + b"\n"
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                await client_gone(request)
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            await daemon.stop.wait()
            tasks.cancel_scope.cancel()
    finally:
        del daemon.callers[id]


async def _fill(daemon: Daemon, request: Request) -> Response:
    return await stream_routes.fill(daemon, request, anything)


async def _check(daemon: Daemon, request: Request) -> Response:
    body = await json_body(request)
    generation = request_of(converted(body, CheckRequest))
    return await stream_routes.check_request(
        daemon, generation, _asker(daemon, body, converted(body, CheckRequest).caller)
    )


def _asker(daemon: Daemon, body: object, registered: str | None) -> Caller:
    """As whom a request is made: registered before, or as it says itself. Raises UsageError, CallerGone."""
    return daemon.caller(registered) if registered else caller_of(converted(body, CallerContext))


async def _enter(daemon: Daemon, _: Request) -> Response:
    if daemon.tcp is None:
        raise ConfigurationError("this daemon does not listen")
    server = await daemon.tcp.ensure()
    return json_response({"url": server.invitation(), "address": server.url})


async def _lock(daemon: Daemon, _: Request) -> Response:
    if daemon.tcp and daemon.tcp.server:
        daemon.tcp.server.lock()
    return json_response({})


SOCKET_ROUTES: Table = [
    *READ_ROUTES,
    *STREAM_ROUTES,
    ("POST", wire.STOP, _stop),
    ("POST", wire.STREAMS, _create),
    ("PATCH", wire.STREAM, _fill),
    ("POST", wire.DRIVE, _drive),
    ("PUT", wire.TERMINAL, _resize),
    ("POST", wire.CHECK, _check),
    ("POST", wire.CALLERS, _register),
    ("POST", wire.ENTER, _enter),
    ("POST", wire.LOCK, _lock),
]


def make_socket_app(daemon: Daemon) -> Starlette:
    """The HTTP application over `daemon`."""
    return Starlette(routes=routes(daemon, SOCKET_ROUTES), exception_handlers=EXCEPTION_HANDLERS)
