"""`ptstream cat`: a stream's text, as far as it is there. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.options import Raw, StreamRef
from ptstream.cli.screen import Screen
from ptstream.cli.thread import Thread, markdown, turns_of
from ptstream.cli.with_streams import run, run_at_once
from ptstream.errors import UsageError
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat --wait build           when it has ended, all of it
ptstream cat --thread 7h2k          the conversation, its questions quoted
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    thread: Thread = False,
    raw: Raw = False,
) -> None:
    """The command."""
    if thread and offset:
        raise UsageError("--thread prints a whole conversation: it does not go with --offset")
    screen = screen_of(ctx, raw=raw)
    if wait:
        run(ctx, screen, lambda streams: _waited(streams, screen, reference, offset=offset, thread=thread))
    run_at_once(ctx, screen, lambda streams: cat(streams, screen, reference, offset=offset, thread=thread))


async def cat(streams: Asked, screen: Screen, reference: str, *, offset: int, thread: bool) -> int:
    """Print what is there from byte `offset` on, or the conversation."""
    if thread:
        async with aclosing(markdown(streams, await turns_of(streams, reference, thread=True))) as parts:
            async for part in parts:
                screen.text(part)
    else:
        stream = await streams.find(reference)
        async with aclosing(streams.read(stream.id, offset)) as runs:
            async for data in runs:
                screen.text(data)
    screen.finish()
    return 0


async def _waited(streams: Streams, screen: Screen, reference: str, *, offset: int, thread: bool) -> int:
    stream = await streams.find(reference)
    await streams.wait(stream.id)
    return await cat(streams, screen, stream.id, offset=offset, thread=thread)
