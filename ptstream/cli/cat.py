"""`ptstream cat`: the text of streams, as far as it is there. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.beginning import Beginning
from ptstream.cli.options import Raw, Since, StreamRefs, TailLines, moment_of
from ptstream.cli.screen import Screen
from ptstream.cli.several import one_by_one
from ptstream.cli.with_streams import run, run_at_once
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat part1 part2            one after the other
ptstream cat -n 20 build            the last twenty lines
ptstream cat --since 10m build      what came in the last ten minutes
ptstream cat --wait build           when it has ended, all of it
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    tail: TailLines = None,
    since: Since = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    raw: Raw = False,
) -> None:
    """The command."""
    screen, beginning = screen_of(ctx, raw=raw), Beginning(offset, tail, moment_of(since))
    if wait:
        run(ctx, screen, lambda streams: _waited(streams, screen, references, beginning))
    run_at_once(ctx, screen, lambda streams: cat(streams, screen, references, beginning))


async def cat(streams: Asked, screen: Screen, references: Sequence[str], beginning: Beginning) -> int:
    """Print what is there of each, from there on; the exit code."""
    return await one_by_one(screen, references, lambda reference: _cat(streams, screen, reference, beginning))


async def _cat(streams: Asked, screen: Screen, reference: str, beginning: Beginning) -> int:
    stream = await streams.find(reference)
    begin = await beginning.of(streams, stream)
    async with aclosing(streams.read(stream.id, begin)) as runs:
        async for data in runs:
            screen.text(data)
    screen.finish()
    return 0


async def _waited(streams: Streams, screen: Screen, references: Sequence[str], beginning: Beginning) -> int:
    async def wait_and_print(reference: str) -> int:
        stream = await streams.find(reference)
        await streams.wait(stream.id)
        return await _cat(streams, screen, stream.id, beginning)

    return await one_by_one(screen, references, wait_and_print)
