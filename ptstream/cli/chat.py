"""`ptstream chat`: one conversation at a prompt, each turn a stream like any other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ptstream import wire
from ptstream.cli.app import Line, line_of, screen_of
from ptstream.cli.candidates import models_of
from ptstream.cli.chat_lines import Lines
from ptstream.cli.chat_session import Chat, Reader
from ptstream.cli.chat_turns import Talk
from ptstream.cli.detach import Signals, received
from ptstream.cli.drive_shown import Manner
from ptstream.cli.options import Model, Options, Plain, Quiet, Raw, System, options_of, text_of
from ptstream.cli.screen import Screen, is_smart
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.streams import GenerationRequest
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream chat                      a conversation with the default model
ptstream chat -m ollama/qwen3      with another one
ptstream chat -s "Answer briefly"  with a system prompt
ptstream chat -o temperature 0     with a model's options
ptstream chat -c                   go on with the newest conversation
ptstream chat -c 7h2k              with that one
cat questions | ptstream chat      a question a line
ptstream chat -q --plain           answers alone, as they are written
ptstream chat --raw                with the control sequences of an answer
"""


def command(
    ctx: typer.Context,
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", show_default=False, help="With -c: the stream whose conversation goes on."),
    ] = None,
    model: Model = None,
    system: System = None,
    options: Options = [],  # noqa: B006 - typer makes another each time
    goes_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the newest model's conversation, or that of ID.")
    ] = False,
    quiet: Quiet = False,
    plain: Plain = False,
    raw: Raw = False,
) -> None:
    """The command."""
    if reference is not None and not goes_on:
        raise UsageError("a question is typed at the prompt; to go on with a conversation: ptstream chat -c ID")
    given = GenerationRequest(None, text_of(system, "--system"), model, options=options_of(options))
    manner = Manner(plain=plain or raw, quiet=quiet, chat=True)
    screen, line = screen_of(ctx, raw=raw), line_of(ctx)

    async def work(streams: Streams) -> int:
        wire.quiet_cancelled_receives()
        talk = Talk(streams, given)
        if goes_on:
            await talk.go_on(reference)
        with received() as signals, _reader(line, streams, screen, signals) as reader:
            return await Chat(streams, screen, talk, manner, reader, signals).run()

    run(ctx, screen, work)


@contextmanager
def _reader(line: Line, streams: Streams, screen: Screen, signals: Signals) -> Iterator[Reader]:
    """A prompt where there is a terminal that can be drawn on, else the lines of standard input."""
    seen = os.isatty(0) and (screen.err_terminal or screen.terminal)
    if not (seen and is_smart(os.environ)):
        yield Lines(signals, interactive=seen)
        return
    from ptstream.cli.chat_prompt import Past, Prompt  # prompt_toolkit, which nothing else needs

    past = Past(streams, lambda listed: models_of(None if line.host else line.home, listed))
    with Prompt.opened(screen, past, signals) as prompt:
        yield prompt
