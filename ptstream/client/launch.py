"""The running daemon of this version, found or started."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio

from ptstream import __version__
from ptstream.client import control
from ptstream.client.daemon_client import Client
from ptstream.client.daemon_process import START_TIMEOUT, DaemonProcess
from ptstream.client.unix_socket import connect, gone, listening
from ptstream.errors import ConfigurationError, DaemonDied, DaemonSilent, DaemonUnreachable
from ptstream.settings import Home

STARTS = 3
"""How often a daemon is started that dies at once, in all."""


@contextlib.asynccontextmanager
async def connect_or_start(
    home: Home, ahead: DaemonProcess | None = None, *, any_store: bool = False
) -> AsyncIterator[Client]:
    """The daemon, started if it is not running, replaced if it is idle and of another version.

    One that was started `ahead` is waited for before any other is.

    Raises DaemonUnreachable, and ConfigurationError for a busy daemon of another version and, unless `any_store` will
    do, for one whose streams are elsewhere than the home's.
    """
    async with contextlib.AsyncExitStack() as stack:
        deadline = anyio.current_time() + START_TIMEOUT
        starts = 0
        while (client := await _connected(stack, home, any_store)) is None:
            if anyio.current_time() > deadline:
                raise DaemonUnreachable(f"the daemon does not answer; see {home.log}")
            starts += 1
            try:
                await anyio.to_thread.run_sync(_started, home, ahead)
            except DaemonDied:
                if starts == STARTS:
                    raise
            ahead = None
        yield client


def _started(home: Home, ahead: DaemonProcess | None) -> None:
    (ahead or DaemonProcess(home)).wait()


async def _connected(stack: contextlib.AsyncExitStack, home: Home, any_store: bool) -> Client | None:
    """A connection to a daemon of our own version, None if there is none (any more)."""
    try:
        socket = listening(home)
        client = await stack.enter_async_context(connect(home))
        status = await control.status(client)
        if status["version"] == __version__:
            if not any_store:
                _check_store(home, status["store"])
            return client
        if count := status["running"]:
            raise ConfigurationError(
                f"a daemon of version {status['version']} is running {count} stream{'s'[: count - 1]}, and this is"
                f" {__version__}: wait for them, or end it with 'ptstream daemon stop'"
            )
        if await control.stop_idle(client, status["pid"]):
            with anyio.move_on_after(START_TIMEOUT):
                await gone(home, socket)
    except DaemonSilent:
        raise
    except DaemonUnreachable:
        pass
    return None


def _check_store(home: Home, there: str) -> None:
    """Raises ConfigurationError: what is made here would not be found there."""
    if there != home.store_name:
        raise ConfigurationError(
            f"the daemon of the home {home.path} keeps its streams at {there}, and this command at {home.store_name}:"
            " set PTSTREAM_STORE as it has it, end it with 'ptstream daemon stop', or name another home"
        )
