"""Markdown that is there already, as rows: for a terminal, and for a pipe that asks for it."""

from __future__ import annotations

from collections.abc import Callable

from ptstream.cli.control_sequences import Filter
from ptstream.cli.markdown import room_in
from ptstream.cli.markdown_source import Source
from ptstream.cli.rows import Place, rows
from ptstream.cli.wrapping import SGR


class WholeMarkdown:
    """Takes a text in pieces and gives back its rows, as far as they are final; without `color` plain ones.

    What it gives is what `markdown.Rendered` leaves on a terminal of that `size` (columns, lines) at last.
    """

    def __init__(self, size: Callable[[], tuple[int, int]], *, color: bool) -> None:
        self._size = size
        self._color = color
        self._filter = Filter()
        self._source = Source()

    def feed(self, text: str) -> str:
        """Takes the next piece."""
        self._source.add(self._filter.feed(text))
        return self._rows()

    def end(self) -> str:
        """The rest. Another text may follow."""
        self._source.add(self._filter.end())
        rest, self._source = self._rows(final=True), Source()
        return rest

    def _rows(self, *, final: bool = False) -> str:
        room = room_in(*self._size())
        text = "".join(f"{row.text}\n" for row in rows(self._source.finished(room, final), Place(0), room))
        return text if self._color else SGR.sub("", text)
