"""The prompt of `ptstream chat` at a terminal: a line with history, editing and completion, by prompt_toolkit.

What was asked before is what streams were asked: no file keeps it a second time. Loaded by `chat` alone, when there is
a terminal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import anyio
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from ptstream.cli.chat_commands import ARGUMENTS, COMMANDS
from ptstream.cli.chat_turns import is_a_question
from ptstream.cli.detach import Signals
from ptstream.cli.screen import Screen
from ptstream.engine.requests import OPENING
from ptstream.errors import PtstreamError, StreamNotFound
from ptstream.streams import Stream
from ptstream.streams_protocol import Streams

REMEMBERED = 500
"""Streams whose prompts can be had again."""

LONGEST = 4000
"""Characters of such a prompt: what is longer came from a file, and nobody edits it in a line."""

HANG_UP = 128 + signal.SIGHUP


class Past(History):
    """What was asked before, newest first, and which models were: of the newest streams there are."""

    def __init__(self, streams: Streams, models: Callable[[list[Stream]], list[str]]) -> None:
        super().__init__()
        self.models: list[str] = []
        self._streams = streams
        self._models = models

    async def load(self) -> AsyncGenerator[str, None]:
        """What is here already, then what the streams have: each once."""
        before = list(self._loaded_strings)
        for text in before:
            yield text
        if self._loaded:
            return
        with suppress(PtstreamError):  # the next question says what stands in the way
            listed = (await self._streams.list(REMEMBERED)).streams
            with suppress(PtstreamError):
                self.models = self._models(listed)
            for stream in filter(is_a_question, listed):
                text = await self._prompt(stream)
                if text not in self._loaded_strings and len(text) <= LONGEST:
                    self._loaded_strings.append(text)
                    yield text
            self._loaded = True  # not before: the line may be over before all of it is here

    async def _prompt(self, stream: Stream) -> str:
        if len(stream.prompt or "") >= OPENING:
            with suppress(StreamNotFound):  # it has been deleted meanwhile
                stream = await self._streams.get(stream.id)
        return stream.prompt or ""

    def load_history_strings(self) -> Iterable[str]:
        return ()

    def store_string(self, string: str) -> None:
        """The stream is where it is kept."""


class Words(Completer):
    """Commands, and what stands behind them."""

    def __init__(self, models: Callable[[], list[str]]) -> None:
        self._models = models
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        word, space, rest = document.text_before_cursor.partition(" ")
        if not word.startswith("/") or "\n" in document.text:
            return
        if not space:
            words = (f"/{each} " if each in ARGUMENTS else f"/{each}" for each in COMMANDS)
            yield from _beginning(word, words)
        elif word == "/model":
            yield from _beginning(rest, self._models())
        elif word == "/save":
            yield from self._paths.get_completions(Document(rest), complete_event)


def _beginning(begun: str, words: Iterable[str]) -> Iterator[Completion]:
    return (Completion(word, -len(begun)) for word in words if word.startswith(begun))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-@")
    def _(event: KeyPressEvent) -> None:
        """Selects nothing: it is what becomes of a Ctrl-D that was pressed while an answer came."""

    return keys


class Prompt:
    """Where questions are typed. Made by `opened`."""

    interactive = True
    edits = True

    def __init__(self, screen: Screen, past: Past, signals: Signals) -> None:
        self.left = 0
        self._signals = signals
        self._output = Vt100_Output.from_pty(sys.stderr if screen.err_terminal else sys.stdout)
        self._output.enable_cpr = False  # what answers it may come when nobody reads, and be taken for typed
        self._session: PromptSession[str] = PromptSession(
            output=self._output,
            history=past,
            completer=Words(lambda: past.models),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,  # a menu would need room, and push away what stands above
            key_bindings=_keys(),
            enable_suspend=True,
            enable_open_in_editor=True,
            tempfile_suffix=".md",
            color_depth=None if screen.err_color else ColorDepth.DEPTH_1_BIT,
        )

    @classmethod
    @contextmanager
    def opened(cls, screen: Screen, past: Past, signals: Signals) -> Iterator[Prompt]:
        """For as long as the context lasts."""
        prompt = cls(screen, past, signals)
        try:
            yield prompt
        finally:
            prompt._pastes(False)

    async def line(self, draft: str, *, edits: bool) -> str | None:
        """What is typed, `draft` standing there first; None where one leaves, with the exit code `left`."""
        text: str | None = None
        sign = "edit> " if edits else "> "
        async with anyio.create_task_group() as tasks:

            def heed() -> None:
                tasks.start_soon(self._heed)

            try:
                text = await self._session.prompt_async(
                    [("bold", sign)],
                    default=draft,
                    prompt_continuation=" " * len(sign),
                    set_exception_handler=False,
                    handle_sigint=False,
                    pre_run=heed,
                )
            except KeyboardInterrupt:
                text = ""
            except EOFError:
                pass
            except OSError:  # the terminal is gone
                self.left = self.left or HANG_UP
            tasks.cancel_scope.cancel()
        self._pastes(True)
        return text

    async def _heed(self) -> None:
        """Leaves the prompt when a signal comes."""
        async for number in self._signals:
            if number == signal.SIGQUIT:
                continue
            future = self._session.app.future
            if number != signal.SIGINT:
                self.left = 128 + number
            if future and not future.done():
                future.set_exception(KeyboardInterrupt() if number == signal.SIGINT else EOFError())
            return

    def _pastes(self, wanted: bool) -> None:
        """Whether the terminal says where a paste begins and ends, also while an answer comes: it is one question."""
        with suppress(OSError):
            (self._output.enable_bracketed_paste if wanted else self._output.disable_bracketed_paste)()
            self._output.flush()
