"""Blocks of Markdown as lines for a terminal, each of which knows how it is wrapped.

What a line looks like never depends on what comes after its block, and of an unfinished block it is known how far no
further text can change it. Drawing rows is left to `markdown.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markdown_it.token import Token

from ptstream.cli.code import highlighted
from ptstream.cli.control_sequences import clean
from ptstream.cli.markdown_blocks import Block
from ptstream.cli.markdown_inline import inline
from ptstream.cli.markdown_syntax import Reach, may_be_header, may_be_rule
from ptstream.cli.rows import Line, Place, Room
from ptstream.cli.table_layout import HEADER, Cell, Layout, Table, layout_of
from ptstream.cli.wrapping import Span, last_piece

_DEEP = 16  # of the 20 levels that the parser reads
_HEADINGS = {"h1": "1;4", "h2": "1;35", "h3": "1", "h4": "1;2"}
_CONTAINERS = ("blockquote_open", "bullet_list_open", "ordered_list_open", "list_item_open")


class Rendering:
    """Takes blocks in turn, for this room. `used` is whether there is a block above what comes next.

    `reach` is how far a mark may stand from what closes it.
    """

    def __init__(self, used: bool, room: Room, reach: Reach) -> None:
        self.room = room
        self.reach = reach
        self.lines: list[Line] = []
        self.used = used
        self.settled = Place(0)
        """As far as here no further text can change it, if what was put last is not finished."""

    def put_block(self, block: Block, number: int | None) -> None:
        """A block; with a number, a list that goes on with it."""
        self.settled = Place(len(self.lines))
        if number is None:
            self.put_gap()
        if block.kind == "code_block" and self.settled == (0, 0):
            # It stays one, below what has been given out: the gap is not to go when its line is longer than the screen.
            self.settled = Place(len(self.lines))
        walk = _Walk(self, block.lines, number)
        walk.put(block.tokens)
        self.used = True

    def put_gap(self) -> None:
        """What stands between two blocks."""
        if self.used:
            self.lines.append(Line())
        self.used = True

    def put_text(self, text: str) -> None:
        """Text as it is."""
        self.lines.extend(Line([("", line)]) for line in clean(text).expandtabs(4).split("\n"))

    def put_code(self, line: str, language: str) -> None:
        """A line of code, coloured by itself: what a lexer knows from the lines before is lost."""
        self.lines.append(Line(highlighted(clean(line).replace("\n", " "), language), is_code=True))


class _Walk:
    """Through the tokens of a block."""

    def __init__(self, rendering: Rendering, source: Sequence[str], number: int | None) -> None:
        self._rendering = rendering
        self._lines = rendering.lines
        self._reach = rendering.reach
        self._source = source
        self._number = number
        self._first = ""  # what stands before the first line that comes
        self._rest = ""
        self._numbers: list[int | None] = []
        self._leaf = ""  # the one before, in the same container
        self._settled_before = self._rendering.settled  # it came
        self._begin = len(self._lines)

    def put(self, tokens: Sequence[Token]) -> None:
        """All of these."""
        at = 0
        while at < len(tokens):
            end = _end(tokens, at)
            self._put_one(tokens[at:end])
            at = end

    def _put_one(self, tokens: Sequence[Token]) -> None:
        kind = tokens[0].type
        if kind in _CONTAINERS and tokens[0].level >= _DEEP and tokens[0].map:
            self._leaf_begins("text")
            begin, end = tokens[0].map
            self._put_lines([[("", line)] for line in clean("\n".join(self._source[begin:end])).split("\n")], 0)
        elif kind in ("bullet_list_open", "ordered_list_open"):
            self._list(tokens)
        elif kind == "list_item_open":
            self._item(tokens)
        elif kind == "blockquote_open":
            self._inside("\x1b[35m▌\x1b[0m ", "\x1b[35m▌\x1b[0m ", tokens[1:-1])
        else:
            self._put_leaf(kind, tokens)

    def _list(self, tokens: Sequence[Token]) -> None:
        number = None
        if tokens[0].type == "ordered_list_open":
            number = int(tokens[0].attrs.get("start", 1))
        if self._number is not None:
            number = self._number if number is not None else None
            self._number = None
        self._leaf = ""
        self._numbers.append(number)
        self.put(tokens[1:-1])
        self._numbers.pop()

    def _item(self, tokens: Sequence[Token]) -> None:
        number = self._numbers[-1]
        mark = " •" if number is None else f"{number:>3}"
        if number is not None:
            self._numbers[-1] = number + 1
        self._inside(f"\x1b[1;36m{mark}\x1b[0m ", " " * (len(mark) + 1), tokens[1:-1])

    def _inside(self, first: str, rest: str, tokens: Sequence[Token]) -> None:
        before = self._rest
        self._first, self._rest, self._leaf = (self._first or before) + first, before + rest, ""
        if tokens:
            self.put(tokens)
        else:
            self._leaf_begins("text")
            self._put_lines([[]], 0)
        self._first, self._rest, self._leaf = "", before, "container"

    def _leaf_begins(self, kind: str) -> None:
        if self._leaf != "code_block":
            self._settled_before = self._rendering.settled
        if len(self._lines) > self._begin:
            self._rendering.settled = Place(len(self._lines))
        if self._leaf == "paragraph_open" == kind:
            self._lines.append(Line([], self._rest, self._rest))
        self._leaf = kind

    def _put_lines(self, lines: Sequence[Sequence[Span]], settled: int) -> None:
        """Lines of text, of which so many characters are settled, the ends of lines counted."""
        for spans in lines:
            line = Line(spans, self._first or self._rest, self._rest)
            if settled > 0:
                self._rendering.settled = Place(len(self._lines), settled)
                settled -= len(line.text) + 1
            self._lines.append(line)
            self._first = ""

    def _put_leaf(self, kind: str, tokens: Sequence[Token]) -> None:
        self._leaf_begins(kind)
        if kind in ("fence", "code_block"):
            self._put_code(tokens[0])
        elif kind == "math_block":
            lines = clean(tokens[0].content).expandtabs(4).split("\n")
            # What stands below its first line is never anything else, and that is one once it has ended.
            settled = len("\n".join(lines)) if len(lines) > 1 else 0
            self._put_lines([[("", line)] for line in lines], settled)
        elif kind == "table_open":
            self._put_table(tokens)
        elif kind == "hr":
            self._put_lines([[("2", "─" * 20)]], 0)
        elif kind == "heading_open":
            self._put_paragraph(tokens, _HEADINGS.get(tokens[0].tag, "2"))
        else:
            self._put_paragraph(tokens)

    def _put_paragraph(self, tokens: Sequence[Token], style: str = "") -> None:
        children = tokens[1].children or [] if len(tokens) > 1 else []
        read = inline(children, self._reach.at(tokens[0].level + 1), style)
        begin, end = tokens[0].map or (0, 0)
        if self._is_rule_below_code(self._source[max(0, begin - 1) : end]):
            self._rendering.settled = self._settled_before
        settled = 0 if may_begin_table(self._source[begin:end], self._reach) else read.settled
        if len(read.lines) == 1 and not last_piece("".join(text for _, text in read.lines[0])[:settled]):
            settled = 0  # the mark of a list, perhaps
        self._put_lines(read.lines, settled)

    def _is_rule_below_code(self, lines: Sequence[str]) -> bool:
        """Whether what seems to be a paragraph may make a table of the line above, which seems to be code in a list."""
        *_, before, last = ["", *lines]
        return "|" in before and not last.strip("|-: \t>") and may_be_rule(last, before, self._reach)

    def _put_code(self, token: Token) -> None:
        # At the margin, wherever it stands: what is copied from the screen runs.
        if self._first.strip():
            self._put_lines([[]], 0)
        lines = token.content.removesuffix("\n").split("\n")
        for count, line in enumerate(lines):
            if count:
                self._rendering.settled = Place(len(self._lines))
            self._rendering.put_code(line, token.info.partition(" ")[0])

    def _put_table(self, tokens: Sequence[Token]) -> None:
        layout = layout_of(self._table(tokens), *self._rendering.room.beside(self._first or self._rest))
        last = len(layout.table.rows) - 1
        for number in range(last + 1):
            if number == last and layout.sample is not None:
                self._rendering.settled = self._settled_in(layout)
            self._put_row(layout, number)

    def _table(self, tokens: Sequence[Token]) -> Table:
        rows: list[list[Cell]] = []
        aligns: list[str] = []
        for token, content in itertools.pairwise(tokens):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                style = HEADER if token.type == "th_open" else ""
                read = inline(content.children or [], self._reach.at(content.level), style)
                rows[-1].append(Cell([span for line in read.lines for span in line], content.content, read.settled))
                if style:
                    aligns.append(str(token.attrs.get("style", "")).removeprefix("text-align:"))
        return Table(rows, aligns)

    def _put_row(self, layout: Layout, number: int) -> None:
        """A row of a table: a line for what is drawn of it together, and one for each cell, if it is a list."""
        drawn, cells = layout.drawn(number), layout.as_list(number)
        lines = 1 if drawn is None and layout.is_shown(number) else 1 + len(cells)
        below = 1 + layout.last_cell if drawn and number == len(layout.table.rows) - 1 else 0
        self._put_drawn([*([""] if layout.has_gap(number) else []), *(drawn or [])], lines, below)
        for spans in cells:
            line = Line(spans, self._first or self._rest, self._rest, drawn=None if spans else ())
            self._lines.append(line)
            if spans and lines == 1:
                self._first = ""

    def _put_drawn(self, drawn: Sequence[str], lines: int, below: int) -> None:
        self._lines.append(Line((), self._first or self._rest, self._rest, drawn=drawn, lines=lines, below=below))
        if drawn:
            self._first = ""

    def _settled_in(self, layout: Layout) -> Place:
        """As far as where no further text can change the last row, which is put next."""
        begin, row, at = len(self._lines), layout.table.rows[-1], layout.last_cell
        if layout.drawn(len(layout.table.rows) - 1) or (not at and not last_piece(row[0].source)):
            return Place(begin)  # all of it is drawn again; or it is no row, perhaps
        line = Line(layout.as_list(-1)[at])
        return Place(begin + 1 + at, len(line.text) - len(row[at].text) + row[at].settled)


def may_begin_table(lines: Sequence[str], reach: Reach) -> bool:
    """Whether the last of these lines, of a paragraph, may turn out to be the first of a table."""
    last = lines[-1] if lines else ""
    before = lines[-2] if len(lines) > 1 else ""
    if "|" in last:
        return may_be_header(last, reach)
    may_be = "|" in before and not last.strip("|-: \t>")
    return may_be and may_be_header(before, reach) and may_be_rule(last, before, reach)


def _end(tokens: Sequence[Token], at: int) -> int:
    """Where what begins there ends."""
    depth = 0
    for number in range(at, len(tokens)):
        depth += tokens[number].nesting
        if depth == 0:
            return number + 1
    return len(tokens)
