"""Markdown on a terminal, while it is being written.

A row that no further text can change is printed once and never touched again: it can be scrolled back to and
copied, and survives every resize. Below it stands the tail: the row that is being written, a table whose columns
are not known yet, a paragraph from an asterisk on that may still begin emphasis. Of the tail only what changes is
drawn again, at most `FRAMES` times a second. This module makes strings; writing them, and asking for one while no
text comes, is left to `screen.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from markdown_it.token import Token

from ptstream.cli.columns import erased
from ptstream.cli.columns import height as cells_high
from ptstream.cli.control_sequences import Filter
from ptstream.cli.markdown_blocks import Block, groups
from ptstream.cli.markdown_syntax import parser
from ptstream.cli.rendering import Line, Place, Rendering, Room, Row, rows, words_end

FRAMES = 15
"""How often a second the terminal is written to, at most."""

LEAST = 10
"""Columns that a text is wrapped to, at least."""


class Rendered:
    """Takes a model's text in pieces and gives back what to write to a terminal, control sequences included.

    `size` gives the terminal's columns and lines as they are now, `clock` the time in seconds. Whoever writes
    anything else to the terminal calls `hide` first.
    """

    pause = 1 / FRAMES
    """Seconds after which `draw` may have something to show, when nothing has come."""

    def __init__(self, size: Callable[[], tuple[int, int]], clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._filter = Filter()
        self._blocks = _Blocks()
        self._begin = Place(0)  # what stands before it is final, of the lines that are not printed to their end
        self._tail: list[Row] = []
        self._hides = False  # whether rows above the tail are not shown: there is no room
        self._drawn_for = (0, 0)
        self._due = float("-inf")
        self._stale = False

    def feed(self, text: str) -> str:
        """Takes the next piece."""
        self._blocks.add(self._filter.feed(text))
        self._stale = True
        return self.draw()

    def draw(self) -> str:
        """Shows what is not shown yet, unless the last time was less than a frame ago."""
        begun = self._clock()
        size = self._size()
        if begun < self._due or not (self._stale or size != self._drawn_for):
            return ""
        shown = self._redrawn()
        self._stale = False
        now = self._clock()
        # A long block takes long: the more, the seldomer, so that four fifths of the time are left to others.
        self._due = now + max(self.pause, 4 * (now - begun))
        return shown

    def hide(self) -> str:
        """Takes away what is not final, and leaves the cursor at the beginning of a line."""
        self._leave_unreachable()
        tail, self._tail = self._tail, []
        self._stale = True
        return erased([row.text for row in tail], self._size()[0]) if tail else ""

    def part(self) -> str:
        """Makes final what stands there, as far as it can be, for somebody who goes on writing below it."""
        self._stale = True
        return self._redrawn(part=True)

    def end(self) -> str:
        """Shows everything, in its final form. Another text may follow."""
        self._blocks.add(self._filter.end())
        shown = self._redrawn(final=True)
        self._blocks, self._begin = _Blocks(), Place(0)
        self._stale = False
        return shown

    def _redrawn(self, *, part: bool = False, final: bool = False) -> str:
        """Shows the finished lines and what stands below them now; all, or a part of that, as final."""
        self._leave_unreachable()
        columns, height = self._drawn_for = self._size()
        room = Room(max(columns - 1, LEAST), max(height - 1, 1))
        finished = self._blocks.finished(room, final)
        lines, settled = self._blocks.tail(room)
        lines = [*finished, *lines]
        settled = words_end(lines, Place(settled.line + len(finished), settled.character))
        if part:
            drawn, tail = list(rows(lines, self._begin, room, settled)), list[Row]()
        else:
            drawn = list(rows(lines, self._begin, room))
            stay = sum(row.end < settled or row.end == (settled.line, 0) for row in drawn)
            drawn, tail = drawn[:stay], drawn[stay:]
        if drawn:
            self._begin = max(self._begin, drawn[-1].end)
        self._begin = Place(*max((self._begin.line - len(finished), self._begin.character), (0, 0)))
        tail = [Row(row.text, Place(row.end.line - len(finished), row.end.character)) for row in tail]
        fitting = _fitting(tail, columns, room.height)
        self._hides = len(fitting) < len(tail)
        return self._changed([row.text for row in drawn], fitting)

    def _changed(self, final: list[str], tail: list[Row]) -> str:
        """Puts these rows in the place of the tail, of which nothing is touched that stays as it is."""
        before, after = [row.text for row in self._tail], [*final, *(row.text for row in tail)]
        self._tail = tail
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
        return erased(before[same:], self._size()[0]) + "\n".join(after[same:]) + end

    def _leave_unreachable(self) -> None:
        """Takes for final what a resize has pushed off the screen: it cannot be drawn again."""
        columns, height = self._size()
        if (columns, height) == self._drawn_for or self._hides:
            return
        reachable, tail = height, self._tail
        for at in range(len(tail) - 1, -1, -1):
            reachable -= cells_high(tail[at].text, columns)
            if reachable < 0 and tail[at].end != tail[min(at + 1, len(tail) - 1)].end:
                self._begin, self._tail = tail[at].end, tail[at + 1 :]
                return


def _fitting(tail: list[Row], columns: int, room: int) -> list[Row]:
    """The last of these rows that fit into so many of the terminal, and at least the last."""
    for at in range(len(tail) - 1, -1, -1):
        room -= cells_high(tail[at].text, columns)
        if room < 0:
            return tail[min(at + 1, len(tail) - 1) :]
    return tail


class _Blocks:
    """The text that is not printed yet, and what it stands in and below."""

    def __init__(self) -> None:
        self._parser = parser()
        self._source = ""
        self._new: list[str] = []
        self._below = False  # whether there is a block above it
        self._fence: _Fence | None = None  # whose first lines are printed
        self._number: int | None = None  # of the next item, in a list whose first items are printed

    def add(self, text: str) -> None:
        """Takes more text."""
        self._new.append(text)

    def finished(self, room: Room, final: bool = False) -> list[Line]:
        """Gives out the blocks that no further text can change, or everything.

        A line without its end can still become anything: it is left for the tail.
        """
        *lines, incomplete = "".join([self._source, *self._new]).split("\n")
        self._new.clear()
        if final and incomplete:
            lines, incomplete = [*lines, incomplete], ""
        rendering = Rendering(self._below, room)
        self._source = "\n".join([*self._print(rendering, lines, final), incomplete])
        self._below = rendering.used
        return rendering.lines

    def tail(self, room: Room) -> tuple[list[Line], Place]:
        """What is not given out yet, as it stands now, and as far as where no further text can change it."""
        rendering = Rendering(self._below, room)
        if not self._source.strip():
            return [], Place(0)
        if self._fence:
            if not self._fence.may_end_with(self._source):
                rendering.put_code(self._fence.code(self._source), self._fence.language)
        else:
            number = self._number
            for block in self._parsed(self._source):
                rendering.put_block(block, number)
                number = None
        return rendering.lines, rendering.settled

    def _print(self, rendering: Rendering, lines: list[str], final: bool) -> list[str]:
        """Prints those of the complete lines that are finished, or all; gives back the others."""
        while lines:
            used = self._print_code(rendering, lines) if self._fence else self._print_blocks(rendering, lines, final)
            if not used:
                break
            lines = lines[used:]
        return lines

    def _print_code(self, rendering: Rendering, lines: list[str]) -> int:
        """Prints code line by line, as far as the fence goes. How many lines that used."""
        assert self._fence
        for used, line in enumerate(lines, 1):
            if self._fence.ends_with(line):
                self._fence = None
                return used
            rendering.put_code(self._fence.code(line), self._fence.language)
        return len(lines)

    def _print_blocks(self, rendering: Rendering, lines: list[str], final: bool) -> int:
        """Prints blocks up to a fence, or up to the one that may go on. How many lines that used."""
        blocks = self._parsed("\n".join(lines))
        for block in blocks:
            is_last = block is blocks[-1]
            if block.kind == "fence":
                self._fence = _Fence.opened(block.tokens[0], lines[block.begin])
                rendering.put_gap()
                if is_last:
                    self._number = None
                    return block.begin + 1
                self._print_code(rendering, lines[block.begin + 1 : block.end])
                self._fence = None
            elif is_last and not final and not block.is_closed(len(lines)):
                return self._print_items(rendering, block)
            else:
                rendering.put_block(block, self._number)
            self._number = None
        return len(lines)

    def _print_items(self, rendering: Rendering, block: Block) -> int:
        """Prints all items but the last, if the block is a list. How many lines of the text that used."""
        *before, last = block.items() or [block]
        if before:
            rendering.put_block(block.without(last), self._number)
            self._number = (block.start if self._number is None else self._number) + len(before)
        return last.begin

    def _parsed(self, source: str) -> list[Block]:
        # An item by itself may be something else, the header of a table say: one stands before it, as in its list.
        item = _ITEM.match(source) if self._number is not None else None
        tokens = self._parser.parse(f"{item[0]} x\n{source}" if item else source)
        lines = source.split("\n")
        return [Block(group, lines) for group in groups(_without_first_item(tokens) if item else tokens, level=0)]


_ITEM = re.compile(r" *([-+*]|[0-9]{1,9}[.)])")
"""The beginning of a list's item (CommonMark 5.2)."""


def _without_first_item(tokens: list[Token]) -> list[Token]:
    """Of a list, whose first item is one line; the lines' numbers are those without it."""
    end = next(at for at, token in enumerate(tokens) if token.type == "list_item_close" and token.level == 1)
    rest = [tokens[0], *tokens[end + 1 :]]
    if rest[1].nesting < 0:  # there is no other item
        rest = rest[2:]
    for token in rest:
        if token.map:
            token.map = [max(0, line - 1) for line in token.map]
    return rest


class _Fence(NamedTuple):
    """A fence of the top level, printed line by line: an open one rendered again and again takes too long."""

    mark: str
    indent: int
    language: str

    @classmethod
    def opened(cls, token: Token, line: str) -> _Fence:
        """The fence that this line opens."""
        return cls(token.markup, len(line) - len(line.lstrip(" ")), token.info.partition(" ")[0])

    def ends_with(self, line: str) -> bool:
        """Whether this line closes it."""
        mark = line.strip()
        return len(mark) >= len(self.mark) and self.may_end_with(line)

    def may_end_with(self, line: str) -> bool:
        """Whether this beginning of a line may become one that closes it."""
        return not line.strip(f" \t{self.mark[0]}") and not line.startswith("    ") and bool(line.strip())

    def code(self, line: str) -> str:
        """The line as it is code."""
        return line[min(self.indent, len(line) - len(line.lstrip(" "))) :]
