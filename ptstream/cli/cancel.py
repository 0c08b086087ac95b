"""`ptstream cancel`: mark the stream, and see its owner end it. The same for every owner.

Only where the store takes no mark, the daemon is asked to its face, so that a full disk keeps no model running.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import anyio
import typer

from ptstream.cancellation import cancel
from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import StreamRef
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.engine import BRIEFLY, attached
from ptstream.engine.sqlite.recovery import as_it_is
from ptstream.engine.sqlite.store import Store
from ptstream.errors import DaemonUnreachable, NotFinished, StoreBusy, UsageError
from ptstream.settings import Home
from ptstream.streams import State, Stream

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
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        raise typer.Exit(anyio.run(remote.cancel, *far, reference, drain, quiet))
    home, screen = session(ctx)
    with Store(home, busy_timeout=BRIEFLY) as store:
        stream = as_it_is(store, store.find(reference))
        check_drain(stream, drain)
        otherwise = None if drain else partial(_ask_the_daemon, home, stream.id)
        state = anyio.run(partial(_cancelled, store, stream.id, drain=drain, otherwise=otherwise))
    if not quiet:
        tell_cancelled(screen, stream, state.status, state.bytes)


async def _cancelled(store: Store, id: str, **how: Any) -> State:
    async with attached(store) as engine:
        return await cancel(engine, id, **how)


def check_drain(stream: Stream, drain: bool) -> None:
    """Raises UsageError for a stream that cannot be drained."""
    if drain and stream.words.command:
        raise UsageError("a command has no usage to wait for: cancel it without --drain")


def tell_cancelled(screen: Screen, before: Stream, status: str, bytes: int) -> None:
    """Say how it ended."""
    if before.status.ended:
        screen.note(f"stream {before.id} had ended already ({status}), {bytes} bytes")
    else:
        screen.note(f"stream {before.id} has ended ({status}), {bytes} bytes are kept")


async def _ask_the_daemon(home: Home, id: str) -> None:
    """Raises NotFinished when it has stopped the stream's generator, and the store takes no end either."""
    from ptstream.client import connect

    try:
        async with connect(home) as daemon:
            told = await daemon.cancel(id)
    except (DaemonUnreachable, StoreBusy):  # the stream is not the daemon's: there is only the mark
        return
    check_end(id, told["status"])


def check_end(id: str, status: str) -> None:
    """Raises NotFinished for a stream that the daemon has stopped, and that has no end yet."""
    if status == "streaming":
        raise NotFinished(
            f"stream {id} is stopped; the store takes no write just now, and gets its end ('cancelled') when it does"
        )
