"""`ptstream search`: where a text stands, in all that is kept."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Json
from ptstream.fields import title
from ptstream.store.search import Hit, search
from ptstream.store.sqlite import Store

EXAMPLES = """
ptstream search "flock"             id, offset and line of each place
ptstream cat 7h2k --offset 1284     read on from there
"""

NOTHING = 1
"""The exit code when it stands nowhere, as grep has it."""


def command(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for; in lower case, capitals too.")],
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N places.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """The command."""
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        raise typer.Exit(remote.run(remote.search, *far, query, limit, json))
    home, screen = session(ctx)
    found = False
    with Store(home) as store:
        for hit in islice(search(store, query), limit):
            found = True
            if json:
                screen.data(as_data(hit))
            else:
                screen.text(f"{hit.stream.id}\t{hit.offset}\t{hit.line}\n")
    raise typer.Exit(0 if found else NOTHING)


def as_data(hit: Hit) -> dict[str, str | int]:
    """The stable fields of `--json`."""
    return {"id": hit.stream.id, "title": title(hit.stream), "offset": hit.offset, "line": hit.line}
