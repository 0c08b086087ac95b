"""`ptstream ls`: the streams there are. A line that `entry` knows goes to `fast_path` instead."""

from __future__ import annotations

from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.fast_path import show_list
from ptstream.cli.options import Json, StatusFilter
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run_at_once
from ptstream.streams import Status

EXAMPLES = """
ptstream ls -n 10                   the ten newest
ptstream ls --status streaming      what is being written now
ptstream ls -q --status error       ids alone, for a pipe
"""


def command(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=0, help="At most N streams.", show_default=False)
    ] = None,
    status: StatusFilter = None,
    json: Json = False,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    run_at_once(ctx, screen, lambda streams: ls(streams, screen, quiet=quiet, limit=limit, status=status, json=json))


async def ls(
    streams: Asked, screen: Screen, *, quiet: bool, limit: int | None, status: Status | None, json: bool
) -> int:
    """List streams, newest first."""
    listing = await streams.list(limit, status)
    show_list(screen, listing.streams, quiet=quiet, json=json)
    if not listing.complete:
        screen.note(f"the {len(listing.streams)} newest: there may be more")
    return 0
