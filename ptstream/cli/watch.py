"""`ptstream watch`: follow a stream to its end, out of the database alone, daemon or not."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.options import Plain, Raw, StreamRef
from ptstream.cli.reading import detachable, is_markdown, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.errors import UsageError
from ptstream.follow import Follow
from ptstream.settings import Home
from ptstream.store.cursor import Cursor
from ptstream.store.recover import live_size
from ptstream.store.sqlite import Store
from ptstream.store.wake import Wakes

EXAMPLES = """
ptstream watch @last                the newest stream, sentence by sentence, to its end
ptstream watch --live 7h2k          every piece as it comes
ptstream watch --offset now build   only what comes from now on
"""


def command(
    ctx: typer.Context,
    reference: StreamRef,
    offset: Annotated[str, typer.Option(metavar="N|now", help="Begin at byte N, or at what comes now.")] = "0",
    live: Annotated[bool, typer.Option("--live", help="Every piece as it comes, instead of sentences.")] = False,
    plain: Plain = False,
    raw: Raw = False,
) -> None:
    """The command."""
    raise typer.Exit(anyio.run(watch, *session(ctx, raw=raw), reference, offset, live, plain or raw))


async def watch(home: Home, screen: Screen, reference: str, offset: str, live: bool, plain: bool) -> int:
    """Print the stream from `offset` to its end; the exit code of that end."""
    with Store(home) as store:
        stream = store.find(reference)
        id, render = stream.id, is_markdown(store, stream) and not plain
        cursor = Cursor(store, id, _offset(store, id, offset), live=live)

        async def read() -> int:
            if live:
                await show(screen, Follow(store, cursor), render=render)
            else:
                wakes = Wakes(store)
                async with wakes.open():
                    await show(screen, Follow(store, cursor, wakes=wakes), render=render)
            return tell_end(screen, store, id)

        return await detachable(screen, store, id, read, lambda: None)


def _offset(store: Store, id: str, word: str) -> int:
    if word == "now":
        return live_size(store.home, id, store.state(id))
    if not word.isdecimal():
        raise UsageError(f"--offset takes a number of bytes or 'now', not {word!r}")
    return int(word)
