"""`ptstream cancel`: mark the stream, and see its owner end it. The same for every owner."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.options import StreamRef
from ptstream.ending import cancel
from ptstream.errors import UsageError
from ptstream.store.recover import as_it_is
from ptstream.store.sqlite import Store

EXAMPLES = """
ptstream cancel @last
ptstream cancel build && ptstream cat build     what it had said stays
ptstream cancel --drain @last                   let the model finish unheard, to know its usage
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    drain: Annotated[
        bool, typer.Option("--drain", help="Let the provider finish, for its usage alone; the text is discarded.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of how it ended.")] = False,
) -> None:
    """The command."""
    home, screen = session(ctx)
    with Store(home) as store:
        stream = as_it_is(store, store.find(reference))
        if drain and stream.words.command:
            raise UsageError("a command has no usage to wait for: cancel it without --drain")
        state = anyio.run(partial(cancel, store, stream.id, drain=drain))
    if not quiet:
        if stream.status.ended:
            screen.note(f"stream {stream.id} had ended already ({state.status}), {state.bytes} bytes")
        else:
            screen.note(f"stream {stream.id} has ended ({state.status}), {state.bytes} bytes are kept")
