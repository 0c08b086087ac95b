"""`ptstream search`: where a text stands, in all that is kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Json
from ptstream.cli.screen import Screen
from ptstream.engine.protocol import Hit
from ptstream.engine.sqlite.search import search
from ptstream.engine.sqlite.store import Store
from ptstream.fields import title
from ptstream.text_search import folded

EXAMPLES = """
ptstream search "flock"             id, offset and line of each place
ptstream cat 7h2k --offset 1284     read on from there
"""

BEFORE = 16
"""Characters before the query that a terminal shows of its line."""

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
    with Store(home) as store:
        hits = (as_data(hit) for hit in islice(search(store, query), limit))
        raise typer.Exit(0 if show(screen, query, hits, json=json) else NOTHING)


def show(screen: Screen, query: str, hits: Iterable[dict[str, Any]], *, json: bool) -> bool:
    """Print the places; whether there are any. A terminal gets columns, once all are known."""
    if screen.terminal and not json:
        rows = [[hit["id"], str(hit["offset"]), _near(query, hit["line"])] for hit in hits]
        screen.table(["ID", "OFFSET", "LINE"], rows, flexible=2, right=(1,))
        return bool(rows)
    found = False
    for hit in hits:
        found = True
        if json:
            screen.data(hit)
        else:
            screen.table([], [[hit["id"], str(hit["offset"]), hit["line"]]], flexible=2)
    return found


def _near(query: str, line: str) -> str:
    """The line from shortly before the query on, so that it is not what is cut off."""
    at = folded(line).find(folded(query))
    return line if at <= BEFORE else f"…{line[at - BEFORE :]}"


def as_data(hit: Hit) -> dict[str, Any]:
    """The stable fields of `--json`."""
    return {"id": hit.stream.id, "title": title(hit.stream), "offset": hit.offset, "line": hit.line}
