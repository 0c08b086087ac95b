"""The questions of `ptstream chat` where no line can be edited, each a line: of a pipe, or of a plain terminal."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from ptstream import wire
from ptstream.cli.detach import Signals, left_by
from ptstream.cli.stdin import next_bytes
from ptstream.errors import TooLarge
from ptstream.ungrouped import ungrouped


class Lines:
    """Standard input, a line at a time; `interactive` where a person types them, at a terminal that draws nothing."""

    edits = False

    def __init__(self, signals: Signals, *, interactive: bool) -> None:
        self.interactive = interactive
        self.left = 0
        self._signals = signals
        self._data = bytearray()
        self._ended = False

    async def line(self, draft: str, *, edits: bool) -> str | None:
        """The next line; None at the end, or when a signal came, whose exit code is `left`. Raises TooLarge."""
        self._say("> ")
        with ungrouped():
            number = await left_by(self._signals, self._read)
        if self.interactive and number == signal.SIGINT:  # the terminal has dropped what was typed
            self._say("\n")
            return ""
        if number:
            self.left = 128 + signal.Signals(number)
            return None
        if not self._data:
            return None
        line, _, self._data = self._data.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _say(self, text: str) -> None:
        if self.interactive:
            with suppress(OSError):
                sys.stderr.write(text)
                sys.stderr.flush()

    async def _read(self) -> None:
        while not (self._ended or b"\n" in self._data):
            if len(self._data) > wire.MAX_BODY:
                raise TooLarge(
                    f"a question is a line, and may have {wire.MAX_BODY} bytes: to ask all of a file or a pipe, use"
                    " ptstream drive -p @FILE"
                )
            data = await next_bytes()
            self._ended = not data
            self._data += data
