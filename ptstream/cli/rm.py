"""`ptstream rm`: delete streams. One that is streaming is cancelled first."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.hot import failed
from ptstream.errors import PtstreamError
from ptstream.library import cancel
from ptstream.store.recover import settle_all
from ptstream.store.sqlite import Store

EXAMPLES = """
ptstream rm 7h2k 9qm4
ptstream ls -q --status error | xargs ptstream rm
"""


def command(
    ctx: typer.Context,
    references: Annotated[
        list[str], typer.Argument(metavar="ID...", show_default=False, help="Ids, their beginnings, names, or @last.")
    ],
) -> None:
    """The command."""
    (home, screen), code = session(ctx), 0
    with Store(home) as store:
        for reference in references:
            try:
                id = store.find(reference).id
                anyio.run(cancel, store, id)
                store.delete(id)
            except PtstreamError as error:  # the others are deleted all the same
                code = code or failed(screen, error)
        if store.exists:
            settle_all(store)
    raise typer.Exit(code)
