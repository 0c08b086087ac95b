"""`ptstream watch`: follow a stream to its end, out of the database alone, daemon or not."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.entry import MOST_DIGITS
from ptstream.cli.options import Json, Plain, Raw, StreamRef
from ptstream.cli.reading import Form, detachable, form_of, goes_on, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.recovery import live_size
from ptstream.engine.sqlite.store import Store
from ptstream.errors import UsageError
from ptstream.follow import Follow

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
        begin = _offset(store, stream.id, offset)
        size = live_size(home, stream.id, store.state(stream.id))
        form = form_of(stream.words, size, plain=plain or raw, json=json)
        raise typer.Exit(anyio.run(watch, store, screen, stream.id, begin, live, form))


async def watch(store: Store, screen: Screen, id: str, begin: int, live: bool, form: Form) -> int:
    """Print the stream from byte `begin` on to its end; the exit code of that end."""

    async def read() -> int:
        async with attached(store) as engine:
            await show(screen, Follow(engine.cursor(id, begin, live=live)), form, begin)
        return tell_end(screen, store, id, form)

    return await detachable(screen, id, read, partial(only_reads, screen, id), partial(goes_on, store, id))


async def only_reads(screen: Screen, id: str) -> None:
    """What Ctrl-\\ does here."""
    screen.note(f"watch only reads · end it: ptstream cancel {id} · leave: Ctrl-C")


def _offset(store: Store, id: str, word: str) -> int:
    if word == "now":
        return live_size(store.home, id, store.state(id))
    return offset_of(word)


def offset_of(word: str) -> int:
    """`--offset` in bytes. Raises UsageError."""
    if not word.isdecimal() or len(word) > MOST_DIGITS:
        raise UsageError(f"--offset takes a number of bytes or 'now', not {word[:40]!r}")
    return int(word)
