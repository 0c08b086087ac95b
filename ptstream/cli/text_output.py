"""How a stream's text and its end are shown: as it is, rendered, or as JSON; the end is the exit code."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterable
from contextlib import ExitStack, suppress
from enum import Enum

import anyio

from ptstream import wire
from ptstream.cli.output import OutputClosed, OutputFailed
from ptstream.cli.screen import Screen
from ptstream.cli.terminal_modes import stopped_with, unechoed
from ptstream.cli.timing import Timing
from ptstream.errors import ENDS
from ptstream.streams import GenerationRequest, Status, Stream
from ptstream.ungrouped import ungrouped

LAST_ROWS = 1.0
"""Seconds that a terminal which takes nothing is waited for when the text breaks off."""

RENDERED_BYTES = 64 * 1024
"""How much text is rendered when it comes at once, which takes about a second."""


class OutputFormat(Enum):
    """How a stream's text is shown."""

    TEXT = "as it is"
    MARKDOWN = "rendered, where the terminal has colour"
    JSON = "one object a run"


def format_of(request: GenerationRequest, size: int, *, plain: bool, json: bool) -> OutputFormat:
    """A model's text is Markdown, unless there is so much already that rendering would keep its reader waiting."""
    if json:
        return OutputFormat.JSON
    if plain or request.prompt is None or request.command or request.generator:
        return OutputFormat.TEXT
    return OutputFormat.MARKDOWN if size <= RENDERED_BYTES else OutputFormat.TEXT


async def show(
    screen: Screen,
    runs: AsyncIterable[bytes],
    form: OutputFormat = OutputFormat.TEXT,
    offset: int = 0,
    timing: Timing | None = None,
    *,
    keys: bool = True,
) -> None:
    """Print the runs of a stream, which begin at byte `offset`, as they come; `timing` takes note of when.

    While it is rendered, keys that are pressed are not shown, unless its caller sees to `keys` by itself.
    """
    if form is OutputFormat.JSON:
        await _show_json(screen, runs, offset)
        return
    try:
        with ungrouped(), ExitStack() as modes:
            async with anyio.create_task_group() as tasks:
                if form is OutputFormat.MARKDOWN and screen.render():
                    tasks.start_soon(screen.redraw)
                    if keys:
                        await tasks.start(stopped_with, screen.part, modes.enter_context(unechoed(screen.out)))
                async for data in runs:
                    if timing:
                        timing.took(data)
                    await screen.show(data)
                tasks.cancel_scope.cancel()
    except BaseException:
        # However it ends: what was shown is there, whole.
        with anyio.move_on_after(LAST_ROWS, shield=True), suppress(OutputClosed, OutputFailed):
            await screen.show_end()
        raise
    await screen.show_end()


async def _show_json(screen: Screen, runs: AsyncIterable[bytes], offset: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for data in runs:
        offset += len(data)
        await screen.show(wire.dumps({"text": decoder.decode(data), "offset": offset}) + b"\n")


def say_end(
    screen: Screen, stream: Stream, form: OutputFormat = OutputFormat.TEXT, *, among_others: bool = False
) -> int:
    """Say a stream's end, unless it is `done` and there is no more to say, and whose `among_others`; its exit code."""
    if form is OutputFormat.JSON:
        screen.data({"status": stream.status.value, "offset": stream.bytes, "error": stream.error, "note": stream.note})
    if stream.note:
        screen.note(f"stream {stream.id}: {stream.note}" if among_others else stream.note)
    if stream.status in ENDS:
        screen.error(ENDS[stream.status](end_line(stream)))
        return ENDS[stream.status].exit_code
    return 0


def end_line(stream: Stream) -> str:
    """One line on how a stream ended."""
    how = {Status.ERROR: "ended in error", Status.TIMEOUT: "timed out", Status.CANCELLED: "was cancelled"}
    said = f"stream {stream.id} {how.get(stream.status, stream.status)}"
    return f"{said}: {stream.error}" if stream.error and stream.status is not Status.CANCELLED else said
