"""`ptstream cancel`: mark the stream, and see its owner end it. The same for every owner."""

from __future__ import annotations

from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.options import StreamRef
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream cancel @last
ptstream cancel build && ptstream cat build     what it had said stays
ptstream cancel --drain @last                   let the model finish unread, to know its usage
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
    screen = screen_of(ctx)
    run(ctx, screen, lambda streams: cancel(streams, screen, reference, drain=drain, quiet=quiet))


async def cancel(streams: Streams, screen: Screen, reference: str, *, drain: bool, quiet: bool) -> int:
    """Cancel a stream, see its end, and say how it ended."""
    before = await streams.find(reference)
    if drain and before.request.command:
        raise UsageError("a command has no usage to wait for: cancel it without --drain")
    stream = await streams.cancel(before.id, drain=drain)
    if not quiet:
        when, kept = ("had", "") if before.status.ended else ("has", " are kept")
        already = " already" if before.status.ended else ""
        screen.note(f"stream {stream.id} {when} ended{already} ({stream.status}), {stream.bytes} bytes{kept}")
    return 0
