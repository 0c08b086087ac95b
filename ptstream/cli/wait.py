"""`ptstream wait`: until streams have ended, or one of them has; the exit code is their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import screen_of
from ptstream.cli.detach import detachable
from ptstream.cli.options import StreamRefs, finite
from ptstream.cli.screen import Screen
from ptstream.cli.several import Named, all_at_once, attempted, first_bad, named, streams_of
from ptstream.cli.text_output import say_end
from ptstream.cli.with_streams import run
from ptstream.errors import NotFinished
from ptstream.streams import Stream
from ptstream.streams_protocol import Streams
from ptstream.ungrouped import ungrouped

EXAMPLES = """
ptstream wait build && echo done
ptstream wait build test lint       all three; the first bad end is the exit code
ptstream wait --any 7h2k 9qm4       the first that ends, and print its id
ptstream wait --timeout 60 @last    exit code 8 if it has not ended by then
"""


def command(
    ctx: typer.Context,
    references: StreamRefs,
    any_: Annotated[bool, typer.Option("--any", help="Wait for the first that ends, and print its id.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, callback=finite, help="Wait no longer; then exit 8.", show_default=False
        ),
    ] = None,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    run(ctx, screen, lambda streams: wait(streams, screen, references, timeout, any_=any_))


async def wait(
    streams: Streams, screen: Screen, references: Sequence[str], timeout: float | None, *, any_: bool = False
) -> int:
    """Wait for the end of all, or of the first; the exit code: 8 for what has not ended after `timeout` seconds."""
    several = await named(streams, screen, references)
    if not (found := streams_of(several)):
        return first_bad(each for each in several if isinstance(each, int))
    waiting = _Waiting(streams, screen, timeout, among_others=len(several) > 1)

    async def work() -> int:
        return await (waiting.first(several) if any_ else all_at_once(screen, several, waiting.end))

    return await detachable(screen, streams, [stream.id for stream in found], work, _nothing)


class _Waiting:
    """Waiting for ends, no longer than `timeout` seconds; what is said of one names it, if there are others."""

    def __init__(self, streams: Streams, screen: Screen, timeout: float | None, *, among_others: bool) -> None:
        self._streams = streams
        self._screen = screen
        self._timeout = timeout
        self._among_others = among_others

    async def end(self, stream: Stream) -> int:
        """The exit code of its end. Raises NotFinished."""
        with anyio.move_on_after(self._timeout):
            return self._say(await self._streams.wait(stream.id))
        now = await self._streams.get(stream.id)  # it may have ended just now, or before no time at all was waited
        if now.status.ended:
            return self._say(now)
        raise NotFinished(f"stream {stream.id} is {now.status} still, after {self._timeout:g} s")

    async def first(self, several: Sequence[Named]) -> int:
        """The exit code of the first end; of those that had ended before, it is the line's first."""
        ended: list[Stream] = [stream for stream in streams_of(several) if stream.status.ended]
        failures: list[int] = []

        async def look(stream: Stream, scope: anyio.CancelScope) -> None:
            async def wait(stream: Stream) -> int:
                ended.append(await self._streams.wait(stream.id))
                scope.cancel()
                return 0

            if code := await attempted(self._screen, wait, stream):
                failures.append(code)

        if not ended:
            with ungrouped(), anyio.move_on_after(self._timeout):
                async with anyio.create_task_group() as tasks:
                    for stream in streams_of(several):
                        tasks.start_soon(look, stream, tasks.cancel_scope)
        if ended:
            self._screen.text(f"{ended[0].id}\n")
            return self._say(ended[0])
        if len(failures) == len(streams_of(several)):  # deleted, all of them
            return failures[0]
        raise NotFinished(f"none of the streams has ended, after {self._timeout:g} s")

    def _say(self, ended: Stream) -> int:
        return say_end(self._screen, ended, among_others=self._among_others)


async def _nothing() -> None:
    """What Ctrl-\\ does here."""
