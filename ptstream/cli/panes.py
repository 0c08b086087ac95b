"""The demo's two panes: one stream, on the left as it comes, on the right as it is kept.

Where the text and the counts come from is the caller's business. Without a terminal there is nothing to watch: then
only the end is told.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from wcwidth import ljust, wrap

from ptstream.cli.screen import Screen, cut, erased
from ptstream.cli.untrusted import Filter

FRAMES = 15
"""How often a second the panes are drawn, at most."""

_NARROW = 60
"""Columns below which the panes stand one above the other."""

_ROWS = 16
"""Rows of text in a pane, at most."""


class Panes:
    """Two panes on `screen`, each with its text's end and its count. `clock` tells the time in seconds."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._panes = _Pane("every piece, as it comes", "pieces"), _Pane("whole sentences, from the database", "rows")
        self._lines: list[str] = []
        self._due = float("-inf")

    def left(self, text: str) -> None:
        """Adds a piece as it came."""
        self._panes[0].add(text)
        self._draw()

    def right(self, text: str) -> None:
        """Adds what came out of the database."""
        self._panes[1].add(text)
        self._draw()

    def counts(self, pieces: int, rows: int) -> None:
        """How many pieces came, and how many rows of the database hold them."""
        self._panes[0].count, self._panes[1].count = pieces, rows
        self._draw()

    def finish(self) -> None:
        """Shows how it ended, and leaves the cursor below."""
        if self._screen.terminal:
            self._due = float("-inf")
            self._draw()
            self._screen.draw("\n")
        else:
            self._screen.text("".join(f"{pane.title}: {pane.counted}, {pane.size} bytes\n" for pane in self._panes))

    def _draw(self) -> None:
        if not self._screen.terminal or self._clock() < self._due:
            return
        columns, lines = self._screen.size
        before = erased(self._lines, columns) if self._lines else ""
        self._lines = self._laid_out(columns, lines)
        self._screen.draw(before + "\n".join(self._lines))
        self._due = self._clock() + 1 / FRAMES

    def _laid_out(self, columns: int, lines: int) -> list[str]:
        left, right = self._panes
        styled = self._screen.color
        if columns < _NARROW:
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
        return f"{self.count:,} {self.unit}"

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
        title, *text, counted = (ljust(cut(line, width), width) for line in plain)
        return [f"\x1b[1m{title}\x1b[0m", *text, f"\x1b[2m{counted}\x1b[0m"] if styled else [title, *text, counted]
