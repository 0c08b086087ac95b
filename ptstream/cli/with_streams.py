"""Where a command's streams are: in the home here, or where PTSTREAM_HOST says. Commands never ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

import typer

from ptstream.cli.app import line_of
from ptstream.cli.at_once import Asked, AtOnce, result_of
from ptstream.cli.screen import Screen
from ptstream.streams_protocol import Streams

Work = Callable[[Streams], Coroutine[Any, Any, int]]
"""What a command does with the streams; its result is the exit code."""


@contextlib.asynccontextmanager
async def opened(ctx: typer.Context, screen: Screen) -> AsyncIterator[Streams]:
    """The streams that the line means, with all that the protocol has. Raises ConfigurationError."""
    line = line_of(ctx)
    if line.host:
        from ptstream.client.elsewhere import elsewhere  # httpx takes longer to load than many a command takes

        async with elsewhere(line.host, screen.note, screen.overheard) as there:
            yield there
    else:
        from ptstream.here import Here

        async with Here.opened(line.home, screen.note) as here:
            yield here


def run(ctx: typer.Context, screen: Screen, work: Work) -> NoReturn:
    """Do the work, and exit with its code."""
    import anyio

    async def worked() -> int:
        async with opened(ctx, screen) as streams:
            return await work(streams)

    raise typer.Exit(anyio.run(worked))


def run_at_once(ctx: typer.Context, screen: Screen, work: Callable[[Asked], Coroutine[Any, Any, int]]) -> NoReturn:
    """The same for work that neither drives nor waits: here it needs no event loop, which takes long to load."""
    line = line_of(ctx)
    if line.host or not line.home.is_local:
        run(ctx, screen, work)
    with AtOnce.opened(line.home) as streams:
        raise typer.Exit(result_of(work(streams)))
