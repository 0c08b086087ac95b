"""`ptstream cancel`: mark the stream, and see its owner end it. The same for every owner."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.options import StreamRef
from ptstream.library import cancel
from ptstream.store.sqlite import Store

EXAMPLES = """
ptstream cancel @last
ptstream cancel build && ptstream cat build     what it had said stays
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of how it ended.")] = False,
) -> None:
    """The command."""
    home, screen = session(ctx)
    with Store(home) as store:
        id = store.find(reference).id
        state = anyio.run(cancel, store, id)
    if not quiet:
        screen.note(f"stream {id} is {state.status}, {state.bytes} bytes are kept")
