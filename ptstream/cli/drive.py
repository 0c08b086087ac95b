"""`ptstream drive`: have the daemon run a stream's generator, and print every piece as it comes."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import anyio
import typer

from ptstream import wire
from ptstream.cli.app import screen_of
from ptstream.cli.describe import age
from ptstream.cli.detach import detachable, how_it_goes_on
from ptstream.cli.options import (
    FlushRule,
    Json,
    Model,
    Name,
    Need,
    Options,
    Plain,
    Quiet,
    Raw,
    System,
    Title,
    Ttl,
    options_of,
    prompt_of,
    text_of,
    ttl_of,
)
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import OutputFormat, format_of, say_end, show
from ptstream.cli.timing import Timing
from ptstream.cli.with_streams import run
from ptstream.errors import PtstreamError, StreamNotFound, UsageError
from ptstream.generators.replay import PREFIX
from ptstream.integers import count_of
from ptstream.names import as_name
from ptstream.stream_json import as_json
from ptstream.streams import Attempt, GenerationRequest, Status, Stream, inherited, merged
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream drive -p "Why is the sky blue?"   ask the default model
git diff | ptstream drive -p "Review it"   a pipe comes before the prompt
ptstream drive -- claude -p "A haiku"      any command becomes durable
ptstream drive --stderr -d -- make -j4     print the id and return at once
ptstream drive --exit-code -- make test    exit as it does
ptstream drive 7h2k                        run it, or attach, or print it
ptstream drive -c -p "And why?"            the next turn of the conversation
ptstream drive -c 7h2k -p "And why?"       of that one
ptstream drive -o temperature 0 -p "2+2?"  with a model's options
ptstream drive --again 7h2k                run a stream's command again
"""


SOME = 16
"""Streams that are listed at first to find the newest of a kind; then so many times more."""

LAST_REMARKS = 1.0
"""Seconds that what is said beside the text is waited for after the text's end."""


class OnDrop(StrEnum):
    """What to do when a provider breaks off in the middle of its answer."""

    END = "end"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Shown:
    """How the text is shown, if it is, whether it is kept after that, and whether the exit is the command's own."""

    detach: bool
    plain: bool
    json: bool
    no_keep: bool
    exit_code: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What the line asked for: the stream it names or the one it makes, and how it is shown."""

    reference: str | None
    after: str | None
    answers: bool
    again: bool
    prompt: str | None
    request: GenerationRequest
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
    options: Options = [],  # noqa: B006 - typer makes another each time
    generator: Annotated[
        str | None,
        typer.Option("--generator", metavar="FILE.py:NAME|NAME", help="A generator function of your own."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--from", metavar="ID[@N]", help="Go on from a stream's end, or byte N; with -p, answer it."),
    ] = None,
    answers: Annotated[
        bool,
        typer.Option("--continue", "-c", help="Answer the newest model's stream with -p, or the one of ID."),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Run the newest command's stream again, or ask what ID was asked."),
    ] = False,
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
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with the command's own exit code.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and return at once.")] = False,
    quiet: Quiet = False,
    plain: Plain = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """The command."""
    argv: tuple[str, ...] | None = ctx.meta.get("ptstream.command")
    if argv == ():
        raise UsageError("there is no command after --")
    if ctx.args:
        words_told = " ".join(shlex.quote(word) for word in (reference or "", *ctx.args))
        raise UsageError(f"a stream has one id; to run a command, put -- before it: ptstream drive -- {words_told}")
    if answers:
        _check_turn(reference, after, argv, generator)
        reference, after = None, reference
    if reference is not None and (name or title):
        raise UsageError("a stream is named when it is made: --name and --title do not go with an id")
    request = GenerationRequest(None, text_of(system, "--system"), model, argv, generator, flush, options_of(options))
    if again and (answers or after is not None or prompt is not None or request != GenerationRequest()):
        raise UsageError("--again asks just what a stream was asked: it goes with nothing that is asked")
    if reference is not None and after is not None:
        raise UsageError("--from makes a new stream: it does not go with an id")
    if again:
        reference, after = None, reference
    if stderr and not argv and not again:
        raise UsageError("--stderr goes with a command: -- COMMAND")
    if ttl and reference is not None:
        raise UsageError("--ttl is given when a stream is made: it does not go with an id")
    if no_keep and detach:
        raise UsageError("--no-keep deletes what has been shown: it does not go with --detach")
    if exit_code and (detach or (reference is None and not argv and not again)):
        raise UsageError("--exit-code goes with a command that is waited for: drive --exit-code -- COMMAND")
    shown = Shown(detach, plain or raw, json, no_keep, exit_code, quiet)
    order = Order(reference, after, answers, again, prompt, request, name, title, ttl_of(ttl), stderr, on_drop, shown)
    screen = screen_of(ctx, raw=raw)
    run(ctx, screen, lambda streams: _drive(streams, screen, order))


command.takes_command = True  # type: ignore[attr-defined]


def _check_turn(reference: str | None, after: str | None, *others: object) -> None:
    """Raises UsageError for what does not go with a next turn."""
    if after is not None:
        raise UsageError("--continue and --from both say what comes before: give one of them")
    if any(others):
        raise UsageError(
            "the next turn of a conversation is a model's: --continue goes with neither a command nor a --generator"
        )


async def _drive(streams: Streams, screen: Screen, order: Order) -> int:
    """Drive or attach, and print to the end; the exit code of that end."""
    wire.quiet_cancelled_receives()
    notes: list[str] = []  # printed after the id
    new = order.reference is None and not (order.name and await _exists(streams, order.name))
    stream = await _stream(streams, screen, order, notes.append, new=new)
    return await _Drive(streams, screen, order, stream, notes).run()


async def _stream(streams: Streams, screen: Screen, order: Order, later: Callable[[str], None], *, new: bool) -> Stream:
    """The stream that the line means, made if it is `new`. Raises UsageError, RequestDiffers."""
    if order.reference is not None:
        found = await _found(streams, order.reference)
        return await streams.fill(found.id, _request(screen, order, found, later))
    if order.again:
        return await _asked_again(streams, order, later, new=new)
    after, offset = _place(order.after)
    # Before a pipe is read: @last is another one then.
    parent = (
        await streams.find(after)
        if after is not None
        else await _newest(streams, _is_a_models)
        if order.answers
        else None
    )
    request = _request(screen, order, None, later)
    if new and (said := await streams.check(inherited(parent.request, request) if parent else request)):
        later(said)
    before = parent.id if parent else None
    return await streams.create(
        request, name=order.name, title=order.title, parent=before, parent_offset=offset, ttl=order.ttl
    )


async def _found(streams: Streams, reference: str) -> Stream:
    try:
        return await streams.find(reference)
    except StreamNotFound as error:
        if shutil.which(reference):
            raise StreamNotFound(f"{error}; to run the command: ptstream drive -- {reference}") from error
        raise


async def _exists(streams: Streams, name: str) -> bool:
    """Whether a stream has this name. Raises UsageError for what can be none."""
    name = as_name(name)
    with contextlib.suppress(StreamNotFound):
        return (await streams.find(name)).name == name
    return False


def _request(screen: Screen, order: Order, found: Stream | None, later: Callable[[str], None]) -> GenerationRequest:
    """What the line asks, its prompt read, of the stream that it names or of a new one. Raises UsageError.

    `later` gets what is to be said of that after the id.
    """
    request = order.request
    if found is not None and (found.status is not Status.PENDING or found.request.prompt is not None):
        return request._replace(prompt=text_of(order.prompt, "--prompt"))
    need = _need(order, request if found is None else merged(found.request, request))
    asked = prompt_of(order.prompt, screen.note, later, need)
    if order.answers and asked is None:
        raise UsageError('the next turn of a conversation has a prompt: --prompt "…"')
    if found is None and asked is None and need is Need.WHOLE:
        raise UsageError('there is nothing to drive: --prompt "…", -- COMMAND, or the id of a stream')
    return request._replace(prompt=asked)


def _need(order: Order, request: GenerationRequest) -> Need:
    """What standard input is to a stream of this request."""
    if request.command or request.generator:
        return Need.COMMAND
    return (
        Need.QUESTION
        if order.after is not None or order.answers or (request.model or "").startswith(PREFIX)
        else Need.WHOLE
    )


async def _asked_again(streams: Streams, order: Order, later: Callable[[str], None], *, new: bool) -> Stream:
    """A new stream of the same request, which comes where the old one came in its conversation."""
    found = await (streams.find(order.after) if order.after is not None else _newest(streams, _is_a_commands))
    old = await streams.get(found.id)
    if not (old.command or old.generator or old.prompt):
        raise UsageError(f"stream {old.id} was not asked anything that could be asked again")
    if new and (said := await streams.check(old.request)):
        later(said)
    title = order.title or old.title
    return await streams.create(
        old.request, name=order.name, title=title, parent=old.id, parent_offset=0, ttl=order.ttl
    )


def _is_a_models(stream: Stream) -> bool:
    return bool(stream.model) and not stream.command and stream.status is not Status.PENDING


def _is_a_commands(stream: Stream) -> bool:
    return bool(stream.command)


async def _newest(streams: Streams, wanted: Callable[[Stream], bool]) -> Stream:
    """The newest stream of a kind. Raises StreamNotFound if there is none."""
    limit, listing = SOME, await streams.list(SOME)
    while True:
        for stream in listing.streams:
            if wanted(stream):
                return stream
        if len(listing.streams) < limit:
            raise StreamNotFound("there is no such stream yet: ptstream ls shows all")
        limit *= SOME
        listing = await streams.list(limit)


def _place(after: str | None) -> tuple[str | None, int | None]:
    """`ID@N` in its parts. A lone `@last` is no place."""
    if after is None:
        return None, None
    reference, _, offset = after.rpartition("@")
    number = count_of(offset)
    return (reference, number) if reference and number is not None else (after, None)


def _own_exit(attempts: Sequence[Attempt], otherwise: int) -> int:
    """The exit code of the command, or as a shell tells of the signal that killed it; of none, `otherwise`."""
    if not attempts:
        return otherwise
    if attempts[-1].signal in signal.Signals.__members__:
        return 128 + signal.Signals[str(attempts[-1].signal)]
    code = attempts[-1].exit_code
    return otherwise if code is None else code


class _Drive:
    """One drive, from asking for it to its end."""

    def __init__(self, streams: Streams, screen: Screen, order: Order, stream: Stream, notes: Sequence[str]) -> None:
        """`notes` are printed after the id."""
        self._streams = streams
        self._screen = screen
        self._order = order
        self._stream = stream
        self._notes = notes
        self._form = format_of(stream.request, stream.bytes, plain=order.shown.plain, json=order.shown.json)
        self._remark = 0
        self._what = ""

    async def run(self) -> int:
        """Show it; its exit code."""
        return await detachable(self._screen, self._streams, [self._stream.id], self._work, self._cancel)

    async def _cancel(self) -> None:
        await self._streams.cancel(self._stream.id)

    async def _work(self) -> int:
        id, shown, timing = self._stream.id, self._order.shown, Timing()
        for line in self._notes if shown.detach else (id, *self._notes):
            self._screen.note(line)
        await self._ask()
        if shown.detach:
            await self._say_detached()
            return 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_remarks)
            if self._waits:
                tasks.start_soon(timing.wait, self._screen, self._what)
            async with aclosing(self._streams.follow(id)) as runs:
                await show(self._screen, runs, self._form, timing=timing)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(LAST_REMARKS):  # what is still to come, over a connection that stands
            await self._show_remarks()
        await self._screen.aside_end()
        code = say_end(self._screen, await self._streams.get(id), self._form)
        if self._waits:
            await self._say_how_it_went(timing)
        if shown.exit_code:
            code = _own_exit((await self._streams.details(id)).attempts, code)
        if shown.no_keep:
            for error in await self._streams.delete([id]):
                raise error
        return code

    async def _ask(self) -> None:
        """Ask for the drive, and say what is asked where, or that what follows was said before."""
        on_drop = self._order.on_drop is OnDrop.CONTINUE
        try:
            driven = await self._streams.drive(self._stream.id, stderr=self._order.stderr, on_drop=on_drop)
        except PtstreamError:
            if not await self._streams.begun(self._stream.id):  # nothing that was said is lost
                self._screen.note(await how_it_goes_on(self._streams, self._stream.id))
            raise
        stream = self._stream
        if driven.attached and stream.status.ended and stream.ended_at is not None:
            ago = age(stream.ended_at)
            self._screen.note(f"{stream.id} ended {ago} ago: this is what it said, nothing is run again")
        self._what = driven.model or "text"
        if driven.place and not stream.request.command and not self._order.shown.detach:
            self._screen.note(f"model {driven.model} at {driven.place}")

    @property
    def _waits(self) -> bool:
        """Whether somebody is told what is waited for: not of a text that is there already."""
        return self._screen.err_terminal and not self._order.shown.quiet and not self._stream.status.ended

    async def _say_how_it_went(self, timing: Timing) -> None:
        details = await self._streams.details(self._stream.id)
        self._screen.note(timing.summary(details.stream, details.attempts[-1] if details.attempts else None))

    async def _say_detached(self) -> None:
        """Print which stream it is that goes on alone."""
        if self._form is OutputFormat.JSON:
            self._screen.data(as_json(await self._streams.get(self._stream.id)))
        else:
            self._screen.text(f"{self._stream.id}\n")

    async def _show_remarks(self) -> None:
        """What was not shown yet. A note is a line of its own; reasoning and a command's stderr come in pieces."""
        async with aclosing(self._streams.remarks(self._stream.id, self._remark)) as entries:
            async for entry in entries:
                self._remark = entry.number  # whoever is interrupted while writing it has it written by the next
                if entry.kind == wire.NOTE:
                    await self._screen.remark(entry.text + "\n", fresh=True)
                else:
                    await self._screen.remark(entry.text)
