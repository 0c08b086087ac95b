"""`ptstream models`: what can be asked from here, and which is asked when none is named."""

from __future__ import annotations

import os
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session, unwind_on_interrupt
from ptstream.cli.options import Json
from ptstream.cli.screen import Screen
from ptstream.client.caller import current_directory
from ptstream.config import load
from ptstream.generators import Caller
from ptstream.generators.llamacpp.download import download
from ptstream.generators.models.discovery import discover
from ptstream.settings import Home

EXAMPLES = """
ptstream models        what was found, the default first
ptstream models pull   fetch the embedded model's file (about 100 MB)
ptstream models --json   for programs
"""


class Action(StrEnum):
    """What else the command does."""

    PULL = "pull"


def command(
    ctx: typer.Context,
    action: Annotated[
        Action | None, typer.Argument(metavar="[pull]", show_default=False, help="Fetch the embedded model.")
    ] = None,
    json: Json = False,
) -> None:
    """The command."""
    home, screen = session(ctx)
    if action is Action.PULL:
        unwind_on_interrupt()
        screen.text(f"{download(home)}\n")
    else:
        anyio.run(_list, home, screen, json)


async def _list(home: Home, screen: Screen, json: bool) -> None:
    caller = Caller(current_directory(), os.environ)
    found = await discover(caller, load(home), home)
    if json:
        for each in found:
            screen.data(asdict(each))
        return
    rows = [["*" if each.default else "", each.name, each.place, each.problem or each.how] for each in found]
    screen.table(["", "MODEL", "AT", "FOUND BY"], rows, flexible=3)
