"""What `drive`, `watch` and `tee` share: printing a stream as it comes, and how such a reader leaves.

Signals and a closed output only ever detach the reader; the stream goes on. How the stream ended is read from the
store, and is the exit code.
"""

from __future__ import annotations

import codecs
import contextlib
import signal
from collections.abc import AsyncIterable, Awaitable, Callable
from enum import Enum
from typing import Protocol

import anyio

from ptstream import wire
from ptstream.cli.outlet import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.recovery import state
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ENDS, PtstreamError, StreamNotFound, ungrouped
from ptstream.streams import Status, Words

RENDERED_BYTES = 64 * 1024
"""How much text is rendered when it comes at once, which takes about a second."""

DETACHING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def detachable(
    screen: Screen,
    id: str,
    work: Callable[[], Awaitable[int]],
    cancel: Callable[[], Awaitable[object]],
    left: Callable[[], str],
) -> int:
    """Run `work`; its exit code, or that of the signal that ended it. Ctrl-\\ runs `cancel` beside it.

    `left` gives the line for who leaves. Raises what `work` raises, except that a closed output is an exit code too.
    """
    outcome: int | PtstreamError = 1

    async def working(scope: anyio.CancelScope) -> None:
        nonlocal outcome
        try:
            with ungrouped():
                outcome = await work()
        except StreamNotFound:  # it was there
            outcome = StreamNotFound(f"stream {id} has been deleted")
        except PtstreamError as error:  # not through the task group, which would wrap it
            outcome = error
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(*DETACHING, signal.SIGQUIT) as signals:
            tasks.start_soon(working, tasks.cancel_scope)
            async for number in signals:
                if number == signal.SIGQUIT:
                    tasks.start_soon(_try, screen, cancel)
                    continue
                outcome = 128 + number
                screen.note(left())
                tasks.cancel_scope.cancel()
                break
    if isinstance(outcome, OutputClosed):
        if screen.err_terminal:
            screen.note(left())
        return outcome.exit_code
    if isinstance(outcome, PtstreamError):
        raise outcome
    return outcome


async def _try(screen: Screen, cancel: Callable[[], Awaitable[object]]) -> None:
    try:
        await cancel()
    except PtstreamError as error:  # a locked store: the key may be pressed again
        screen.error(error)


def goes_on(store: Store, id: str) -> str:
    """The one line for who leaves."""
    with contextlib.suppress(PtstreamError):
        return how_it_goes_on(id, pending=store.state(id).status is Status.PENDING)
    return how_it_goes_on(id)


def how_it_goes_on(id: str, *, pending: bool = False) -> str:
    """The same, by what is known; it fits into 80 columns."""
    if pending:
        return f"has not begun · run it: ptstream drive {id}"
    return f"goes on · ptstream watch {id} · ptstream cancel {id}"


class Form(Enum):
    """How a stream's text is shown."""

    TEXT = "as it is"
    MARKDOWN = "rendered, where the terminal has colour"
    JSON = "one object a run"


def form_of(words: Words, size: int, *, plain: bool, json: bool) -> Form:
    """A model's text is Markdown, unless there is so much already that rendering would keep its reader waiting."""
    if json:
        return Form.JSON
    if plain or words.prompt is None or words.command or words.generator:
        return Form.TEXT
    return Form.MARKDOWN if size <= RENDERED_BYTES else Form.TEXT


async def show(screen: Screen, runs: AsyncIterable[bytes], form: Form = Form.TEXT, offset: int = 0) -> None:
    """Print the runs of a stream, which begin at byte `offset`, as they come."""
    if form is Form.JSON:
        await _show_json(screen, runs, offset)
        return
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            if form is Form.MARKDOWN and screen.render():
                tasks.start_soon(screen.redraw)
            async for data in runs:
                await screen.show(data)
            tasks.cancel_scope.cancel()
    await screen.show_end()


async def _show_json(screen: Screen, runs: AsyncIterable[bytes], offset: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for data in runs:
        offset += len(data)
        await screen.show(wire.dumps({"text": decoder.decode(data), "offset": offset}) + b"\n")


def tell_end(screen: Screen, store: Store, id: str, form: Form = Form.TEXT) -> int:
    """The stream's end as the store has it: said, unless it is `done`, and given as the exit code."""
    return say_end(screen, id, state(store, id), form)


class End(Protocol):
    """Where a stream stands when it has ended."""

    @property
    def status(self) -> Status: ...
    @property
    def bytes(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    @property
    def note(self) -> str | None: ...


def say_end(screen: Screen, id: str, state: End, form: Form = Form.TEXT) -> int:
    """Say a stream's end, unless it is `done` and there is no more to say; its exit code."""
    if form is Form.JSON:
        screen.data({"status": state.status.value, "offset": state.bytes, "error": state.error, "note": state.note})
    if state.note:
        screen.note(state.note)
    if state.status in ENDS:
        screen.error(ENDS[state.status](end_line(id, state)))
        return ENDS[state.status].exit_code
    return 0


def end_line(id: str, state: End) -> str:
    """One line on how a stream ended."""
    words = {Status.ERROR: "ended in error", Status.TIMEOUT: "timed out", Status.CANCELLED: "was cancelled"}
    said = f"stream {id} {words.get(state.status, state.status)}"
    return f"{said}: {state.error}" if state.error and state.status is not Status.CANCELLED else said
