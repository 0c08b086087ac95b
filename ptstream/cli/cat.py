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
from ptstream.cli.cursor_file import CursorFile, cursors_in
from ptstream.cli.options import CursorFileName, Raw, Since, StreamRefs, TailLines, moment_of
from ptstream.cli.screen import Screen
from ptstream.cli.several import one_by_one
from ptstream.cli.thread import Thread, markdown, turns_of
from ptstream.cli.with_streams import run, run_at_once
from ptstream.errors import UsageError
from ptstream.streams_protocol import Streams

Show: TypeAlias = Callable[[Asked, Screen, str, CursorFile | None], Awaitable[int]]
"""Prints what is meant of one stream; the exit code."""

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat part1 part2            one after the other
ptstream cat -n 20 build            the last twenty lines
ptstream cat --since 10m build      what came in the last ten minutes
ptstream cat --wait build           when it has ended, all of it
ptstream cat --thread 7h2k          the conversation, its questions quoted
ptstream cat --render 7h2k          its Markdown as rows, in a pipe, too
ptstream cat --cursor-file c build  what came since the last call with it
ptstream cat --offset 1284 7h2k     from byte 1284 on
ptstream cat --raw build            with its control sequences, on a terminal, too
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    tail: TailLines = None,
    since: Since = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    thread: Thread = False,
    render: Annotated[bool, typer.Option("--render", help="Show Markdown as rows, in a pipe, too.")] = False,
    cursor_file: CursorFileName = None,
    raw: Raw = False,
) -> None:
    """The command."""
    screen, beginning = screen_of(ctx, raw=raw), Beginning(offset, tail, moment_of(since))
    if thread and (beginning != Beginning(0, None, None) or cursor_file is not None):
        raise UsageError("--thread prints a whole conversation: it goes with no other beginning")
    if render:
        if raw:
            raise UsageError("--render shows a text as rows, and --raw as it is: give one of them")
        screen.render_whole()
    show = _cat_thread if thread else partial(_cat, beginning=beginning)
    if wait:
        run(ctx, screen, lambda streams: _waited(streams, screen, references, show, cursor_file))
    run_at_once(ctx, screen, lambda streams: cat(streams, screen, references, show, cursor_file))


async def cat(
    streams: Asked, screen: Screen, references: Sequence[str], show: Show, cursor_file: str | None = None
) -> int:
    """Print what is there of each; the exit code."""
    with cursors_in(cursor_file) as cursors:
        return await one_by_one(screen, references, lambda reference: show(streams, screen, reference, cursors))


async def _cat(streams: Asked, screen: Screen, reference: str, cursors: CursorFile | None, beginning: Beginning) -> int:
    stream = await streams.find(reference)
    known = cursors.offset(stream.id) if cursors else None
    at = await beginning.of(streams, stream) if known is None else known
    if cursors and screen.filtered:
        cursors.reserve(stream.id, at)
    async with aclosing(streams.read(stream.id, at)) as runs:
        async for data in runs:
            if screen.filtered or cursors is None:
                screen.text(data)
            else:
                _write(screen, cursors, stream.id, at, data)
            at += len(data)
    screen.finish()
    if cursors:
        cursors.put(stream.id, at)
    return 0


def _write(screen: Screen, cursors: CursorFile, id: str, begin: int, data: bytes) -> None:
    """Text that is written as it is; so one can say before it where it will stand in a file."""
    noted = cursors.intend(id, begin, begin + len(data), data)
    screen.text(data)
    if not noted:
        cursors.put(id, begin + len(data))


async def _cat_thread(streams: Asked, screen: Screen, reference: str, _: CursorFile | None) -> int:
    async with aclosing(markdown(streams, await turns_of(streams, reference, thread=True))) as parts:
        async for part in parts:
            screen.text(part)
    screen.finish()
    return 0


async def _waited(
    streams: Streams, screen: Screen, references: Sequence[str], show: Show, cursor_file: str | None
) -> int:
    async def wait_and_print(reference: str, cursors: CursorFile | None) -> int:
        stream = await streams.find(reference)
        await streams.wait(stream.id)
        return await show(streams, screen, stream.id, cursors)

    with cursors_in(cursor_file) as cursors:
        return await one_by_one(screen, references, lambda reference: wait_and_print(reference, cursors))
