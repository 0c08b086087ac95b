"""A terminal of which tests read what it shows, its scrollback included."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pyte
from wcwidth import wcwidth

from ptstream.cli.columns import cells


class Emulator(pyte.HistoryScreen):
    """pyte, told how wide each character is: it drops the rest of a run at some marks.

    `spacing` is what a spacing mark (Mc) takes, on which terminals do not agree: 0 in tmux, 1 in xterm and VTE.
    """

    def __init__(self, columns: int, lines: int, spacing: int = 0) -> None:
        self._spacing = spacing
        super().__init__(columns, lines, history=100_000, ratio=1)
        self._stream = pyte.Stream(self)

    def feed(self, text: str) -> None:
        """What is written to the terminal, by a program that leaves the ends of lines to it."""
        self.feed_raw(text.replace("\n", "\r\n"))

    def feed_raw(self, text: str) -> None:
        """What comes out of a pseudo-terminal."""
        self._stream.feed(text)

    @property
    def above(self) -> list[str]:
        """The rows of the scrollback."""
        return [self._text(row) for row in self.history.top]

    @property
    def rows(self) -> list[str]:
        """All rows, without the empty ones at the end."""
        rows = [*self.above, *(self._text(self.buffer[y]) for y in range(self.lines))]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _text(self, row: Any) -> str:
        return "".join(row[x].data for x in range(self.columns)).rstrip()

    def draw(self, data: str) -> None:
        for character in data:
            cells = self._cells(character)
            if not cells:
                self._mark(character)
                continue
            if self.cursor.x + cells > self.columns:
                self.carriage_return()
                self.linefeed()
            line = self.buffer[self.cursor.y]
            line[self.cursor.x] = self.cursor.attrs._replace(data=character)
            if cells == 2:
                line[self.cursor.x + 1] = self.cursor.attrs._replace(data="")
            self.cursor.x += cells

    def _cells(self, character: str) -> int:
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Cf"):
            return 0
        return self._spacing if category == "Mc" else max(wcwidth(character), 0)

    def _mark(self, character: str) -> None:
        y, x = self.cursor.y, self.cursor.x - 1
        if x >= 0:
            last = self.buffer[y][x]
            self.buffer[y][x] = last._replace(data=last.data + character)


class Cutting(Emulator):
    """A terminal that cuts its rows where it becomes narrower, and wraps none again, as xterm and the Linux console."""

    def widen(self, columns: int) -> None:
        """Or narrow it."""
        for row in self.buffer.values():
            for x in [x for x in row if x >= columns]:
                del row[x]
        self.columns = columns
        self.cursor.x = min(self.cursor.x, columns - 1)


class Reflowing:
    """A terminal that wraps its lines again when it is resized, as most do. Knows what `Rendered` may send only."""

    def __init__(self, columns: int, height: int = 1000) -> None:
        self.columns = columns
        self.height = height
        self.lines = [""]

    @property
    def size(self) -> tuple[int, int]:
        return self.columns, self.height

    def feed(self, text: str) -> None:
        for part in re.findall(r"\r(?:\x1b\[2K\x1b\[A)*\x1b\[2K|\x1b\[[\d;]*m|\n|[^\x1b\r\n]+|.", text):
            if part == "\n":
                self.lines.append("")
            elif part[0] == "\r":
                self._erase(min(part.count("2K"), self.height))
            elif part[0] != "\x1b":
                self.lines[-1] += part
            else:
                assert part.endswith("m"), part

    def _erase(self, rows: int) -> None:
        """The last rows. They must be whole lines, unless they reach up to the top of the screen."""
        while rows > 0:
            line = self.lines.pop()
            begins = self._rows(line)
            rows -= len(begins)
            if rows < 0:
                self.lines.append(line[: begins[-rows]])  # what comes goes on with it
                return
        self.lines.append("")

    def _rows(self, line: str) -> list[int]:
        """Where the rows begin that a line is wrapped to."""
        begins, used = [0], 0
        for at, character in enumerate(line):
            width = cells(character)
            if used + width > self.columns:
                begins.append(at)
                used = 0
            used += width
        return begins
