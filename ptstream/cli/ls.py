"""`ptstream ls`: the streams there are. The work is done in `hot.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from ptstream.cli import hot
from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Json, StatusFilter

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
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        raise typer.Exit(remote.run(remote.ls, *far, quiet, limit, status, json))
    raise typer.Exit(hot.ls(*session(ctx), quiet=quiet, limit=limit, status=status, json=json))
