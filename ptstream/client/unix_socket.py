"""The running daemon of a home on this machine, by its Unix socket."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import anyio
import httpx

from ptstream import wire
from ptstream.causes import causes
from ptstream.client.daemon_client import Client
from ptstream.errors import DaemonSilent, DaemonUnreachable
from ptstream.settings import Home

CONNECT_TIMEOUT = 5.0
"""Seconds for a daemon to accept and to answer what takes no time."""


@contextlib.asynccontextmanager
async def connect(home: Home) -> AsyncIterator[Client]:
    """The running daemon. Raises DaemonUnreachable when there is none."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(wire.short_path(home.socket))
        except OSError as error:
            raise DaemonUnreachable("the daemon is not running") from error
        transport = wire.socket_transport(path)
        async with httpx.AsyncClient(
            transport=transport,
            base_url=wire.BASE_URL,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            headers=wire.PLAIN,
            event_hooks={"response": [wire.check_plain]},
        ) as http:
            client = Client(home.socket, http)
            await _check_there(client, home)
            yield client


async def _check_there(client: Client, home: Home) -> None:
    try:
        await client.http.get(wire.STATUS, timeout=CONNECT_TIMEOUT)
    except httpx.TimeoutException as error:
        raise DaemonSilent(
            f"the daemon does not answer within {CONNECT_TIMEOUT:g} s: is its process stopped? (see {home.log})"
        ) from error
    except httpx.TransportError as error:
        if any(isinstance(cause, PermissionError) for cause in causes(error)):
            raise DaemonSilent(f"the daemon may not be spoken to: {home.socket} cannot be written") from error
        raise DaemonUnreachable("the daemon is not running") from error


def listening(home: Home) -> tuple[int, int] | None:
    """What distinguishes a daemon's socket from the next one's, None if there is none."""
    try:
        found = os.stat(home.socket)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


async def gone(home: Home, socket: tuple[int, int] | None) -> None:
    """Returns when the daemon that was `listening` does so no more; another one may."""
    while socket and listening(home) == socket:
        await anyio.sleep(0.02)
