"""`ptstream wait`: until a stream has ended; the exit code is its end."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import StreamRef, finite
from ptstream.cli.reading import detachable, goes_on, tell_end
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.errors import NotFinished
from ptstream.settings import Home

EXAMPLES = """
ptstream wait build && echo done
ptstream wait --timeout 60 @last    exit code 8 if it has not ended by then
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, callback=finite, help="Wait no longer; then exit 8.", show_default=False
        ),
    ] = None,
) -> None:
    """The command."""
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        raise typer.Exit(anyio.run(remote.wait, *far, reference, timeout))
    raise typer.Exit(anyio.run(wait, *session(ctx), reference, timeout))


async def wait(home: Home, screen: Screen, reference: str, timeout: float | None) -> int:
    """Wait for the end; its exit code. Raises NotFinished after `timeout` seconds."""
    with Store(home) as store:
        id = store.find(reference).id

        async def work() -> int:
            with anyio.move_on_after(timeout):
                async with attached(store) as engine:
                    await engine.ended(id)
                return tell_end(screen, store, id)
            raise NotFinished(f"stream {id} is {store.state(id).status} still, after {timeout:g} s")

        return await detachable(screen, id, work, nothing, partial(goes_on, store, id))


async def _ended(store: Store, id: str) -> None:
    async with attached(store) as engine:
        await engine.ended(id)


async def nothing() -> None:
    """What Ctrl-\\ does here."""


def wait_first(home: Home, reference: str) -> str:
    """The same, for a command that is synchronous; the id of the stream that was meant."""
    with Store(home) as store:
        id = store.find(reference).id
        anyio.run(_ended, store, id)
    return id
