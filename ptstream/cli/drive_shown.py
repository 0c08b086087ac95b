"""One drive, shown from asking for it to its end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

import anyio

from ptstream import wire
from ptstream.cli.describe import age
from ptstream.cli.detach import Signals, detachable, how_it_goes_on
from ptstream.cli.screen import Screen
from ptstream.cli.text_output import OutputFormat, format_of, say_end, show
from ptstream.cli.timing import Timing, tells, what_writes
from ptstream.errors import PtstreamError
from ptstream.stream_json import as_json
from ptstream.streams import Attempt, Stream, TerminalSize
from ptstream.streams_protocol import Streams

LAST_REMARKS = 1.0
"""Seconds that what is said beside the text is waited for after the text's end."""


class OnDrop(StrEnum):
    """What to do when a provider breaks off in the middle of its answer."""

    END = "end"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a stream is driven, how its text is shown, if it is, and what comes after that."""

    stderr: bool = False
    on_drop: OnDrop = OnDrop.END
    detach: bool = False
    plain: bool = False
    json: bool = False
    no_keep: bool = False
    exit_code: bool = False
    quiet: bool = False
    chat: bool = False
    """Whether it is a turn among others: its id is said once, with its end, and keys are the chat's business."""


def _own_exit(attempts: Sequence[Attempt], otherwise: int) -> int:
    """The exit code of the command, or as a shell tells of the signal that killed it; of none, `otherwise`."""
    if not attempts:
        return otherwise
    if attempts[-1].signal in signal.Signals.__members__:
        return 128 + signal.Signals[str(attempts[-1].signal)]
    code = attempts[-1].exit_code
    return otherwise if code is None else code


class Drive:
    """One drive, from asking for it to its end."""

    def __init__(self, streams: Streams, screen: Screen, manner: Manner, stream: Stream, notes: Sequence[str]) -> None:
        """`notes` are printed after the id."""
        self._streams = streams
        self._screen = screen
        self._manner = manner
        self._stream = stream
        self._notes = notes
        self._form = format_of(stream.request, stream.bytes, plain=manner.plain, json=manner.json)
        self._remark = 0
        self._what = ""
        self._told: TerminalSize | None = None  # of our terminal, what the command's was told
        self.asked = ""
        """Which model is asked where, as it was said last: it is said again only if it is another one."""

    async def run(self, signals: Signals | None = None) -> int:
        """Show it; its exit code. `signals` are those that the caller takes already."""
        return await detachable(self._screen, self._streams, [self._stream.id], self._work, self._cancel, signals)

    async def _cancel(self) -> None:
        await self._streams.cancel(self._stream.id)

    async def _work(self) -> int:
        id, shown = self._stream.id, self._manner
        timing = Timing(whole=not self._stream.bytes)
        is_told = tells(self._screen, self._stream, quiet=shown.quiet)
        is_said_later = shown.detach or (shown.chat and is_told)
        for line in self._notes if is_said_later else (id, *self._notes):
            self._screen.note(line)
        await self._ask()
        if shown.detach:
            await self._say_detached()
            return 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_remarks)
            if self._stream.request.tty:
                tasks.start_soon(self._follow_size)
            if is_told:
                tasks.start_soon(timing.wait, self._screen, self._what)
            async with aclosing(self._streams.follow(id)) as runs:
                await show(self._screen, runs, self._form, timing=timing, keys=not shown.chat)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(LAST_REMARKS):  # what is still to come, over a connection that stands
            await self._show_remarks()
        await self._screen.aside_end()
        code = say_end(self._screen, await self._streams.get(id), self._form)
        if is_told:
            await timing.say_how_it_went(self._screen, self._streams, id)
        if shown.exit_code:
            code = _own_exit((await self._streams.details(id)).attempts, code)
        if shown.no_keep:
            for error in await self._streams.delete([id]):
                raise error
        return code

    async def _ask(self) -> None:
        """Ask for the drive, and say what is asked where, or that what follows was said before."""
        on_drop = self._manner.on_drop is OnDrop.CONTINUE
        terminal = self._terminal
        try:
            driven = await self._streams.drive(
                self._stream.id, stderr=self._manner.stderr, on_drop=on_drop, terminal=terminal
            )
        except PtstreamError:
            if not await self._streams.begun(self._stream.id):  # nothing that was said is lost
                self._screen.note(await how_it_goes_on(self._streams, self._stream.id))
            raise
        stream = self._stream
        self._told = None if driven.attached else terminal
        if driven.attached and stream.status.ended and stream.ended_at is not None:
            ago = age(stream.ended_at)
            self._screen.note(f"{stream.id} ended {ago} ago: this is what it said, nothing is run again")
        self._what = driven.model or what_writes(self._stream.request)
        if driven.place and not stream.request.command and not self._manner.detach:
            before, self.asked = self.asked, f"model {driven.model} at {driven.place}"
            if self.asked != before:
                self._screen.note(self.asked)

    @property
    def _terminal(self) -> TerminalSize | None:
        """As large as ours, if it has one."""
        return TerminalSize(*self._screen.size) if self._stream.request.tty else None

    async def _follow_size(self) -> None:
        """Have the command's terminal be as large as ours, whenever that is resized. Runs until it is cancelled."""
        if not (self._screen.terminal or self._screen.err_terminal):
            return
        with anyio.open_signal_receiver(signal.SIGWINCH) as resized:
            await self._tell_size()  # it may have been since
            async for _ in resized:
                await self._tell_size()

    async def _tell_size(self) -> None:
        if self._told != (size := TerminalSize(*self._screen.size)):
            with contextlib.suppress(PtstreamError):  # the text is read on without it
                await self._streams.resize(self._stream.id, size)
                self._told = size

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
