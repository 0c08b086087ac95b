"""Markdown on a terminal, while it is being written.

A finished block is printed once, by rich, and never touched again: it can be scrolled back to and copied, and
survives every resize. Below it stands the tail, the end of the block that is being written; it is erased and
drawn again, at most `FRAMES` times a second. This module makes strings; writing them, and asking for one while
no text comes, is left to `screen.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from markdown_it.token import Token
from rich.syntax import Syntax
from rich.text import Text

from ptstream.cli.columns import erased
from ptstream.cli.control_sequences import Filter
from ptstream.cli.markdown_blocks import Block, groups, parser
from ptstream.cli.rendering import THEME, Rendering

FRAMES = 15
"""How often a second the terminal is written to, at most."""

TAIL = 4
"""Rows of the tail. On a terminal made half as wide it takes twice as many, which ten lines still hold."""

_LONG = 4096
"""Characters of an unfinished block from which on its tail is shown as it was written: rendering takes long."""


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
        self._tail: list[str] = []
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
        if not self._stale or begun < self._due:
            return ""
        columns, lines = self._size()
        finished = self._blocks.finished(columns)
        tail = self._blocks.tail(columns, min(TAIL, lines - 2))
        shown = self.hide() + finished + "\n".join(tail) if finished or tail != self._tail else ""
        self._tail = tail
        self._stale = False
        now = self._clock()
        # A long block takes long: the more, the seldomer, so that four fifths of the time are left to others.
        self._due = now + max(self.pause, 4 * (now - begun))
        return shown

    def hide(self) -> str:
        """Takes the tail away and leaves the cursor at the beginning of a line."""
        if not self._tail:
            return ""
        tail, self._tail = self._tail, []
        self._stale = True
        return erased(tail, self._size()[0])

    def end(self) -> str:
        """Shows everything, in its final form. Another text may follow."""
        self._blocks.add(self._filter.end())
        shown = self.hide() + self._blocks.finished(self._size()[0], final=True)
        self._blocks = _Blocks()
        self._stale = False
        return shown


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

    def finished(self, columns: int, final: bool = False) -> str:
        """Prints what no further text can change, or everything.

        A line without its end can still become anything: it is left for the tail.
        """
        *lines, incomplete = "".join([self._source, *self._new]).split("\n")
        self._new.clear()
        if final and incomplete:
            lines, incomplete = [*lines, incomplete], ""
        rendering = Rendering(columns, self._below)
        self._source = "\n".join([*self._print(rendering, lines, final), incomplete])
        self._below = rendering.used
        return "".join(f"{line}\n" for line in rendering.lines)

    def tail(self, columns: int, rows: int) -> list[str]:
        """The last rows of what is not printed, as it stands now."""
        if rows < 1 or not self._source.strip():
            return []
        rendering = Rendering(columns, self._below)
        if self._fence:
            if not self._fence.may_end_with(self._source):
                rendering.put(self._fence.code(self._source[-_LONG:]))
        elif len(self._source) > _LONG:
            rendering.put(Text(self._source[-_LONG:]))
        else:
            number = self._number
            for block in self._parsed(self._source):
                rendering.put_block(block, number)
                number = None
        gap = rendering.lines[:1] if rendering.lines[:1] == [""] else []
        return gap + rendering.lines[len(gap) :][-rows:]

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
            rendering.put_line(self._fence.code(line))
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
        tokens = self._parser.parse(source)
        lines = source.split("\n")
        return [Block(group, lines) for group in groups(tokens, level=0)]


class _Fence(NamedTuple):
    """A fence of the top level, printed line by line: an open one rendered again and again takes too long."""

    mark: str
    indent: int
    syntax: Syntax

    @classmethod
    def opened(cls, token: Token, line: str) -> _Fence:
        """The fence that this line opens."""
        language = token.info.partition(" ")[0] or "text"
        syntax = Syntax("", language, theme=THEME, background_color="default")
        return cls(token.markup, len(line) - len(line.lstrip(" ")), syntax)

    def ends_with(self, line: str) -> bool:
        """Whether this line closes it."""
        mark = line.strip()
        return len(mark) >= len(self.mark) and self.may_end_with(line)

    def may_end_with(self, line: str) -> bool:
        """Whether this beginning of a line may become one that closes it."""
        return not line.strip(f" \t{self.mark[0]}") and not line.startswith("    ") and bool(line.strip())

    def code(self, line: str) -> Text:
        """A line of the code, coloured by itself: what a lexer knows from the lines before is lost."""
        indent = min(self.indent, len(line) - len(line.lstrip(" ")))
        text = self.syntax.highlight(line[indent:])
        text.rstrip()
        return text
