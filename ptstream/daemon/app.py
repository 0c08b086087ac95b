"""The routes of the daemon's own socket: all that there is, and what only its owner may ask for."""

from __future__ import annotations

import os
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from ptstream import wire
from ptstream.daemon import api
from ptstream.daemon.core import Daemon
from ptstream.errors import UsageError
from ptstream.generators import Caller


async def _stop(daemon: Daemon, request: Request) -> Response:
    idle = request.query_params.get("idle")
    # One that is to be replaced may be busy by now, or another that was started since.
    if idle is None or (idle == str(os.getpid()) and not daemon.owner.running):
        daemon.stop.set()
    return api.answer(daemon.status())


async def _create(daemon: Daemon, request: Request) -> Response:
    return await api.create(daemon, await api.asked(request, "CREATE_HERE"), anything=True)


async def _drive(daemon: Daemon, request: Request) -> Response:
    told = await api.body_of(request)
    try:
        caller, on_drop = _asked(told)
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise UsageError(f"a drive is asked for with directory, environment, umask and python: {what}") from error
    return await api.drive(daemon, request, caller, on_drop=on_drop)


def _asked(told: Any) -> tuple[Caller, bool]:
    """What a drive is asked for with: from where, and whether it goes on after a drop.

    Raises ValueError, KeyError, TypeError for what no operating system would have given to the client.
    """
    names = ("directory", "environment", "umask", "python", "stderr", "on_drop")
    directory, environment, umask, python, stderr, on_drop = (told[name] for name in names)
    if not isinstance(environment, dict) or any("=" in name for name in environment):
        raise ValueError("the environment is no environment")
    if type(umask) is not int or not 0 <= umask <= 0o777:
        raise ValueError("the umask is none")
    if not isinstance(stderr, bool) or not isinstance(on_drop, bool):
        raise TypeError("stderr and on_drop are true or false")
    variables = {_given(name): _given(value) for name, value in environment.items()}
    return Caller(_given(directory), variables, umask, None if python is None else _given(python), stderr), on_drop


def _given(text: Any) -> str:
    """`text`, if a path, or a word of an environment, can be that. Raises ValueError, TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} instead of a string")
    if b"\0" in text.encode("utf-8", "surrogateescape"):
        raise ValueError("a NUL inside a string")
    return text


async def _enter(daemon: Daemon, request: Request) -> Response:
    listener = await daemon.listen()
    return api.answer({"url": listener.invitation(), "address": listener.url})


ROUTES: list[tuple[str, str, api.Handler]] = [
    *api.ROUTES,
    ("POST", wire.STOP, _stop),
    ("POST", wire.STREAMS, _create),
    ("POST", wire.DRIVE, _drive),
    ("POST", wire.ENTER, _enter),
]


def make_app(daemon: Daemon) -> Starlette:
    """The HTTP application over `daemon`."""
    return Starlette(routes=api.routes(daemon, ROUTES), exception_handlers=api.REFUSALS)
