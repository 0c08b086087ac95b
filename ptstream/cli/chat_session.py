"""A chat from its first prompt until somebody leaves: what is typed becomes a turn, and its answer is shown."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

import anyio

from ptstream.cli.chat_before import show_before
from ptstream.cli.chat_commands import Typed, command_of, help_lines, model, save
from ptstream.cli.chat_turns import Talk
from ptstream.cli.detach import Signals, detachable, left_by
from ptstream.cli.drive_shown import Drive, Manner
from ptstream.cli.output import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.cli.several import attempted
from ptstream.cli.terminal_modes import stopped_with, unechoed
from ptstream.cli.text_output import end_line, say_end
from ptstream.cli.timing import Timing
from ptstream.errors import PtstreamError, UsageError
from ptstream.streams import Status, Stream
from ptstream.streams_protocol import Streams
from ptstream.ungrouped import ungrouped

T = TypeVar("T")

LEAVES = frozenset((128 + signal.SIGTERM, 128 + signal.SIGHUP, OutputClosed.exit_code))
"""How an answer ends after which there is nobody to ask on."""


class Reader(Protocol):
    """Where questions come from."""

    interactive: bool
    """Whether there is a person, who sees what stands in the way, and asks on."""
    edits: bool
    """Whether a line can begin with a draft."""
    left: int
    """The exit code, once there is no line any more."""

    async def line(self, draft: str, *, edits: bool) -> str | None: ...


class Interrupted(PtstreamError):
    """A signal came while something was waited for that is no text."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.exit_code = 128 + number  # type: ignore[misc]


class Chat:
    """One conversation. `signals` are all that come: none of them ends the process."""

    def __init__(
        self, streams: Streams, screen: Screen, talk: Talk, manner: Manner, reader: Reader, signals: Signals
    ) -> None:
        self._streams = streams
        self._screen = screen
        self._talk = talk
        self._manner = manner
        self._reader = reader
        self._signals = signals
        self._draft = ""
        """What stands in the line next."""
        self._edits = False
        """Whether the next question is asked in place of the last one."""
        self._asked = ""
        self._saved: set[str] = set()

    async def run(self) -> int:
        """The exit code."""
        code = 0
        if self._reader.interactive:
            self._screen.note("/help shows the keys · Ctrl-D leaves" if self._reader.edits else "Ctrl-D leaves")
            code = await self._unseen(self._show_before, "")
        while code not in LEAVES:
            line = await self._reader.line(self._draft, edits=self._edits)
            if line is None:
                return self._reader.left
            code = await self._unseen(self._take, line)
            if code and not self._reader.interactive:
                break
        return code

    async def _unseen(self, work: Callable[[str], Awaitable[int]], line: str) -> int:
        """Do the work for a line; its exit code. Keys that are pressed meanwhile are the next prompt's."""
        with ungrouped(), unechoed(0 if self._reader.interactive else self._screen.out) as echo:
            async with anyio.create_task_group() as tasks:
                await tasks.start(stopped_with, self._screen.part, echo)
                code = await attempted(self._screen, work, line)
                tasks.cancel_scope.cancel()
        return code

    async def _show_before(self, _: str) -> int:
        """What was said; the exit code of the last answer, which may still run."""
        turns = await self._unless_left(self._talk.turns)
        if not turns or not self._screen.terminal:
            return 0
        await self._unless_left(lambda: show_before(self._streams, self._screen, turns, plain=self._manner.plain))
        last = turns[-1].stream
        return 0 if last.status.ended else await self._answer(last, [])

    async def _take(self, line: str) -> int:
        """Do what was typed; the exit code of that."""
        edits, self._edits, self._draft = self._edits, False, ""
        if not line.strip():
            return 0
        if typed := command_of(line.rstrip()):
            return await self._do(typed)
        return await self._ask(line.strip(), instead=edits)

    async def _unless_left(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives. Raises Interrupted when a signal comes first."""
        found: list[T] = []

        async def working() -> None:
            found.append(await work())

        with ungrouped():
            left = await left_by(self._signals, working)
        if left:
            raise Interrupted(left)
        return found[0]

    # --- questions and their answers

    async def _ask(self, prompt: str, *, instead: bool) -> int:
        notes: list[str] = []
        try:
            last = await self._unless_left(self._talk.last)
            if (
                last
                and last.status is Status.STREAMING
                and not instead
                and (code := await self._wait_for(last, prompt))
            ):
                self._draft = prompt
                return code
            stream = await self._unless_left(lambda: self._talk.ask(prompt, notes.append, instead=instead))
        except PtstreamError:  # it was not stored
            self._draft, self._edits = prompt, instead
            raise
        return await self._answer(stream, notes)

    async def _wait_for(self, stream: Stream, prompt: str) -> int:
        """Wait for an answer that runs on: only what has ended can be answered. The exit code of its end.

        Meanwhile the question is a pending stream without a parent: it is there as well if nobody is, then.
        """

        async def wait() -> int:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Timing().wait, self._screen, "the answer before")
                ended = await self._streams.wait(stream.id)
                tasks.cancel_scope.cancel()
            return 0 if ended.status is Status.CANCELLED else say_end(self._screen, ended)

        kept = await self._unless_left(lambda: self._streams.create(self._talk.given._replace(prompt=prompt)))
        self._screen.note("the answer before still runs: this is asked when it has ended · Ctrl-\\ ends it")
        code = 0
        try:
            code = await detachable(
                self._screen, self._streams, [stream.id], wait, lambda: self._streams.cancel(stream.id), self._signals
            )
            return code
        finally:
            if code not in LEAVES:
                await self._streams.delete([kept.id])

    async def _answer(self, stream: Stream, notes: list[str]) -> int:
        """Show an answer as it comes; the exit code of its end."""
        drive = Drive(self._streams, self._screen, self._manner, stream, notes)
        drive.asked = self._asked
        try:
            code = await drive.run(self._signals)
        finally:
            self._asked = drive.asked
        if not self._screen.terminal and code != OutputClosed.exit_code:
            await self._unless_left(lambda: self._end_line(stream.id))
        return code

    async def _end_line(self, id: str) -> None:
        """In a file, the next answer begins a line."""
        size = (await self._streams.get(id)).bytes
        if size:
            async with aclosing(self._streams.read(id, size - 1)) as runs:
                if [data async for data in runs] != [b"\n"]:
                    self._screen.text("\n")

    # --- commands

    async def _do(self, typed: Typed) -> int:
        """What a word behind a slash says."""
        match typed.word:
            case "retry":
                return await self._retry()
            case "watch":
                return await self._answer(await self._unless_left(self._talk.asked), [])
            case "edit":
                await self._unless_left(self._edit)
            case "model":
                await self._unless_left(lambda: model(self._streams, self._screen, self._talk, typed.rest))
            case "save":
                await self._unless_left(lambda: save(self._streams, self._screen, self._talk, typed.rest, self._saved))
            case "cancel":
                await self._unless_left(self._cancel)
            case _:
                await self._screen.remark("".join(f"{line}\n" for line in help_lines()), fresh=True)
        return 0

    async def _retry(self) -> int:
        last, notes = await self._unless_left(self._talk.asked), list[str]()
        if last.status is not Status.PENDING or self._talk.given.model not in (None, last.model):
            prompt = last.prompt or ""
            last = await self._unless_left(lambda: self._talk.ask(prompt, notes.append, instead=True))
        return await self._answer(last, notes)

    async def _edit(self) -> None:
        if not self._reader.edits:
            raise UsageError("/edit needs a terminal on which a line can be edited")
        self._draft = (await self._talk.asked()).prompt or ""
        self._edits = True

    async def _cancel(self) -> None:
        stream = await self._talk.asked()
        self._screen.note(end_line(await self._streams.cancel(stream.id)))
