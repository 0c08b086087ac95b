"""`ptstream cancel`: mark each stream, and see its owner end it. The same for every owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.options import StreamRefs
from ptstream.cli.screen import Screen
from ptstream.cli.several import all_at_once, named
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.streams import Stream
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream cancel @last
ptstream cancel build && ptstream cat build     what it had said stays
ptstream cancel build test                      both
ptstream cancel --drain @last                   let the model finish unread, to know its usage
ptstream cancel -q build                        and say nothing
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    drain: Annotated[
        bool, typer.Option("--drain", help="Let the provider finish, for its usage alone; the text is discarded.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of how it ended.")] = False,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    run(ctx, screen, lambda streams: cancel(streams, screen, references, drain=drain, quiet=quiet))


async def cancel(streams: Streams, screen: Screen, references: Sequence[str], *, drain: bool, quiet: bool) -> int:
    """Cancel streams, see their ends, and say how they ended."""
    several = await named(streams, screen, references)
    return await all_at_once(screen, several, lambda stream: _cancel(streams, screen, stream, drain=drain, quiet=quiet))


async def _cancel(streams: Streams, screen: Screen, before: Stream, *, drain: bool, quiet: bool) -> int:
    if drain and before.request.command:
        raise UsageError("a command has no usage to wait for: cancel it without --drain")
    stream = await streams.cancel(before.id, drain=drain)
    if not quiet:
        when, kept = ("had", "") if before.status.ended else ("has", " are kept")
        already = " already" if before.status.ended else ""
        screen.note(f"stream {stream.id} {when} ended{already} ({stream.status}), {stream.bytes} bytes{kept}")
    return 0
