"""A conversation as a person reads it, and as data: its streams in their order, each with what it was asked.

As Markdown a question is a quotation, an answer stands as it is, and a command is shown as its terminal showed it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeAlias

import typer

from ptstream.cli.at_once import Asked
from ptstream.conversation import Turn, turns
from ptstream.streams import Stream

Thread: TypeAlias = Annotated[bool, typer.Option("--thread", help="The whole conversation up to it, in order.")]


async def turns_of(streams: Asked, reference: str, *, thread: bool) -> list[Turn]:
    """The stream that is meant, its prompts whole; with `thread`, all that it goes on from before it."""
    stream = await streams.get((await streams.find(reference)).id)
    return await turns(streams.get, stream) if thread else [Turn(stream, None)]


async def text_of_turn(streams: Asked, turn: Turn) -> str:
    """What was said in it, as far as the next turn answers it."""
    async with aclosing(streams.read(turn.stream.id)) as runs:
        data = b"".join([run async for run in runs])
    return data[: turn.end].decode("utf-8", "replace")


async def markdown(streams: Asked, conversation: list[Turn]) -> AsyncGenerator[str, None]:
    """The conversation as Markdown, turn by turn."""
    for number, turn in enumerate(conversation):
        blocks = _blocks(turn.stream, await text_of_turn(streams, turn))
        yield ("\n" if number else "") + "\n".join(blocks)


def _blocks(stream: Stream, text: str) -> list[str]:
    """What a turn consists of, each block with the end of its last line."""
    request = stream.request
    if request.command:
        return [_console(f"$ {shlex.join(request.command)}\n{text}"), *_failure(stream)]
    asked = [quoted(request.prompt)] if request.prompt else []
    return [*asked, *([_line_ended(text)] if text else []), *_failure(stream)]


def quoted(text: str) -> str:
    """A question as Markdown's quotation."""
    return "".join(f"> {line}".rstrip() + "\n" for line in text.strip("\n").split("\n"))


def _console(text: str) -> str:
    """A fenced block, whose fence is longer than any in it (CommonMark 4.5)."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"{fence}console\n{_line_ended(text)}{fence}\n"


def _failure(stream: Stream) -> list[str]:
    """Why it ended badly, if it did."""
    return [f"[{stream.status}: {stream.error}]\n"] if stream.error else []


def _line_ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
