"""Where a command's streams are: in the home here, or where PTSTREAM_HOST says. Commands never ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer

from ptstream.cli.app import line_of
from ptstream.cli.screen import Screen
from ptstream.here import Here
from ptstream.protocol import Streams

T = TypeVar("T")

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
        async with Here.opened(line.home, screen.note) as here:
            yield here


def run(ctx: typer.Context, screen: Screen, work: Work) -> NoReturn:
    """Do the work, and exit with its code."""
    import anyio

    async def worked() -> int:
        async with opened(ctx, screen) as streams:
            return await work(streams)

    raise typer.Exit(anyio.run(worked))


def run_at_once(ctx: typer.Context, screen: Screen, work: Work) -> NoReturn:
    """The same for work that neither drives nor waits: here that needs no event loop, which takes long to load."""
    line = line_of(ctx)
    if line.host:
        run(ctx, screen, work)
    with Here.without_loop(line.home, screen.note) as streams:
        raise typer.Exit(_result(work(streams)))


def _result(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a command that was to be done at once waits")
