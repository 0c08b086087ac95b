"""The demo's two panes: one stream, on the left as it comes, on the right as it is kept.

Where the text and the counts come from is the caller's business. Without a terminal there is nothing to watch: then
only the end is shown.
"""

from __future__ import annotations

import anyio
from wcwidth import ljust, wrap

from ptstream.cli.columns import cut, erased
from ptstream.cli.control_sequences import Filter
from ptstream.cli.screen import Screen

FRAMES = 15
"""How often a second the panes are drawn, at most."""

_NARROW = 60
"""Columns below which the panes stand one above the other."""

_LOW = 8
"""Lines below which there is no room for that."""

_ROWS = 16
"""Rows of text in a pane, at most."""


class Panes:
    """Two panes on `screen`, each with its text's end and its count.

    Taking text never waits for the terminal: `redraw` shows what there is.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._panes = _Pane("every piece, as it comes", "pieces"), _Pane("whole sentences, from the database", "rows")
        self._lines: list[str] = []

    def left(self, text: str) -> None:
        """Takes a piece as it came."""
        self._panes[0].add(text)

    def right(self, text: str) -> None:
        """Takes what came out of the database."""
        self._panes[1].add(text)

    def counts(self, pieces: int, rows: int) -> None:
        """Takes how many pieces came, and how many rows of the database hold them."""
        self._panes[0].count, self._panes[1].count = pieces, rows

    async def redraw(self) -> None:
        """Shows what changes. Runs until it is cancelled."""
        while self._screen.terminal:
            await self.draw()
            await anyio.sleep(1 / FRAMES)

    async def draw(self) -> None:
        """Shows how it is now, where there is a terminal."""
        if not self._screen.terminal:
            return
        columns, lines = self._screen.size
        drawn = self._laid_out(columns, lines)
        if drawn != self._lines:
            before = erased(self._lines, columns) if self._lines else ""
            self._lines = drawn
            await self._screen.draw(before + "\n".join(drawn))

    async def finish(self) -> None:
        """Shows how it ended, and leaves the cursor below. To be called when `redraw` runs no more."""
        if self._screen.terminal:
            await self.draw()
            await self._screen.draw("\n")
        else:
            await self._screen.show(
                "".join(f"{pane.title}: {pane.counted}, {pane.size:,} bytes\n" for pane in self._panes)
            )

    def _laid_out(self, columns: int, lines: int) -> list[str]:
        left, right = self._panes
        styled = self._screen.color
        if columns < _NARROW and lines >= _LOW:
            rows = max(1, min(_ROWS, (lines - 2) // 2 - 2))
            return left.shown(columns - 1, rows, styled) + right.shown(columns - 1, rows, styled)
        width, rows = (columns - 4) // 2, max(1, min(_ROWS, lines - 4))
        both = zip(left.shown(width, rows, styled), right.shown(width, rows, styled), strict=True)
        return [f"{one} │ {other}" for one, other in both]


class _Pane:
    """A title, the end of a text, and a count."""

    def __init__(self, title: str, unit: str) -> None:
        self.title = title
        self.unit = unit
        self.count = 0
        self.size = 0
        self._text = ""
        self._filter = Filter()

    @property
    def counted(self) -> str:
        """The count and what it counts."""
        return f"{self.count:,} {self.unit if self.count != 1 else self.unit.removesuffix('s')}"

    def add(self, text: str) -> None:
        """Adds to the text."""
        self.size += len(text.encode("utf-8", "replace"))
        self._text += self._filter.feed(text)

    def shown(self, width: int, rows: int, styled: bool) -> list[str]:
        """Title, `rows` rows of text and count, each exactly `width` cells wide."""
        # A paragraph takes a row at least: those before the last `rows` cannot be seen.
        paragraphs = self._text.split("\n")[-rows:]
        text = [row for paragraph in paragraphs for row in wrap(paragraph, width) or [""]][-rows:]
        plain = [self.title, *text, *[""] * (rows - len(text)), self.counted]
        title, *text, count = (ljust(cut(line, width), width) for line in plain)
        return [f"\x1b[1m{title}\x1b[0m", *text, f"\x1b[2m{count}\x1b[0m"] if styled else [title, *text, count]
