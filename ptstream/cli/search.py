"""`ptstream search`: where a text stands, in all that is kept."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.options import Json
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run_at_once
from ptstream.streams_protocol import Match
from ptstream.text_search import folded

EXAMPLES = """
ptstream search "flock"             id, offset (or prompt, title, name) and line
ptstream cat 7h2k --offset 1284     read on from there
ptstream search -n 5 --json "flock"   the first five, for programs
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
    screen = screen_of(ctx)
    run_at_once(ctx, screen, lambda streams: search(streams, screen, query, limit=limit, json=json))


async def search(streams: Asked, screen: Screen, query: str, *, limit: int | None, json: bool) -> int:
    """Print where a text stands; NOTHING if it stands nowhere."""
    async with aclosing(streams.search(query, limit)) as hits:
        found = await (_show_table(screen, query, hits) if screen.terminal and not json else _show(screen, hits, json))
    return 0 if found else NOTHING


async def _show_table(screen: Screen, query: str, hits: AsyncIterable[Match]) -> bool:
    """Print the places in columns, once all are known; whether there are any."""
    rows = [[hit.id, _place(hit), _near(query, hit.line)] async for hit in hits]
    screen.table(["ID", "OFFSET", "LINE"], rows, flexible=2, right=(1,))
    return bool(rows)


async def _show(screen: Screen, hits: AsyncIterable[Match], json: bool) -> bool:
    """Print each place when it is found; whether there are any."""
    found = False
    async for hit in hits:
        found = True
        if json:
            screen.data(hit._asdict())
        else:
            screen.table([], [[hit.id, _place(hit), hit.line]], flexible=2)
    return found


def _place(hit: Match) -> str:
    """The offset in the text, or what it is beside the text that the query stands in."""
    return str(hit.offset) if hit.where == "text" else hit.where


def _near(query: str, line: str) -> str:
    """The line from shortly before the query on, so that it is not what is cut off."""
    at = folded(line).find(folded(query))
    return line if at <= BEFORE else f"…{line[at - BEFORE :]}"
