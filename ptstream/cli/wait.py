"""`ptstream wait`: until a stream has ended; the exit code is its end."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import screen_of
from ptstream.cli.detach import detachable
from ptstream.cli.options import StreamRef, finite
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import say_end
from ptstream.cli.with_streams import run
from ptstream.errors import NotFinished
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream wait build && echo done
ptstream wait --timeout 60 @last    exit code 8 if it has not ended by then
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, callback=finite, help="Wait no longer; then exit 8.", show_default=False
        ),
    ] = None,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    run(ctx, screen, lambda streams: wait(streams, screen, reference, timeout))


async def wait(streams: Streams, screen: Screen, reference: str, timeout: float | None) -> int:
    """Wait for the end; its exit code. Raises NotFinished after `timeout` seconds."""
    id = (await streams.find(reference)).id

    async def work() -> int:
        with anyio.move_on_after(timeout):
            return say_end(screen, await streams.wait(id))
        stream = await streams.get(id)  # it may have ended just now, or before no time at all was waited
        if stream.status.ended:
            return say_end(screen, stream)
        raise NotFinished(f"stream {id} is {stream.status} still, after {timeout:g} s")

    return await detachable(screen, streams, id, work, _nothing)


async def _nothing() -> None:
    """What Ctrl-\\ does here."""
