"""`ptstream watch`: follow a stream to its end, out of the database alone, daemon or not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Json, Plain, Raw, StreamRef
from ptstream.cli.reading import Form, detachable, form_of, goes_on, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.errors import UsageError
from ptstream.follow import Follow
from ptstream.integers import count_of
from ptstream.store.cursor import Cursor
from ptstream.store.recover import live_size
from ptstream.store.sqlite import Store
from ptstream.store.wake import open_wakes

EXAMPLES = """
ptstream watch @last                the newest stream, by sentences
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
    json: Json = False,
) -> None:
    """The command."""
    if far := elsewhere(ctx, raw=raw):
        from ptstream.cli import remote

        raise typer.Exit(anyio.run(remote.watch, *far, reference, offset, plain or raw, json))
    home, screen = session(ctx, raw=raw)
    with Store(home) as store:
        stream = store.find(reference)
        cursor = Cursor(store, stream.id, _offset(store, stream.id, offset), live=live)
        size = live_size(home, stream.id, store.state(stream.id))
        form = form_of(stream.words, size, plain=plain or raw, json=json)
        raise typer.Exit(anyio.run(watch, store, screen, cursor, live, form))


async def watch(store: Store, screen: Screen, cursor: Cursor, live: bool, form: Form) -> int:
    """Print the stream from the cursor on to its end; the exit code of that end."""

    async def read() -> int:
        async with AsyncExitStack() as stack:
            wakes = None if live else await stack.enter_async_context(open_wakes(store))
            await show(screen, Follow(store, cursor, wakes=wakes), form, cursor.offset)
        return tell_end(screen, store, cursor.id, form)

    return await detachable(
        screen, cursor.id, read, partial(only_reads, screen, cursor.id), partial(goes_on, store, cursor.id)
    )


async def only_reads(screen: Screen, id: str) -> None:
    """What Ctrl-\\ does here."""
    screen.note(f"watch only reads · end it: ptstream cancel {id} · leave: Ctrl-C")


def _offset(store: Store, id: str, word: str) -> int:
    if word == "now":
        return live_size(store.home, id, store.state(id))
    return offset_of(word)


def offset_of(word: str) -> int:
    """`--offset` in bytes. Raises UsageError."""
    if (offset := count_of(word)) is None:
        raise UsageError(f"--offset takes a number of bytes or 'now', not {word[:40]!r}")
    return offset
