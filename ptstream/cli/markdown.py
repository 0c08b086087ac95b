"""Markdown on a terminal, while it is being written.

A row that no further text can change is printed once and never touched again: it can be scrolled back to and
copied, and survives every resize. Below it stands the tail: the row that is being written, a table whose columns
are not known yet, a paragraph from an asterisk on that may still begin emphasis, which reaches no further than the
screen has room for. Of the tail only what changes is drawn again, at most `FRAMES` times a second. This module makes
strings; writing them, and asking for one while no text comes, is left to `screen.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ptstream.cli.columns import erased
from ptstream.cli.columns import height as cells_high
from ptstream.cli.control_sequences import Filter
from ptstream.cli.markdown_source import Source
from ptstream.cli.rows import Place, Room, Row, rows, words_end
from ptstream.cli.wrapped import Wrapped
from ptstream.cli.wrapping import SGR

FRAMES = 15
"""How often a second the terminal is written to, at most."""

LEAST = 10
"""Columns that a text is wrapped to, at least."""


class Rendered:
    """Takes a model's text in pieces and gives back what to write to a terminal, control sequences included.

    `size` gives the terminal's columns and lines as they are now, `clock` the time in seconds. Whoever writes
    anything else to the terminal calls `hide` first. `reflows` is whether the terminal wraps its rows again when it is
    resized; else it cuts them.
    """

    pause = 1 / FRAMES
    """Seconds after which `draw` may have something to show, when nothing has come."""

    def __init__(
        self, size: Callable[[], tuple[int, int]], clock: Callable[[], float], *, reflows: bool = True
    ) -> None:
        self._size = size
        self._reflows = reflows
        self._clock = clock
        self._filter = Filter()
        self._source = Source()
        self._begin = Place(0)  # what stands before it is final, of the lines that are not printed to their end
        self._wrapped = Wrapped()  # what stands before it in the same row
        self._above = 0  # rows that were printed
        self._tail: list[Row] = []
        self._hides = False  # whether rows above the tail are not shown: there is no room
        self._drawn_for = (0, 0)
        self._width = 0  # of the terminal when the tail was drawn
        self._is_cut = False  # whether the terminal was narrower since, and has cut the tail's rows
        self._due = float("-inf")
        self._stale = False

    def feed(self, text: str) -> str:
        """Takes the next piece."""
        self._source.add(self._filter.feed(text))
        self._stale = True
        return self.draw()

    def draw(self) -> str:
        """Shows what is not shown yet, unless the last time was less than a frame ago."""
        begun = self._clock()
        size = self._size()
        self._is_cut = self._is_cut or (not self._reflows and size[0] < self._width)
        if begun < self._due or not (self._stale or self._is_cut or size != self._drawn_for):
            return ""
        shown = self._redrawn()
        self._stale = False
        now = self._clock()
        # A long block takes long: the more, the seldomer, so that four fifths of the time are left to others.
        self._due = now + max(self.pause, 4 * (now - begun))
        return shown

    def hide(self) -> str:
        """Takes away what is not final, and leaves the cursor at the beginning of a line."""
        left = self._leave_unreachable()
        tail, self._tail = self._tail, []
        self._wrapped = self._wrapped._replace(above="")
        self._stale = True
        return left + (erased([row.text for row in tail], self._columns) if tail else "")

    def part(self) -> str:
        """Makes final what stands there, as far as it can be, for somebody who goes on writing below it."""
        self._stale = True
        return self._redrawn(part=True)

    def end(self) -> str:
        """Shows everything, in its final form. Another text may follow."""
        self._source.add(self._filter.end())
        shown = self._redrawn(final=True)
        self._source, self._begin = Source(), Place(0)
        self._stale = False
        return shown

    def _redrawn(self, *, part: bool = False, final: bool = False) -> str:
        """Shows the finished lines and what stands below them now; all, or a part of that, as final."""
        left = self._leave_unreachable()
        columns, height = self._drawn_for = self._size()
        room = room_in(columns, height)
        finished = self._source.finished(room, final)
        lines, settled = self._source.tail(room)
        lines = [*finished, *lines]
        settled = words_end(lines, Place(settled.line + len(finished), settled.character))
        begin = self._wrapped.end(lines, self._begin)
        if part:
            drawn, tail = list(rows(lines, begin, room, settled, self._wrapped.lead)), list[Row]()
        else:
            drawn = list(rows(lines, begin, room, lead=self._wrapped.lead))
            stay = sum(row.end < settled or row.end == (settled.line, 0) for row in drawn)
            drawn, tail = drawn[:stay], drawn[stay:]
        if drawn:
            self._begin, self._wrapped = max(self._begin, drawn[-1].end), Wrapped()
            self._above += len(drawn)
        self._begin = max(self._begin.moved(-len(finished)), Place(0))
        tail = [row.moved(-len(finished)) for row in tail]
        fitting = _fitting(tail, columns, room.height)
        self._hides = len(fitting) < len(tail)
        changed = self._changed([row.text for row in drawn], fitting)
        self._width, self._is_cut = columns, False
        return left + changed

    @property
    def _columns(self) -> int:
        """Those that the tail's rows are wrapped to on the terminal, as it is now."""
        return self._size()[0] if self._reflows else self._width

    def _changed(self, final: list[str], tail: list[Row]) -> str:
        """Puts these rows in the place of the tail, of which nothing is touched that stays as it is."""
        before, after = [row.text for row in self._tail], [*final, *(row.text for row in tail)]
        self._tail = tail
        if self._is_cut and before:
            return erased(before, self._columns) + "\n".join(after) + ("\n" if after and not tail else "")
        same = next(
            (at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
            min(len(before), len(after)),
        )
        end = "\n" if after and not tail else ""
        if same == len(before):
            gap = "\n" if before and after[same:] else ""
            return gap + "\n".join(after[same:]) + (end if after else "")
        if same == len(before) - 1 and same < len(after) and after[same].startswith(before[same]):
            return "\n".join([after[same][len(before[same]) :], *after[same + 1 :]]) + end
        # With fewer rows than before, the last that stays is drawn again: the cursor has to stand at its end.
        same -= same == len(after) > 0
        return erased(before[same:], self._columns) + "\n".join(after[same:]) + end

    def _leave_unreachable(self) -> str:
        """Takes for final what a resize has pushed off the screen: it cannot be drawn again.

        Gives back the end of the line where the cursor stands, if that is final, too.
        """
        size = self._size()
        if size == self._drawn_for or self._hides:
            return ""
        columns, tail = self._columns, self._tail
        reachable = self._reachable(columns, size[1])
        for at in range(len(tail) - 1, -1, -1):
            row, before = tail[at], self._wrapped if at == 0 else Wrapped()
            needed = cells_high(before.above + row.text, columns)
            if row.begin and reachable > 0 and (needed > reachable or before.above):
                self._take(tail[:at], row.begin)
                row, self._wrapped = self._wrapped.again(row, columns, min(needed, reachable))
                self._tail = [row, *tail[at + 1 :]]
                return ""
            # A row of a table goes as a whole, but for the last, which may be added to.
            stop = next((number for number in range(at, len(tail)) if tail[number].end != row.end), len(tail))
            if needed > reachable and stop < len(tail):
                self._take(tail[:stop], row.end)
                self._tail = tail[stop:]
                return ""
            if needed > reachable and row.goes_on:
                self._begin, raw = row.goes_on
                last = tail[-1]
                if not SGR.sub("", last.text).endswith(raw.split(" ")[-1]):
                    self._wrapped, self._tail = Wrapped(raw), []
                    return "\n"
                count = min(cells_high(last.text, columns), max(reachable, 1) if at == len(tail) - 1 else size[1])
                row, self._wrapped = Wrapped(raw).below(last, self._begin, columns, count)
                self._tail = [row]
                return ""
            reachable -= needed
        return ""

    def _take(self, final: Sequence[Row], end: Place) -> None:
        """Takes these rows for final, the tail's first, which reach up to this place."""
        if not final:
            return
        raw = [row.raw for row in final if row.begin and row.begin.line == end.line]
        if self._begin.line < end.line:
            self._begin, self._wrapped = Place(end.line), Wrapped()
        self._wrapped = Wrapped(raw="".join([self._wrapped.raw, *raw]))

    def _reachable(self, columns: int, height: int) -> int:
        """How many rows above the cursor's end are certainly still on the screen, its own among them.

        A screen that becomes narrower wraps rows. tmux pushes as many off its top, be it empty below the cursor.
        """
        lines = [self._wrapped.above + row.text if not at else row.text for at, row in enumerate(self._tail)]
        before = sum(cells_high(line, self._drawn_for[0]) for line in lines)
        now = sum(cells_high(line, columns) for line in lines)
        return min(height, now - max(0, now - before - self._above))


def reflows(environ: Mapping[str, str]) -> bool:
    """Whether the terminal wraps its rows again when it is resized; of one that is not known, it is taken that it does.

    Neither the Linux console does nor xterm nor GNU screen; what runs inside of them may.
    """
    if environ.get("TERM", "") == "linux":
        return False
    inside = ("TMUX", "VTE_VERSION", "TERM_PROGRAM", "KONSOLE_VERSION", "WT_SESSION")
    cuts = environ.get("STY") or (environ.get("XTERM_VERSION") and environ.get("TERM", "").startswith("xterm"))
    return not cuts or any(map(environ.get, inside))


def room_in(columns: int, lines: int) -> Room:
    """What is drawn in, of a terminal of that size: a row that is full would be wrapped by some."""
    return Room(max(columns - 1, LEAST), max(lines - 1, 1))


def _fitting(tail: list[Row], columns: int, room: int) -> list[Row]:
    """The last of these rows that fit into so many of the terminal, and at least the last."""
    for at in range(len(tail) - 1, -1, -1):
        room -= cells_high(tail[at].text, columns)
        if room < 0:
            return tail[min(at + 1, len(tail) - 1) :]
    return tail
