"""`ptstream ls`: the streams there are. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.fast_path import show_list
from ptstream.cli.options import Json, Since, Statuses, moment_of, statuses_of
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run_at_once
from ptstream.streams import Status

EXAMPLES = """
ptstream ls -n 10                   the ten newest
ptstream ls --status running,error  what is being written now, and what failed
ptstream ls --since 12h             what was made since this morning
ptstream ls -q --status error       ids alone, for a pipe
"""


class Wanted(NamedTuple):
    """Which streams: at most how many, of which statuses, made since when (Unix seconds)."""

    limit: int | None
    status: tuple[Status, ...]
    since: float | None


def command(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=0, help="At most N streams.", show_default=False)
    ] = None,
    status: Statuses = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """The command."""
    screen, wanted = screen_of(ctx), Wanted(limit, statuses_of(status), moment_of(since))
    run_at_once(ctx, screen, lambda streams: ls(streams, screen, wanted, quiet=quiet, json=json))


async def ls(streams: Asked, screen: Screen, wanted: Wanted, *, quiet: bool, json: bool) -> int:
    """List streams, newest first."""
    listing = await streams.list(*wanted)
    show_list(screen, listing.streams, quiet=quiet, json=json)
    if not listing.complete:
        screen.note(f"the {len(listing.streams)} newest: there may be more")
    return 0
