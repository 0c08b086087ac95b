"""`ptstream watch`: follow a stream to its end, out of the database alone, daemon or not."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.detach import detachable
from ptstream.cli.options import Json, Plain, Raw, StreamRef
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import format_of, say_end, show
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.integers import count_of
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream watch @last                the newest stream, by sentences
ptstream watch --live 7h2k          every piece as it comes
ptstream watch --offset now build   only what comes from now on
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    offset: Annotated[str, typer.Option(metavar="N|now", help="Begin at byte N, or at what comes now.")] = "0",
    live: Annotated[bool, typer.Option("--live", help="Every piece as it comes, instead of sentences.")] = False,
    plain: Plain = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """The command."""
    screen = screen_of(ctx, raw=raw)
    run(
        ctx,
        screen,
        lambda streams: watch(streams, screen, reference, offset=offset, live=live, plain=plain or raw, json=json),
    )


async def watch(
    streams: Streams, screen: Screen, reference: str, *, offset: str, live: bool, plain: bool, json: bool
) -> int:
    """Print the stream from there to its end; the exit code of that end."""
    stream = await streams.find(reference)
    begin = stream.bytes if offset == "now" else offset_of(offset)
    form = format_of(stream.request, stream.bytes, plain=plain, json=json)

    async def read() -> int:
        async with aclosing(streams.follow(stream.id, begin, live=live)) as runs:
            await show(screen, runs, form, begin)
        return say_end(screen, await streams.get(stream.id), form)

    return await detachable(screen, streams, stream.id, read, partial(_only_reads, screen, stream.id))


async def _only_reads(screen: Screen, id: str) -> None:
    """What Ctrl-\\ does here."""
    screen.note(f"watch only reads · end it: ptstream cancel {id} · leave: Ctrl-C")


def offset_of(word: str) -> int:
    """`--offset` in bytes. Raises UsageError."""
    if (offset := count_of(word)) is None:
        raise UsageError(f"--offset takes a number of bytes or 'now', not {word[:40]!r}")
    return offset
