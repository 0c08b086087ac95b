"""`ptstream cat`: the text of streams, as far as it is there. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, TypeAlias

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.beginning import Beginning
from ptstream.cli.options import Raw, Since, StreamRefs, TailLines, moment_of
from ptstream.cli.screen import Screen
from ptstream.cli.several import one_by_one
from ptstream.cli.thread import Thread, markdown, turns_of
from ptstream.cli.with_streams import run, run_at_once
from ptstream.errors import UsageError
from ptstream.streams_protocol import Streams

Show: TypeAlias = Callable[[Asked, Screen, str], Awaitable[int]]
"""Prints what is meant of one stream; the exit code."""

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat part1 part2            one after the other
ptstream cat -n 20 build            the last twenty lines
ptstream cat --since 10m build      what came in the last ten minutes
ptstream cat --wait build           when it has ended, all of it
ptstream cat --thread 7h2k          the conversation, its questions quoted
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    tail: TailLines = None,
    since: Since = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    thread: Thread = False,
    raw: Raw = False,
) -> None:
    """The command."""
    screen, beginning = screen_of(ctx, raw=raw), Beginning(offset, tail, moment_of(since))
    if thread and beginning != Beginning(0, None, None):
        raise UsageError("--thread prints a whole conversation: it goes with no other beginning")
    show = _cat_thread if thread else partial(_cat, beginning=beginning)
    if wait:
        run(ctx, screen, lambda streams: _waited(streams, screen, references, show))
    run_at_once(ctx, screen, lambda streams: cat(streams, screen, references, show))


async def cat(streams: Asked, screen: Screen, references: Sequence[str], show: Show) -> int:
    """Print what is there of each; the exit code."""
    return await one_by_one(screen, references, lambda reference: show(streams, screen, reference))


async def _cat(streams: Asked, screen: Screen, reference: str, beginning: Beginning) -> int:
    stream = await streams.find(reference)
    begin = await beginning.of(streams, stream)
    async with aclosing(streams.read(stream.id, begin)) as runs:
        async for data in runs:
            screen.text(data)
    screen.finish()
    return 0


async def _cat_thread(streams: Asked, screen: Screen, reference: str) -> int:
    async with aclosing(markdown(streams, await turns_of(streams, reference, thread=True))) as parts:
        async for part in parts:
            screen.text(part)
    screen.finish()
    return 0


async def _waited(streams: Streams, screen: Screen, references: Sequence[str], show: Show) -> int:
    async def wait_and_print(reference: str) -> int:
        stream = await streams.find(reference)
        await streams.wait(stream.id)
        return await show(streams, screen, stream.id)

    return await one_by_one(screen, references, wait_and_print)
