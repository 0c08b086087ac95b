"""`ptstream cat`: a stream's text, as far as it is there. The work is done in `hot.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from ptstream.cli import hot
from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Raw, StreamRef

EXAMPLES = """
ptstream cat @last                  the newest stream's text
ptstream cat 7h2k > answer.md       byte for byte
ptstream cat --wait build           when it has ended, all of it
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Begin at byte N.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the stream's end first.")] = False,
    raw: Raw = False,
) -> None:
    """The command."""
    if far := elsewhere(ctx, raw=raw):
        from ptstream.cli import remote

        raise typer.Exit(remote.run(remote.cat, *far, reference, offset, wait))
    home, screen = session(ctx, raw=raw)
    if wait:
        from ptstream.cli.wait import wait_first

        reference = wait_first(home, reference)
    raise typer.Exit(hot.cat(home, screen, reference, offset=offset))
