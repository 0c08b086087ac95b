"""What a terminal has wrapped by itself, because it was resized, and what of that can be drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ptstream.cli.columns import row_begins
from ptstream.cli.rows import Line, Place, Row
from ptstream.cli.wrapping import SGR


class Wrapped(NamedTuple):
    """What stands between the place that all before it is final of, and the place that is drawn next.

    It was pushed off the screen, or the terminal has wrapped its row since, and cannot be drawn again. It may have
    been drawn before it was known what it is: how many characters it is of the text now is looked up at each drawing.
    """

    raw: str = ""
    above: str = ""
    """What stands in the rows above, and still belongs to the first row when the terminal is resized again."""
    lead: str | None = None
    """What comes after that, at the first row's beginning."""

    def again(self, row: Row, columns: int, count: int) -> tuple[Row, Wrapped]:
        """This row as the terminal wraps it now, of which so many rows can be reached, and what is before them."""
        text = self.above + SGR.sub("", row.text)
        start, drawn = row_begins(text, columns)[-count], len(self.above) + row.indent
        if not start and self.lead is None:
            return row, self
        lead = text[start : max(start, drawn)]
        wrapped = Wrapped(self.raw + text[drawn : max(start, drawn)], text[:start], lead)
        return row._replace(text=text[start:], indent=len(lead)), wrapped

    def below(self, row: Row, place: Place, columns: int, count: int) -> tuple[Row, Wrapped]:
        """This row, to the end of which is added what comes at that place; so many rows of it can be reached."""
        text = SGR.sub("", row.text)
        start = row_begins(text, columns)[-count]
        row = Row(text[start:], row.end, place, len(text) - start)
        return row, self._replace(above=text[:start], lead=text[start:])

    def end(self, lines: Sequence[Line], begin: Place) -> Place:
        """Where it ends in these lines, if it begins there: a mark that was shown may not be shown any more."""
        if not self.raw or begin.line >= len(lines):
            return begin
        text, at = lines[begin.line].text, begin.character
        for character in self.raw:
            while character != " " and text[at : at + 1] == " ":  # at the end of a row there was none
                at += 1
            at += text[at : at + 1] == character
        return begin._replace(character=at)
