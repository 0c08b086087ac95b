"""`ptstream cancel`: mark the stream, and see its owner end it. The same for every owner."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.options import StreamRef
from ptstream.library import cancel
from ptstream.store.recover import as_it_is
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
        stream = as_it_is(store, store.find(reference))
        state = anyio.run(cancel, store, stream.id)
    if not quiet:
        if stream.status.ended:
            screen.note(f"stream {stream.id} had ended already ({state.status}), {state.bytes} bytes")
        else:
            screen.note(f"stream {stream.id} has ended ({state.status}), {state.bytes} bytes are kept")
