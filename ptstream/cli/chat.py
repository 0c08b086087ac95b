"""`ptstream chat`: one conversation at a prompt, each turn a stream like any other."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated, Protocol

import anyio
import typer

from ptstream import wire
from ptstream.cli.app import Line, line_of, screen_of
from ptstream.cli.candidates import models_of
from ptstream.cli.chat_commands import Typed, command_of, help_lines
from ptstream.cli.chat_lines import Lines
from ptstream.cli.chat_turns import Talk
from ptstream.cli.describe import counted
from ptstream.cli.detach import Signals, detachable, received
from ptstream.cli.drive_shown import Drive, Manner
from ptstream.cli.options import Model, Options, Plain, Quiet, Raw, System, options_of, text_of
from ptstream.cli.output import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.cli.several import attempted
from ptstream.cli.text_output import RENDERED_BYTES, OutputFormat, end_line, say_end, show
from ptstream.cli.terminal_modes import unechoed
from ptstream.cli.thread import markdown, quoted
from ptstream.cli.timing import Timing
from ptstream.cli.with_streams import run
from ptstream.conversation import Turn
from ptstream.errors import UsageError
from ptstream.streams import GenerationRequest, Status, Stream
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream chat                      a conversation with the default model
ptstream chat -m ollama/qwen3      with another one
ptstream chat -s "Answer briefly"  with a system prompt
ptstream chat -c                   go on with the newest conversation
ptstream chat -c 7h2k              with that one
ptstream chat < questions.txt      a question a line
"""

SHOWN = 4
"""Turns that are shown of a conversation with which one goes on."""

LEAVES = frozenset((128 + signal.SIGTERM, 128 + signal.SIGHUP, OutputClosed.exit_code))
"""How an answer ends after which there is nobody to ask on."""


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


class Reader(Protocol):
    """Where questions come from."""

    interactive: bool
    left: int
    """The exit code, once there is no line any more."""

    async def line(self, draft: str, *, edits: bool) -> str | None: ...


@contextmanager
def _reader(line: Line, streams: Streams, screen: Screen, signals: Signals) -> Iterator[Reader]:
    """A prompt where there is a terminal, else the lines of standard input."""
    if not (os.isatty(0) and (screen.err_terminal or screen.terminal)):
        yield Lines(signals)
        return
    from ptstream.cli.chat_prompt import Past, Prompt  # prompt_toolkit, which nothing else needs

    past = Past(streams, lambda listed: models_of(None if line.host else line.home, listed))
    with Prompt.opened(screen, past, signals) as prompt:
        yield prompt


class Chat:
    """One conversation, from the first prompt until somebody leaves."""

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
            self._screen.note("/help shows the keys · Ctrl-D leaves")
            code = await attempted(self._screen, self._show_before, SHOWN)
        while code not in LEAVES:
            line = await self._reader.line(self._draft, edits=self._edits)
            if line is None:
                return self._reader.left
            code = await attempted(self._screen, self._take, line)
            if code and not self._reader.interactive:
                break
        return code

    async def _take(self, line: str) -> int:
        """Do what was typed; the exit code of that."""
        edits, self._edits, self._draft = self._edits, False, ""
        if not line.strip():
            return 0
        if typed := command_of(line.rstrip()):
            return await self._do(typed)
        return await self._ask(line.strip(), instead=edits)

    # --- questions and their answers

    async def _ask(self, prompt: str, *, instead: bool) -> int:
        last = None if instead else await self._talk.last()
        if last and last.status is Status.STREAMING and (code := await self._wait_for(last)):
            self._draft = prompt
            return code
        notes: list[str] = []
        return await self._answer(await self._talk.ask(prompt, notes.append, instead=instead), notes)

    async def _wait_for(self, stream: Stream) -> int:
        """Wait for an answer that runs on: only what has ended can be answered. Its exit code."""

        async def wait() -> int:
            with unechoed(self._screen.out):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(Timing().wait, self._screen, "the answer before")
                    ended = await self._streams.wait(stream.id)
                    tasks.cancel_scope.cancel()
            return 0 if ended.status is Status.CANCELLED else say_end(self._screen, ended)

        self._screen.note("the answer before still runs: this is asked when it has ended · Ctrl-\\ ends it")
        return await detachable(
            self._screen, self._streams, [stream.id], wait, lambda: self._streams.cancel(stream.id), self._signals
        )

    async def _answer(self, stream: Stream, notes: list[str]) -> int:
        """Show an answer as it comes; the exit code of its end."""
        drive = Drive(self._streams, self._screen, self._manner, stream, notes)
        drive.asked = self._asked
        try:
            return await drive.run(self._signals)
        finally:
            self._asked = drive.asked
            if not self._screen.terminal:
                await self._end_line(stream.id)

    async def _end_line(self, id: str) -> None:
        """In a file, the next answer begins a line."""
        size = (await self._streams.get(id)).bytes
        if size:
            async with aclosing(self._streams.read(id, size - 1)) as runs:
                if [data async for data in runs] != [b"\n"]:
                    self._screen.text("\n")

    # --- what was said before

    async def _show_before(self, most: int) -> int:
        """The last turns, at most so many; the exit code of the last one, which may go on."""
        turns = await self._talk.turns()
        if not turns or not self._screen.terminal:
            return 0
        last = turns[-1].stream
        if len(turns) > most:
            self._screen.note(f"{counted(len(turns) - most, 'turn')} before: ptstream cat --thread {last.id}")
        turns = turns[-most:]
        if last.status.ended:
            await self._show(markdown(self._streams, turns), turns)
            return 0
        await self._show(self._opened(turns), turns)
        return await self._answer(last, [])

    async def _opened(self, turns: list[Turn]) -> AsyncGenerator[str, None]:
        """The turns, of the last one the question alone."""
        async with aclosing(markdown(self._streams, turns[:-1])) as parts:
            async for part in parts:
                yield part + "\n"
        if prompt := turns[-1].stream.prompt:
            yield quoted(prompt)

    async def _show(self, parts: AsyncGenerator[str, None], turns: list[Turn]) -> None:
        async def runs() -> AsyncGenerator[bytes, None]:
            async with aclosing(parts):
                async for part in parts:
                    yield part.encode("utf-8", "replace")

        small = sum(turn.stream.bytes for turn in turns) <= RENDERED_BYTES
        form = OutputFormat.MARKDOWN if small and not self._manner.plain else OutputFormat.TEXT
        async with aclosing(runs()) as encoded:
            await show(self._screen, encoded, form, unseen=True)

    # --- commands

    async def _do(self, typed: Typed) -> int:
        """What a word behind a slash says."""
        match typed.word:
            case "retry":
                return await self._retry()
            case "edit":
                await self._edit()
            case "model":
                await self._model(typed.rest)
            case "save":
                await self._save(typed.rest)
            case "watch":
                return await self._answer(await self._talk.asked(), [])
            case "cancel":
                self._screen.note(end_line(await self._streams.cancel((await self._talk.asked()).id)))
            case _:
                await self._screen.remark("".join(f"{line}\n" for line in help_lines()), fresh=True)
        return 0

    async def _retry(self) -> int:
        last, notes = await self._talk.asked(), list[str]()
        if last.status is not Status.PENDING or self._talk.given.model not in (None, last.model):
            last = await self._talk.ask(last.prompt or "", notes.append, instead=True)
        return await self._answer(last, notes)

    async def _edit(self) -> None:
        if not self._reader.interactive:
            raise UsageError("/edit needs a terminal")
        self._draft = (await self._talk.asked()).prompt or ""
        self._edits = True

    async def _model(self, name: str) -> None:
        if name:
            if doubt := await self._streams.check(GenerationRequest(prompt="?", model=name)):
                self._screen.note(doubt)
            self._talk.given = self._talk.given._replace(model=name)
            return
        last = await self._talk.last()
        model = self._talk.given.model or (last.model if last else None)
        self._screen.note(f"model {model}" if model else "the default model, which ptstream models shows")

    async def _save(self, name: str) -> None:
        if not name:
            raise UsageError("/save needs the name of a file")
        turns, path = await self._talk.turns(), os.path.abspath(os.path.expanduser(name))
        if not turns:
            raise UsageError("there is nothing to save yet")
        try:
            with open(path, "w" if path in self._saved else "x", encoding="utf-8", errors="replace") as file:
                self._saved.add(path)
                async with aclosing(markdown(self._streams, turns)) as parts:
                    async for part in parts:
                        file.write(part)
        except FileExistsError as error:
            raise UsageError(f"{name} is there already: give another name") from error
        except OSError as error:
            raise UsageError(f"{name} cannot be written: {error.strerror}") from error
        self._screen.note(f"{counted(len(turns), 'turn')} in {name}")
