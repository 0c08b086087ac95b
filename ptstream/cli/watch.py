"""`ptstream watch`: follow streams to their ends, out of the database alone, daemon or not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import screen_of
from ptstream.cli.beginning import Beginning, beginning_of
from ptstream.cli.cursor_file import cursors_in
from ptstream.cli.detach import detachable
from ptstream.cli.options import (
    CursorFileName,
    Json,
    Plain,
    Quiet,
    Raw,
    Since,
    Statuses,
    TailLines,
    moment_of,
    statuses_of,
)
from ptstream.cli.screen import Screen
from ptstream.cli.several import first_bad, named, streams_of
from ptstream.cli.text_output import format_of, say_end, show
from ptstream.cli.timing import Timing, tells, what_writes
from ptstream.cli.watch_many import WatchMany
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.streams import Status, Stream
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream watch @last                the newest stream, by sentences
ptstream watch --live 7h2k          every piece as it comes
ptstream watch -q 7h2k              and nothing else
ptstream watch --offset now build   only what comes from now on
ptstream watch build test lint      whole lines, each with its stream's name
ptstream watch -t build test        and when each line came
ptstream watch --all -n 0           all that runs, and what will; only what is new
ptstream watch --all --status error   what failed, and whatever will run
ptstream watch --all --cursor-file c   what came since the last call with it, and on
ptstream watch --since 10m build    what came in the last ten minutes, and on
ptstream watch --plain 7h2k         as it is written, not rendered
ptstream watch --raw build          with its control sequences
ptstream watch --json build         for programs, an object for each run of text
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """From where on the text is shown, and how."""

    beginning: Beginning
    live: bool
    plain: bool
    json: bool
    timestamps: bool
    cursor_file: str | None
    quiet: bool


def command(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", show_default=False, help="Ids, their beginnings, names, or @last."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that run, and those that begin meanwhile.")] = False,
    status: Statuses = None,
    offset: Annotated[str, typer.Option(metavar="N|now", help="Begin at byte N, or at what comes now.")] = "0",
    tail: TailLines = None,
    since: Since = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="Before each line, when it came (UTC).")
    ] = False,
    cursor_file: CursorFileName = None,
    live: Annotated[bool, typer.Option("--live", help="Every piece as it comes, instead of sentences.")] = False,
    quiet: Quiet = False,
    plain: Plain = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """The command."""
    if bool(references) == all_:
        raise UsageError("watch takes ids, or --all")
    if status is not None and not all_:
        raise UsageError("--status goes with --all")
    shown = Shown(
        beginning_of(offset, tail, moment_of(since)), live, plain or raw, json, timestamps, cursor_file, quiet
    )
    screen, statuses = screen_of(ctx, raw=raw), statuses_of(status)
    run(ctx, screen, lambda streams: watch(streams, screen, references or [], shown, statuses=statuses))


async def watch(
    streams: Streams, screen: Screen, references: Sequence[str], shown: Shown, *, statuses: Sequence[Status] = ()
) -> int:
    """Print the streams to their ends, or, if none is named, all; the exit code is the first that is not 0."""
    several = await named(streams, screen, references)
    found = streams_of(several)
    if references and not found:
        return first_bad(each for each in several if isinstance(each, int))
    ids = [stream.id for stream in found]
    if len(several) == 1 and not shown.timestamps and shown.cursor_file is None:
        return await detachable(
            screen, streams, ids, partial(_one, streams, screen, found[0], shown), partial(_only_reads, screen, ids)
        )
    with cursors_in(shown.cursor_file) as cursors:
        many = WatchMany(
            streams,
            screen,
            shown.beginning,
            live=shown.live,
            json=shown.json,
            timestamps=shown.timestamps,
            labelled=len(several) != 1,
            cursors=cursors,
        )
        work = partial(many.these, several) if references else partial(many.all, statuses)
        return await detachable(screen, streams, ids, work, partial(_only_reads, screen, ids))


async def _one(streams: Streams, screen: Screen, stream: Stream, shown: Shown) -> int:
    """One stream as it is, or rendered; the exit code of its end."""
    begin = await shown.beginning.of(streams, stream)
    form = format_of(stream.request, stream.bytes, plain=shown.plain, json=shown.json)
    timing, is_told = Timing(whole=shown.live and not stream.bytes), tells(screen, stream, quiet=shown.quiet)
    async with anyio.create_task_group() as tasks:
        if is_told:
            tasks.start_soon(timing.wait, screen, what_writes(stream.request))
        async with aclosing(streams.follow(stream.id, begin, live=shown.live)) as runs:
            await show(screen, runs, form, begin, timing)
        tasks.cancel_scope.cancel()
    code = say_end(screen, await streams.get(stream.id), form)
    if is_told:
        await timing.say_how_it_went(screen, streams, stream.id)
    return code


async def _only_reads(screen: Screen, ids: Sequence[str]) -> None:
    """What Ctrl-\\ does here."""
    end = f"ptstream cancel {ids[0]}" if len(ids) == 1 else "ptstream cancel"
    screen.note(f"watch only reads · end it: {end} · leave: Ctrl-C")
