"""`ptstream cat`: the text of streams, as far as it is there. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.options import Raw, StreamRefs
from ptstream.cli.screen import Screen
from ptstream.cli.several import one_by_one
from ptstream.cli.with_streams import run, run_at_once
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat part1 part2            one after the other
ptstream cat --wait build           when it has ended, all of it
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    raw: Raw = False,
) -> None:
    """The command."""
    screen = screen_of(ctx, raw=raw)
    if wait:
        run(ctx, screen, lambda streams: _waited(streams, screen, references, offset=offset))
    run_at_once(ctx, screen, lambda streams: cat(streams, screen, references, offset=offset))


async def cat(streams: Asked, screen: Screen, references: Sequence[str], *, offset: int) -> int:
    """Print what is there of each, from byte `offset` on; the exit code."""
    return await one_by_one(screen, references, lambda reference: _cat(streams, screen, offset, reference))


async def _cat(streams: Asked, screen: Screen, offset: int, reference: str) -> int:
    stream = await streams.find(reference)
    async with aclosing(streams.read(stream.id, offset)) as runs:
        async for data in runs:
            screen.text(data)
    screen.finish()
    return 0


async def _waited(streams: Streams, screen: Screen, references: Sequence[str], *, offset: int) -> int:
    async def wait_and_print(reference: str) -> int:
        stream = await streams.find(reference)
        await streams.wait(stream.id)
        return await _cat(streams, screen, offset, stream.id)

    return await one_by_one(screen, references, wait_and_print)
