"""Markdown that comes in pieces: which of its blocks no further text can change, and what the others are now.

What is finished is given out once, so that a long text does not have to be read again with each piece.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from markdown_it.token import Token

from ptstream.cli.markdown_blocks import Block, groups
from ptstream.cli.markdown_syntax import REACH, Reach, parser
from ptstream.cli.rendering import Rendering
from ptstream.cli.rows import Line, Place, Room


class Source:
    """The text that is not printed yet, and what it stands in and below."""

    def __init__(self) -> None:
        self._parser = parser()
        self._reach: Reach | None = None  # of marks in this text, whatever its screen becomes
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
        self._reach = self._reach or Reach(*room)
        *lines, incomplete = "".join([self._source, *self._new]).split("\n")
        self._new.clear()
        if final and incomplete:
            lines, incomplete = [*lines, incomplete], ""
        rendering = Rendering(self._below, room, self._reach)
        self._source = "\n".join([*self._print(rendering, lines, final), incomplete])
        self._below = rendering.used
        return rendering.lines

    def tail(self, room: Room) -> tuple[list[Line], Place]:
        """What is not given out yet, as it stands now, and as far as where no further text can change it."""
        rendering = Rendering(self._below, room, self._reach or Reach(*room))
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
        tokens = self._parser.parse(f"{item[0]} x\n{source}" if item else source, {REACH: self._reach})
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
