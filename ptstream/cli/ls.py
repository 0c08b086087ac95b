"""`ptstream ls`: the streams there are. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.fast_path import print_table, show_list
from ptstream.cli.options import Json, Since, Statuses, moment_of, statuses_of
from ptstream.cli.screen import Screen
from ptstream.cli.stream_table import table_of
from ptstream.cli.with_streams import run, run_at_once
from ptstream.errors import UsageError
from ptstream.stream_json import as_json
from ptstream.streams import Attempt, Status
from ptstream.streams_protocol import DetailedListing, Details, Listing

EXAMPLES = """
ptstream ls -n 10                   the ten newest
ptstream ls --status running,error  what is being written now, and what failed
ptstream ls --since 12h             what was made since this morning
ptstream ls -l -n 5                 with rate, tokens and owner
ptstream ls --watch                 redrawn in place, with sizes and rates as they are
ptstream ls -q --status error       ids alone, for a pipe
ptstream ls --json                  for programs, an object a line
"""


class Wanted(NamedTuple):
    """Which streams: at most how many, of which statuses, made since when (Unix seconds)."""

    limit: int | None
    status: tuple[Status, ...]
    since: float | None


def command(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone.")] = False,
    long: Annotated[bool, typer.Option("--long", "-l", help="With rate, tokens, model and owner.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=0, help="At most N streams.", show_default=False)
    ] = None,
    status: Statuses = None,
    since: Since = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw it in place, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """The command."""
    screen, wanted = screen_of(ctx), Wanted(limit, statuses_of(status), moment_of(since))
    if watch:
        from ptstream.cli.ls_watch import ls_watch

        if quiet or json or long:
            raise UsageError("--watch draws the table: it goes with neither -q, -l nor --json")
        if not screen.terminal:
            raise UsageError("--watch draws on a terminal, and this is none: ptstream watch --all prints what comes")
        run(ctx, screen, partial(ls_watch, screen=screen, wanted=wanted))
    run_at_once(ctx, screen, lambda streams: ls(streams, screen, wanted, quiet=quiet, json=json, long=long))


async def ls(streams: Asked, screen: Screen, wanted: Wanted, *, quiet: bool, json: bool, long: bool = False) -> int:
    """List streams, newest first."""
    listing: Listing | DetailedListing
    if long and not quiet:
        listing = await streams.list_details(*wanted)
        _show_long(screen, listing.details, json)
    else:
        listing = await streams.list(*wanted)
        show_list(screen, listing.streams, quiet=quiet, json=json)
    say_incomplete(screen, listing)
    return 0


def say_incomplete(screen: Screen, listing: Listing | DetailedListing) -> None:
    """Say that there may be more, if so."""
    if not listing.complete:
        screen.note(f"the {len(listing[0])} newest: there may be more")


def _show_long(screen: Screen, known: Sequence[Details], json: bool) -> None:
    if json:
        for each in known:
            screen.data(as_json(each.stream, each.attempts) | {"pieces": each.pieces, "chunks": each.chunks})
        return
    attempts: dict[str, Sequence[Attempt]] = {each.stream.id: each.attempts for each in known}
    print_table(screen, table_of(screen, [each.stream for each in known], attempts=attempts))
