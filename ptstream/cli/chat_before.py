"""What was said before, for who goes on with a conversation: its last turns, as `export --thread` has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ptstream.cli.describe import counted
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import RENDERED_BYTES, OutputFormat, show
from ptstream.cli.thread import markdown, quoted
from ptstream.conversation import Turn
from ptstream.streams_protocol import Streams

SHOWN = 4
"""Turns at most."""


async def show_before(streams: Streams, screen: Screen, turns: list[Turn], *, plain: bool) -> None:
    """The last of these turns; of one that has not ended the question alone."""
    last = turns[-1].stream
    if len(turns) > SHOWN:
        screen.note(f"{counted(len(turns) - SHOWN, 'turn')} before: ptstream cat --thread {last.id}")
    turns = turns[-SHOWN:]
    small = sum(turn.stream.bytes for turn in turns) <= RENDERED_BYTES
    form = OutputFormat.MARKDOWN if small and not plain else OutputFormat.TEXT
    async with aclosing(_encoded(streams, turns)) as runs:
        await show(screen, runs, form, keys=False)


async def _encoded(streams: Streams, turns: list[Turn]) -> AsyncGenerator[bytes, None]:
    *before, last = turns
    runs_on = not last.stream.status.ended
    async with aclosing(markdown(streams, before if runs_on else turns)) as parts:
        async for part in parts:
            yield part.encode("utf-8", "replace")
    if runs_on and last.stream.prompt:
        yield ("\n" if before else "").encode() + quoted(last.stream.prompt).encode("utf-8", "replace")
