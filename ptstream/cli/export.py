"""`ptstream export`: a stream or a conversation to take away, as Markdown or as JSON."""

from __future__ import annotations

from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.options import StreamRef
from ptstream.cli.screen import Screen
from ptstream.cli.show import fields_of
from ptstream.cli.thread import Thread, markdown, text_of_turn, turns_of
from ptstream.cli.with_streams import run_at_once
from ptstream.conversation import Message, Turn, messages_of

EXAMPLES = """
ptstream export 7h2k > answer.md               question and answer as Markdown
ptstream export --thread 7h2k > talk.md        the conversation up to it
ptstream export --thread 7h2k --format jsonl   its streams, one a line
"""


class Format(StrEnum):
    """What it is written as."""

    MARKDOWN = "md"
    JSON = "json"
    LINES = "jsonl"


def command(
    ctx: typer.Context,
    reference: StreamRef,
    thread: Thread = False,
    format: Annotated[
        Format, typer.Option("--format", help="Markdown, one JSON object, or one a stream.")
    ] = Format.MARKDOWN,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    run_at_once(ctx, screen, lambda streams: export(streams, screen, reference, thread=thread, format=format))


async def export(streams: Asked, screen: Screen, reference: str, *, thread: bool, format: Format) -> int:
    """Print a stream, or the conversation up to it."""
    turns = await turns_of(streams, reference, thread=thread)
    if format is Format.MARKDOWN:
        async with aclosing(markdown(streams, turns)) as parts:
            async for part in parts:
                screen.text(part)
        screen.finish()
    elif format is Format.LINES:
        for turn in turns:
            screen.data(await _stream(streams, turn))
    else:
        screen.data(
            {"messages": await _messages(streams, turns), "streams": [await _stream(streams, t) for t in turns]}
        )
    return 0


async def _stream(streams: Asked, turn: Turn) -> dict[str, Any]:
    """All that is known of a turn's stream, and its text as far as the next turn answers it."""
    return await fields_of(streams, turn.stream.id) | {"text": await text_of_turn(streams, turn)}


async def _messages(streams: Asked, turns: list[Turn]) -> list[Message]:
    """The conversation as a model is given it."""
    system = turns[-1].stream.system
    found: list[Message] = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        found += messages_of(turn.stream, await text_of_turn(streams, turn))
    return found
