"""`ptstream drive`: have the daemon run a stream's generator, and print every piece as it comes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

import anyio
import typer

from ptstream import wire
from ptstream.cli.app import session
from ptstream.cli.options import (
    FlushRule,
    Model,
    Name,
    Plain,
    Raw,
    System,
    Title,
    current_directory,
    prompt_of,
    text_of,
)
from ptstream.cli.reading import detachable, is_markdown, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.client import Client, connect, connect_or_start
from ptstream.errors import DaemonUnreachable, PtstreamError, UsageError
from ptstream.follow import Follow
from ptstream.generators.replay import PREFIX
from ptstream.settings import Home
from ptstream.store.cursor import Cursor
from ptstream.store.sqlite import Store
from ptstream.streams import Status, Stream, Words

EXAMPLES = """
ptstream drive -p "Why is the sky blue?"        ask the default model (see ptstream models)
git diff | ptstream drive -p "Review this"      what a pipe brings comes before the prompt
ptstream drive -- claude -p "Write a haiku"     any command's output becomes durable
ptstream drive --detach -- make -j4             print the id and return; see ptstream watch
ptstream drive 7h2k                             run what was created, or attach to it, or print it
"""


LAST_ASIDES = 1.0
"""Seconds that notes are waited for after the text's end."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the line asked for: the stream it names, or the one it makes, and how it is shown."""

    reference: str | None
    words: Words
    name: str | None
    title: str | None
    detach: bool


def command(
    ctx: typer.Context,
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", show_default=False, help="The stream to drive; without it one is made."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", metavar="TEXT", help="What to ask (@FILE reads a file; a pipe is joined)."),
    ] = None,
    model: Model = None,
    system: System = None,
    generator: Annotated[
        str | None,
        typer.Option("--generator", metavar="FILE.py:NAME|NAME", help="A generator function of your own."),
    ] = None,
    title: Title = None,
    name: Name = None,
    flush: FlushRule = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return at once.")] = False,
    plain: Plain = False,
    raw: Raw = False,
) -> None:
    """The command."""
    home, screen = session(ctx, raw=raw)
    argv: tuple[str, ...] | None = ctx.meta.get("ptstream.command")
    if argv == ():
        raise UsageError("there is no command after --")
    if reference is not None and (name or title):
        raise UsageError("a stream is named when it is made: --name and --title do not go with an id")
    words = Words(None, text_of(system, "--system"), model, argv, generator, flush)
    order = Order(reference, words, name, title, detach)
    with Store(home) as store:
        stream = _stream(store, screen, order, prompt)
        raise typer.Exit(anyio.run(drive, home, store, screen, stream, detach, plain or raw))


command.takes_command = True  # type: ignore[attr-defined]


def _stream(store: Store, screen: Screen, order: Order, prompt: str | None) -> Stream:
    """The stream that the line means, made if it names none. Raises UsageError, WordsDiffer."""
    found = store.find(order.reference) if order.reference is not None else None
    open_prompt = found is None or (found.status is Status.PENDING and found.words.prompt is None)
    asked = prompt_of(prompt, screen.note) if open_prompt else text_of(prompt, "--prompt")
    words = Words(
        asked, order.words.system, order.words.model, order.words.command, order.words.generator, order.words.flush
    )
    if found is not None:
        return store.fill(found.id, words)
    if asked is None and not (words.command or words.generator or (words.model or "").startswith(PREFIX)):
        raise UsageError('there is nothing to drive: --prompt "…", -- COMMAND, or the id of a stream')
    return store.create(words, name=order.name, title=order.title)


async def drive(home: Home, store: Store, screen: Screen, stream: Stream, detach: bool, plain: bool) -> int:
    """Drive or attach, and print to the end; the exit code of that end."""

    async def work() -> int:
        if not detach:
            screen.note(stream.id)
        async with connect_or_start(home) as client:
            try:
                await _ask(client, screen, stream, quiet=detach)
            except PtstreamError:
                if detach:  # else it has been said
                    screen.note(stream.id)
                raise
            if detach:
                screen.text(f"{stream.id}\n")
                return 0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_show_asides, client, screen, stream.id)
                async with aclosing(_text(home, store, client, stream.id)) as runs:
                    await show(screen, runs, render=is_markdown(store, stream) and not plain)
                # The last of them may still be on the way; they end when the attempt does.
                tasks.cancel_scope.deadline = anyio.current_time() + LAST_ASIDES
        return tell_end(screen, store, stream.id)

    return await detachable(screen, store, stream.id, work, lambda: store.cancel(stream.id))


async def _ask(client: Client, screen: Screen, stream: Stream, quiet: bool) -> None:
    umask = os.umask(0)
    os.umask(umask)
    driven = await client.drive(stream.id, directory=current_directory(), environment=dict(os.environ), umask=umask)
    if driven.place and not stream.words.command and not quiet:
        screen.note(f"model {driven.model} at {driven.place}")


async def _show_asides(client: Client, screen: Screen, id: str) -> None:
    async for aside in client.asides(id):
        # A note is of whole lines; reasoning comes in pieces.
        await screen.aside(aside.text + "\n" if aside.kind == wire.NOTE else aside.text)


async def _text(home: Home, store: Store, client: Client, id: str) -> AsyncGenerator[bytes, None]:
    """The stream's bytes to its end: from the daemon; from one that came after it; without any, from the store."""
    offset = 0
    with contextlib.suppress(DaemonUnreachable):
        async for data in client.text(id, offset):
            offset += len(data)
            yield data
        return
    with contextlib.suppress(DaemonUnreachable):
        async with connect(home) as other:
            async for data in other.text(id, offset):
                offset += len(data)
                yield data
            return
    async for data in Follow(store, Cursor(store, id, offset)):
        yield data
