"""Lines of a text as rows of a terminal, and places in the text, whatever width it is wrapped to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ptstream.cli.wrapping import SGR, Span, ends, last_piece, most_cells, painted, painted_rows


class Place(NamedTuple):
    """A place in lines: before this character of that line."""

    line: int
    character: int = 0

    def moved(self, lines: int) -> Place:
        """The same place where so many more lines stand before it."""
        return self._replace(line=self.line + lines)


class Row(NamedTuple):
    """A row of the terminal, and the place where the next one begins."""

    text: str
    end: Place
    begin: Place | None = None
    """The place of its first character that is the text's, of a line that is wrapped; `indent` others come before."""
    indent: int = 0
    goes_on: tuple[Place, str] | None = None
    """Of what is drawn together and may be added to: the place of the line that is, and its text."""

    @property
    def raw(self) -> str:
        """Its characters that are the text's."""
        return SGR.sub("", self.text)[self.indent :]

    def moved(self, lines: int) -> Row:
        """The same row where so many more lines stand before it."""
        begin = self.begin and self.begin.moved(lines)
        goes_on = self.goes_on and (self.goes_on[0].moved(lines), self.goes_on[1])
        return self._replace(end=self.end.moved(lines), begin=begin, goes_on=goes_on)


class Room(NamedTuple):
    """Columns and rows that may be drawn in."""

    width: int
    height: int

    def beside(self, before: str) -> Room:
        """What is left of a row beside what stands before it."""
        return self._replace(width=max(self.width - most_cells(SGR.sub("", before)), 4))


class Line(NamedTuple):
    """A line of the text, before it is wrapped."""

    spans: Sequence[Span] = ()
    first: str = ""
    """What stands before its first row; `rest` before the others, as wide."""
    rest: str = ""
    is_code: bool = False
    """Whether the terminal wraps it if it must, so that it can be copied as one."""
    drawn: Sequence[str] | None = None
    """Its rows as they are, if they can only be drawn together; they stand for `lines`, this one and those below."""
    lines: int = 1
    below: int = 0
    """How far below it the one of them stands that may be added to, if one may."""

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.spans)


def rows(
    lines: Sequence[Line], begin: Place, room: Room, stop: Place | None = None, lead: str | None = None
) -> Iterator[Row]:
    """The rows of these lines from one place on, and up to another.

    With a `lead` the first goes on with a row that the terminal has wrapped, of which that is left before this place.
    """
    width, after = room.width, begin.line
    for number in range(begin.line, len(lines) if stop is None else min(len(lines), stop.line + 1)):
        if number < after:
            continue
        line, at = lines[number], begin.character if number == begin.line else 0
        last = stop.character if stop and number == stop.line else None
        if last == 0:
            return
        after = number + line.lines
        if line.drawn is not None:
            goes_on = (Place(number + line.below), lines[number + line.below].text) if line.below else None
            for count, text in enumerate(line.drawn):
                yield Row(f"{line.rest if count else line.first}{text}".rstrip(), Place(after), goes_on=goes_on)
        elif line.is_code:
            if last is None:
                # What the terminal wraps is only ever added to: plain, as colours change while a word is written.
                wide, before = most_cells(line.text) > width, lead or "" if number == begin.line else ""
                text = before + (line.text[at:].rstrip() if wide else painted(line.spans, at))
                yield Row(text, Place(number + 1), Place(number, at), len(before))
        else:
            yield from _wrapped(line, number, at, width, last, lead if number == begin.line else None)


def _wrapped(line: Line, number: int, at: int, width: int, last: int | None, lead: str | None) -> Iterator[Row]:
    text = line.text[:last]
    at += len(text[at:]) - len(text[at:].lstrip(" ")) if at and lead is None else 0
    if at and at >= len(text) and not lead:
        return
    indent = most_cells(SGR.sub("", line.first))
    before, rest = (line.first, line.rest) if indent <= width // 2 else ("", "")
    room = width - indent if before else width
    if lead is not None:
        before = lead
    elif at:
        before = rest
    stops = ends(text, room, at)
    after = Place(number + 1) if last is None else Place(number, stops[-1])
    for count, (stop, painted_row) in enumerate(zip(stops, painted_rows(line.spans, at, stops), strict=True), 1):
        is_last = count == len(stops)
        row = before + painted_row
        end = after if is_last else Place(number, stop)
        yield Row(row.rstrip() if is_last else row, end, Place(number, at), len(SGR.sub("", before)))
        at, before = stop, rest


def words_end(lines: Sequence[Line], place: Place) -> Place:
    """Where the word begins that this place stands in or after: a row that ends before it ends there for ever."""
    if place.line >= len(lines) or not place.character:
        return place
    return Place(place.line, last_piece(lines[place.line].text[: place.character]))
