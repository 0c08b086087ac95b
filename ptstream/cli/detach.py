"""How a reader leaves: signals and a closed output only ever detach it; the stream goes on."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio

from ptstream.cli.output import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.errors import PtstreamError, StreamNotFound
from ptstream.streams_protocol import Streams
from ptstream.ungrouped import ungrouped

DETACHING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Signals = AsyncIterator[signal.Signals]
"""Those that a person or a terminal has sent, as they come."""


def received() -> AbstractContextManager[Signals]:
    """Takes the signals that are for a reader; until it is left they end no process."""
    return anyio.open_signal_receiver(*DETACHING, signal.SIGQUIT)


async def left_by(
    signals: Signals,
    work: Callable[[], Awaitable[object]],
    quits: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> int:
    """Run `work` to its end: 0, or the number of the signal that ended it. Ctrl-\\ runs `quits` beside it."""
    left = 0

    async def working(scope: anyio.CancelScope) -> None:
        await work()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(working, tasks.cancel_scope)
        async for number in signals:
            if number == signal.SIGQUIT:
                if quits:
                    tasks.start_soon(quits)
                continue
            left = number
            tasks.cancel_scope.cancel()
            break
    return left


async def detachable(
    screen: Screen,
    streams: Streams,
    ids: Sequence[str],
    work: Callable[[], Awaitable[int]],
    cancel: Callable[[], Awaitable[object]],
    signals: Signals | None = None,
) -> int:
    """Run `work`; its exit code, or that of the signal that ended it. Ctrl-\\ runs `cancel` beside it.

    A note says how the streams go on. `signals` are those that its caller takes already. Raises what `work` raises; a
    closed output is an exit code, too.
    """
    outcome: int | PtstreamError = 1

    async def working() -> None:
        nonlocal outcome
        try:
            with ungrouped():
                outcome = await work()
        except StreamNotFound as error:  # one alone was there
            outcome = StreamNotFound(f"stream {ids[0]} has been deleted") if len(ids) == 1 else error
        except PtstreamError as error:  # not through the task group, which would wrap it
            outcome = error

    with nullcontext(signals) if signals else received() as those:
        left = await left_by(those, working, lambda: attempt(screen, cancel))
        if left:  # below the text, which ends when the work is cancelled
            screen.note(await how_they_go_on(streams, ids))
            return 128 + left
    if isinstance(outcome, OutputClosed):
        if screen.err_terminal:
            screen.note(await how_they_go_on(streams, ids))
        return outcome.exit_code
    if isinstance(outcome, PtstreamError):
        raise outcome
    return outcome


async def attempt(screen: Screen, cancel: Callable[[], Awaitable[object]]) -> None:
    """Run `cancel`, and say what stands in its way."""
    try:
        await cancel()
    except PtstreamError as error:  # a locked store: the key may be pressed again
        screen.error(error)


async def how_they_go_on(streams: Streams, ids: Sequence[str]) -> str:
    """The same of any number of streams."""
    if len(ids) == 1:
        return await how_it_goes_on(streams, ids[0])
    return "what runs goes on · ptstream ls · ptstream watch --all"


async def how_it_goes_on(streams: Streams, id: str) -> str:
    """The one line for who leaves; it fits into 80 columns."""
    if not await streams.begun(id):
        return f"has not begun · run it: ptstream drive {id}"
    return f"goes on · ptstream watch {id} · ptstream cancel {id}"
