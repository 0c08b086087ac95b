"""`ptstream store`: the tables where the streams lie, made or migrated before anybody needs them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.screen import Screen
from ptstream.engine import open_engine
from ptstream.settings import Home

EXAMPLES = """
ptstream store migrate         make the tables, or bring an older ptstream's up to date
ptstream store migrate --sql   print the SQL of that, for an administrator to run
"""


class Action(StrEnum):
    """What the command does."""

    MIGRATE = "migrate"


def command(
    ctx: typer.Context,
    action: Annotated[Action, typer.Argument(metavar="migrate", help="Make the tables of this version.")],
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL, and change nothing.")] = False,
) -> None:
    """The command."""
    anyio.run(migrate, *session(ctx), sql)


async def migrate(home: Home, screen: Screen, sql: bool) -> None:
    """Make the tables, or print how: nothing, where they are there."""
    async with open_engine(home) as engine:
        if sql:
            screen.text(await engine.migration())
        else:
            await engine.migrate()
            screen.note(f"the tables are there: {engine.location}")
