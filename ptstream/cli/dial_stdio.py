"""`ptstream dial-stdio`: standard input and output as a connection to the daemon, for a ptstream elsewhere.

What `ssh HOST ptstream dial-stdio` runs on HOST; see `client/ssh.py`. It says in one line which version it is, and as
whom a drive may be asked for through it: who calls it here, with this directory and environment. Then it copies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio
import typer
from anyio.abc import SocketStream

from ptstream import wire
from ptstream.cli.app import line_of
from ptstream.cli.output import Output
from ptstream.cli.stdin import next_bytes
from ptstream.client import control
from ptstream.client.caller import own_context
from ptstream.client.launch import connect_or_start
from ptstream.errors import DaemonUnreachable, PtstreamError
from ptstream.settings import Home

EXAMPLES = """
PTSTREAM_HOST=ssh://box ptstream ls     runs this on the box
"""


def command(ctx: typer.Context) -> None:
    """The command."""
    raise typer.Exit(anyio.run(dial, lambda: line_of(ctx).home))


async def dial(home_of: Callable[[], Home]) -> int:
    """Connect; the exit code, when either side has ended."""
    wire.quiet_cancelled_receives()
    out = Output(1)
    async with AsyncExitStack() as stack:
        try:
            home = home_of()
            client = await stack.enter_async_context(connect_or_start(home, any_store=True))
            caller = await stack.enter_async_context(control.registered(client, own_context()))
            path = stack.enter_context(wire.short_path(home.socket))
            daemon = await stack.enter_async_context(await anyio.connect_unix(path))
        except PtstreamError as error:
            return await _refuse(out, error)
        except OSError as error:  # the daemon is gone again
            return await _refuse(out, DaemonUnreachable(f"{home.socket} cannot be connected to: {error.strerror}"))
        await out.send(wire.greeting(caller))
        await _copy(daemon, out)
    return 0


async def _refuse(out: Output, error: PtstreamError) -> int:
    """Send it to the asking side, which prints it."""
    await out.send(wire.refusal(error))
    return error.exit_code


async def _copy(daemon: SocketStream, out: Output) -> None:
    """Both ways. When nothing more is asked, the daemon gets the end of input; what it still answers is passed on."""

    async def ask() -> None:
        try:
            while data := await next_bytes():
                await daemon.send(data)
            await daemon.send_eof()
        except (OSError, anyio.BrokenResourceError):  # the other way ends, too
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        try:
            async for data in daemon:
                await out.send(data)
        except anyio.BrokenResourceError:
            pass
        tasks.cancel_scope.cancel()
