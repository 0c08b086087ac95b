"""`ptstream drive`: have the daemon run a stream's generator, and print every piece as it comes."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated

import anyio
import typer

from ptstream import wire
from ptstream.cli.app import elsewhere, session
from ptstream.cli.describe import age
from ptstream.cli.options import (
    FlushRule,
    Json,
    Model,
    Name,
    Need,
    Plain,
    Raw,
    System,
    Title,
    Ttl,
    here,
    prompt_of,
    text_of,
    ttl_of,
)
from ptstream.cli.reading import Form, detachable, form_of, goes_on, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.client import Aside, Client, ConnectionBroken, Driven, connect, connect_or_start
from ptstream.config import load
from ptstream.errors import DaemonUnreachable, PtstreamError, StreamNotFound, UsageError
from ptstream.fields import as_json
from ptstream.follow import Follow
from ptstream.generators import Caller
from ptstream.generators.models.resolve import check, doubt
from ptstream.generators.replay import PREFIX
from ptstream.integers import count_of
from ptstream.lineage import going_on
from ptstream.names import as_name
from ptstream.settings import Home
from ptstream.store.cursor import Cursor
from ptstream.store.recover import live_size
from ptstream.store.rows import merged
from ptstream.store.sqlite import Store
from ptstream.streams import Status, Stream, Words

EXAMPLES = """
ptstream drive -p "Why is the sky blue?"   ask the default model
git diff | ptstream drive -p "Review it"   a pipe comes before the prompt
ptstream drive -- claude -p "A haiku"      any command becomes durable
ptstream drive --stderr -d -- make -j4     print the id and return at once
ptstream drive 7h2k                        run it, or attach, or print it
ptstream drive --from 7h2k -p "And why?"   the next turn of a conversation
"""


LAST_ASIDES = 1.0
"""Seconds that notes are waited for after the text's end."""


class OnDrop(StrEnum):
    """What to do when a provider breaks off in the middle of its answer."""

    END = "end"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Shown:
    """How the text is shown, if it is, and whether it is kept after that."""

    detach: bool
    plain: bool
    json: bool
    no_keep: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What the line asked for: the stream it names or the one it makes, and how it is shown."""

    reference: str | None
    after: str | None
    prompt: str | None
    words: Words
    name: str | None
    title: str | None
    ttl: float | None
    stderr: bool
    on_drop: OnDrop
    shown: Shown


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
    after: Annotated[
        str | None,
        typer.Option("--from", metavar="ID[@N]", help="Go on from a stream's end, or byte N; with -p, answer it."),
    ] = None,
    on_drop: Annotated[
        OnDrop,
        typer.Option("--on-drop", help="What to do when the provider breaks off.", show_default=False),
    ] = OnDrop.END,
    stderr: Annotated[
        bool, typer.Option("--stderr", help="Keep what the command writes to stderr as text, too.")
    ] = False,
    title: Title = None,
    name: Name = None,
    flush: FlushRule = None,
    ttl: Ttl = None,
    no_keep: Annotated[bool, typer.Option("--no-keep", help="Delete it once it has been shown to its end.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return at once.")] = False,
    plain: Plain = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """The command."""
    far = elsewhere(ctx, raw=raw)
    argv: tuple[str, ...] | None = ctx.meta.get("ptstream.command")
    if argv == ():
        raise UsageError("there is no command after --")
    if ctx.args:
        words_told = " ".join(shlex.quote(word) for word in (reference or "", *ctx.args))
        raise UsageError(f"a stream has one id; to run a command, put -- before it: ptstream drive -- {words_told}")
    if reference is not None and (name or title):
        raise UsageError("a stream is named when it is made: --name and --title do not go with an id")
    words = Words(None, text_of(system, "--system"), model, argv, generator, flush)
    if reference is not None and after is not None:
        raise UsageError("--from makes a new stream: it does not go with an id")
    if stderr and not argv:
        raise UsageError("--stderr goes with a command: -- COMMAND")
    if ttl and reference is not None:
        raise UsageError("--ttl is given when a stream is made: it does not go with an id")
    if no_keep and detach:
        raise UsageError("--no-keep deletes what has been shown: it does not go with --detach")
    shown = Shown(detach, plain or raw, json, no_keep)
    order = Order(reference, after, prompt, words, name, title, ttl_of(ttl), stderr, on_drop, shown)
    if far:
        from ptstream.cli.remote_drive import drive as drive_there

        raise typer.Exit(anyio.run(drive_there, *far, order))
    home, screen = session(ctx, raw=raw)
    with Store(home) as store:
        told: list[str] = []
        stream = _stream(store, screen, order, told.append)
        raise typer.Exit(anyio.run(drive, store, screen, stream, order, told))


command.takes_command = True  # type: ignore[attr-defined]


def _stream(store: Store, screen: Screen, order: Order, tell: Callable[[str], None]) -> Stream:
    """The stream that the line means, made if it names none. Raises UsageError, WordsDiffer."""
    found = _found(store, order.reference) if order.reference is not None else None
    after, offset = place(order.after)
    last = store.find(after).id if after is not None else None  # before a pipe is read: @last is another one then
    words = asked_words(screen, order, found, tell)
    if found is not None:
        return store.fill(found.id, words)
    before = None
    if last is not None:
        words, before = going_on(store, store.get(last), offset, words)
    if order.name is None or not _exists(store, order.name):
        _check(store.home, words, tell)
    return store.create(words, name=order.name, title=order.title, parent=before, ttl=order.ttl)


def _check(home: Home, words: Words, tell: Callable[[str], None]) -> None:
    """Raises what keeps a stream from being made; `tell` gets what speaks against its model."""
    caller, settings = Caller(**here()), load(home)
    check(words, caller, settings, home)
    if said := anyio.run(doubt, words, caller, settings, home):
        tell(said)


def _exists(store: Store, name: str) -> bool:
    """Whether a stream has this name. Raises UsageError for what can be none."""
    name = as_name(name)
    with contextlib.suppress(StreamNotFound):
        return store.find(name).name == name
    return False


def asked_words(screen: Screen, order: Order, found: Stream | None, tell: Callable[[str], None]) -> Words:
    """What the line asks, its prompt read, of the stream that it names or of a new one. Raises UsageError.

    `tell` gets what is to be said of that once the id is.
    """
    words = order.words
    if found is not None and (found.status is not Status.PENDING or found.words.prompt is not None):
        return words._replace(prompt=text_of(order.prompt, "--prompt"))
    need = _need(order, words if found is None else merged(found.words, words))
    asked = prompt_of(order.prompt, screen.note, tell, need)
    if found is None and asked is None and need is Need.WHOLE:
        raise UsageError('there is nothing to drive: --prompt "…", -- COMMAND, or the id of a stream')
    return words._replace(prompt=asked)


def _need(order: Order, words: Words) -> Need:
    """What standard input is to a stream of these words."""
    if words.command or words.generator:
        return Need.COMMAND
    return Need.QUESTION if order.after is not None or (words.model or "").startswith(PREFIX) else Need.WHOLE


def _found(store: Store, reference: str) -> Stream:
    try:
        return store.find(reference)
    except StreamNotFound as error:
        if shutil.which(reference):
            raise StreamNotFound(f"{error}; to run the command: ptstream drive -- {reference}") from error
        raise


def place(after: str | None) -> tuple[str | None, int | None]:
    """`ID@N` in its parts. A lone `@last` is no place."""
    if after is None:
        return None, None
    reference, _, offset = after.rpartition("@")
    number = count_of(offset)
    return (reference, number) if reference and number is not None else (after, None)


async def drive(store: Store, screen: Screen, stream: Stream, order: Order, told: Sequence[str]) -> int:
    """Drive or attach, and print to the end; the exit code of that end. `told` is said after the id."""

    wire.quiet_cancelled_receives()
    size = live_size(store.home, stream.id, store.state(stream.id))
    form = form_of(stream.words, size, plain=order.shown.plain, json=order.shown.json)

    async def work() -> int:
        for line in told if order.shown.detach else (stream.id, *told):
            screen.note(line)
        async with contextlib.AsyncExitStack() as stack:
            if client := await _daemon(stack, store, screen, stream.id):
                await _ask(client, store, screen, stream, order)
            if order.shown.detach:
                tell_detached(screen, store.get(stream.id), form)
                return 0
            async with anyio.create_task_group() as tasks:
                if client:
                    tasks.start_soon(_show_asides, client, screen, stream.id)
                async with aclosing(_text(store, client, stream.id)) as runs:
                    await show(screen, runs, form)
                # The last of them may still be on the way; they end when the attempt does.
                tasks.cancel_scope.deadline = anyio.current_time() + LAST_ASIDES
            await screen.aside_end()
        code = tell_end(screen, store, stream.id, form)
        if order.shown.no_keep:
            await anyio.to_thread.run_sync(_forget, store.home, stream.id)
        return code

    async def cancel() -> None:
        store.cancel(stream.id)

    return await detachable(screen, stream.id, work, cancel, partial(goes_on, store, stream.id))


async def _daemon(stack: contextlib.AsyncExitStack, store: Store, screen: Screen, id: str) -> Client | None:
    """The daemon; None if there can be none, and none is needed, since the stream was begun by another one."""
    try:
        return await stack.enter_async_context(connect_or_start(store.home))
    except PtstreamError as error:
        pending = store.state(id).status is Status.PENDING
        if pending:  # nothing that was said is lost
            screen.note(goes_on(store, id))
        if pending or not isinstance(error, DaemonUnreachable):
            raise
        return None


def _forget(home: Home, id: str) -> None:
    with Store(home) as store:
        store.delete(id)
        store.shrink()


def tell_detached(screen: Screen, stream: Stream, form: Form) -> None:
    """Print which stream it is that goes on alone."""
    if form is Form.JSON:
        screen.data(as_json(stream))
    else:
        screen.text(f"{stream.id}\n")


async def _ask(client: Client, store: Store, screen: Screen, stream: Stream, order: Order) -> None:
    """Ask for the drive. A daemon that dies before it answers may have begun: then the stream is read as any other."""
    try:
        on_drop = order.on_drop is OnDrop.CONTINUE
        driven = await client.drive(stream.id, **here(), stderr=order.stderr, on_drop=on_drop)
    except PtstreamError as error:
        if isinstance(error, DaemonUnreachable) and store.state(stream.id).status is not Status.PENDING:
            return
        if store.state(stream.id).status is Status.PENDING:  # nothing that was said is lost
            screen.note(goes_on(store, stream.id))
        raise
    tell_driven(screen, stream, driven, order)


def tell_driven(screen: Screen, stream: Stream, driven: Driven, order: Order) -> None:
    """Say what is asked where, or that what follows was said before."""
    if driven.attached and stream.status.ended and stream.ended_at is not None:
        screen.note(f"{stream.id} ended {age(stream.ended_at)} ago: this is what it said, nothing is run again")
    if driven.place and not stream.words.command and not order.shown.detach:
        screen.note(f"model {driven.model} at {driven.place}")


async def _show_asides(client: Client, screen: Screen, id: str) -> None:
    with contextlib.suppress(ConnectionBroken):  # the text is read on without it
        async for aside in client.asides(id):
            await show_aside(screen, aside)


async def show_aside(screen: Screen, aside: Aside) -> None:
    """A note is a line of its own; reasoning and a command's stderr come in pieces."""
    if aside.kind == wire.NOTE:
        await screen.aside(aside.text + "\n", fresh=True)
    else:
        await screen.aside(aside.text)


async def _text(store: Store, client: Client | None, id: str) -> AsyncGenerator[bytes, None]:
    """The stream's bytes to its end: from the daemon; from one that came after it; without any, from the store."""
    offset = 0
    with contextlib.suppress(DaemonUnreachable):
        if client:
            async for data in client.text(id, offset):
                offset += len(data)
                yield data
            return
    with contextlib.suppress(DaemonUnreachable):
        async with connect(store.home) as other:
            async for data in other.text(id, offset):
                offset += len(data)
                yield data
            return
    async for data in Follow(store, Cursor(store, id, offset)):
        yield data
