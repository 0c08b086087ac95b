"""`ptstream drive`: have the daemon run a stream's generator, and print every piece as it comes."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from ptstream import wire
from ptstream.cli.app import screen_of
from ptstream.cli.drive_shown import Drive, Manner, OnDrop
from ptstream.cli.drive_target import Order, stream_of
from ptstream.cli.options import (
    FlushRule,
    Json,
    Model,
    Name,
    Options,
    Plain,
    Quiet,
    Raw,
    System,
    Title,
    Ttl,
    options_of,
    text_of,
    ttl_of,
)
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.streams import TTY, GenerationRequest
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream drive -p "Why is the sky blue?"   ask the default model
git diff | ptstream drive -p "Review it"   a pipe comes before the prompt
ptstream drive -- claude -p "A haiku"      any command becomes durable
ptstream drive --stderr -d -- make -j4     print the id and return at once
ptstream drive --tty -- npm run build      as on a terminal, in colour
ptstream drive --exit-code -- make test    exit as it does
ptstream drive 7h2k                        run it, or attach, or print it
ptstream drive -c -p "And why?"            the next turn of the conversation
ptstream drive -c 7h2k -p "And why?"       of that one
ptstream drive -o temperature 0 -p "2+2?"  with a model's options
ptstream drive -q -p "2+2?"                the answer, and not how it went
ptstream drive --again 7h2k                run a stream's command again
ptstream drive -m ollama/qwen3 -s "Briefly" -p "Why?"   another model, with instructions
ptstream drive --from 7h2k@120 -p "And then?"   as if it had stopped at byte 120
ptstream drive --on-drop continue -p @essay.txt   goes on where a provider breaks off
ptstream drive --name build --title "Nightly" --ttl 7d -- make   found by name, for a week
ptstream drive --generator app.py:answer --flush lines   a function of your own, kept by the line
ptstream drive --no-keep --plain -p "2+2?"   nothing stays, nothing is rendered
ptstream drive --raw -- ./draws             control sequences, too
ptstream drive --json -p "2+2?"             for programs, an object for each run of text
"""


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
    tty: Annotated[
        bool, typer.Option("--tty", help="Give the command a terminal of this one's size: in colour, and at once.")
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
    asked = _options_of(options, argv, tty=tty)
    request = GenerationRequest(None, text_of(system, "--system"), model, argv, generator, flush, asked)
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
    order = Order(reference, after, answers, again, prompt, request, name, title, ttl_of(ttl))
    manner = Manner(stderr, on_drop, detach, plain or raw, json, no_keep, exit_code, quiet)
    screen = screen_of(ctx, raw=raw)
    run(ctx, screen, lambda streams: _drive(streams, screen, order, manner))


command.takes_command = True  # type: ignore[attr-defined]


def _options_of(pairs: list[str], argv: tuple[str, ...] | None, *, tty: bool) -> dict[str, Any] | None:
    """A model's, or the one of a command. Raises UsageError."""
    if tty and not argv:
        raise UsageError("--tty goes with a command: -- COMMAND")
    return {**(options_of(pairs) or {}), TTY: True} if tty else options_of(pairs)


def _check_turn(reference: str | None, after: str | None, *others: object) -> None:
    """Raises UsageError for what does not go with a next turn."""
    if after is not None:
        raise UsageError("--continue and --from both say what comes before: give one of them")
    if any(others):
        raise UsageError(
            "the next turn of a conversation is a model's: --continue goes with neither a command nor a --generator"
        )


async def _drive(streams: Streams, screen: Screen, order: Order, manner: Manner) -> int:
    """Drive or attach, and print to the end; the exit code of that end."""
    wire.quiet_cancelled_receives()
    notes: list[str] = []  # printed after the id
    stream = await stream_of(streams, screen, order, notes.append)
    return await Drive(streams, screen, manner, stream, notes).run()
