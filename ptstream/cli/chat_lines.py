"""The questions of `ptstream chat` where there is no terminal to type them at: a line each."""

from __future__ import annotations

import signal

from ptstream.cli.detach import Signals, left_by
from ptstream.cli.stdin import next_bytes


class Lines:
    """Standard input, a line at a time. The first question that fails is the last one."""

    interactive = False

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._data = bytearray()
        self._ended = False
        self.left = 0

    async def line(self, draft: str, *, edits: bool) -> str | None:
        """The next line; None at the end, or when a signal came, whose exit code is `left`."""
        if number := await left_by(self._signals, self._read):
            self.left = 128 + signal.Signals(number)
            return None
        if not self._data:
            return None
        line, _, self._data = self._data.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def _read(self) -> None:
        while not (self._ended or b"\n" in self._data):
            data = await next_bytes()
            self._ended = not data
            self._data += data
