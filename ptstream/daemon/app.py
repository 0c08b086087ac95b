"""The routes of the daemon's own socket: all that there is, and what only its owner may ask for."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ptstream import wire
from ptstream.daemon import api
from ptstream.daemon.drives import Daemon
from ptstream.errors import UsageError
from ptstream.fields import as_json
from ptstream.generators import Caller
from ptstream.serving import HEADERS


async def _stop(daemon: Daemon, request: Request) -> Response:
    idle = request.query_params.get("idle")
    # One that is to be replaced may be busy by now, or another that was started since.
    if idle is None or (idle == str(os.getpid()) and not daemon.owner.running):
        daemon.stop.set()
    return api.answer(daemon.status())


async def _create(daemon: Daemon, request: Request) -> Response:
    return await api.create(daemon, await api.asked(request, "CREATE_HERE"), api.anything)


async def _drive(daemon: Daemon, request: Request) -> Response:
    told = await api.body_of(request)
    try:
        stderr, on_drop = told["stderr"], told["on_drop"]
        if not isinstance(stderr, bool) or not isinstance(on_drop, bool):
            raise TypeError("stderr and on_drop are true or false")
        caller = daemon.caller(told["caller"]) if "caller" in told else _caller(told)
    except (ValueError, KeyError, TypeError) as error:
        raise _no_caller(error) from error
    return await api.drive(daemon, request, replace(caller, stderr=stderr), api.anything, on_drop=on_drop)


def _no_caller(error: Exception) -> UsageError:
    what = f"{type(error).__name__}: {error}"
    return UsageError(f"a drive is asked for with directory, environment, umask and python: {what}")


def _caller(told: Any) -> Caller:
    """From where a drive is asked for.

    Raises ValueError, KeyError, TypeError for what no operating system would have given to the client.
    """
    directory, environment, umask, python = (told[name] for name in ("directory", "environment", "umask", "python"))
    if not isinstance(environment, dict) or any("=" in name for name in environment):
        raise ValueError("the environment is no environment")
    if type(umask) is not int or not 0 <= umask <= 0o777:
        raise ValueError("the umask is none")
    core = told.get("core")
    if not (core is None or (type(core) is int and -1 <= core < 2**63)):
        raise ValueError("the limit on core files is none")
    variables = {_given(name): _given(value) for name, value in environment.items()}
    return Caller(_given(directory), variables, umask, None if python is None else _given(python), core)


def _given(text: Any) -> str:
    """`text`, if a path, or a word of an environment, can be that. Raises ValueError, TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} instead of a string")
    if b"\0" in text.encode("utf-8", "surrogateescape"):
        raise ValueError("a NUL inside a string")
    return text


async def _register(daemon: Daemon, request: Request) -> Response:
    """Keep a caller for as long as the answer is listened to: a line with its id, and then nothing."""
    told = await api.body_of(request)
    try:
        caller = _caller(told)
    except (ValueError, KeyError, TypeError) as error:
        raise _no_caller(error) from error
    return StreamingResponse(_registered(daemon, request, caller), media_type="application/x-ndjson", headers=HEADERS)


async def _registered(daemon: Daemon, request: Request, caller: Caller) -> AsyncIterator[bytes]:
    id = secrets.token_hex(16)
    daemon.callers[id] = caller
    try:
        yield wire.dumps({"caller": id}) + b"\n"
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                await api.left(request)
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            await daemon.stop.wait()
            tasks.cancel_scope.cancel()
    finally:
        del daemon.callers[id]


async def _fill(daemon: Daemon, request: Request) -> Response:
    """Give a pending stream what it was made without."""
    told = await api.asked(request, "FILL")
    id, words = api.id_of(request), api.words_of(told)
    stream = await daemon.engine.fill(id, words)
    return api.answer(as_json(stream, await daemon.engine.attempts(id)))


async def _enter(daemon: Daemon, request: Request) -> Response:
    listener = await daemon.listen()
    return api.answer({"url": listener.invitation(), "address": listener.url})


async def _lock(daemon: Daemon, _: Request) -> Response:
    if daemon.face:
        daemon.face.lock()
    return api.answer({})


ROUTES: list[tuple[str, str, api.Handler]] = [
    *api.ROUTES,
    ("POST", wire.STOP, _stop),
    ("POST", wire.STREAMS, _create),
    ("PATCH", wire.STREAM, _fill),
    ("POST", wire.DRIVE, _drive),
    ("POST", wire.CALLERS, _register),
    ("POST", wire.ENTER, _enter),
    ("POST", wire.LOCK, _lock),
]


def make_app(daemon: Daemon) -> Starlette:
    """The HTTP application over `daemon`."""
    return Starlette(routes=api.routes(daemon, ROUTES), exception_handlers=api.REFUSALS)
