"""Markdown on a terminal, while it is being written.

A finished block is printed once, by rich, and never touched again: it can be scrolled back to and copied, and
survives every resize. Below it stands the tail, the end of the block that is being written; it is erased and
drawn again, at most `FRAMES` times a second. This module makes strings; writing them, and asking for one while
no text comes, is left to `screen.py`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, ListItem, Markdown, TableElement
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ptstream.cli.columns import erased
from ptstream.cli.untrusted import Filter, clean

FRAMES = 15
"""How often a second the terminal is written to, at most."""

TAIL = 4
"""Rows of the tail. On a terminal made half as wide it takes twice as many, which ten lines still hold."""

_LONG = 4096
"""Characters of an unfinished block from which on its tail is shown as it was written: rendering takes long."""

_DEEP = 16  # of the 20 levels that the parser reads

_THEME = "ansi_dark"  # the sixteen colours that the user chose
_SGR = re.compile(r"(\x1b\[[\d;]*m)")


class Rendered:
    """Takes a model's text in pieces and gives back what to write to a terminal, control sequences included.

    `size` tells the terminal's columns and lines as they are now, `clock` the time in seconds. Whoever writes
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
        self._parser = _parser()
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
        paper = _Paper(columns, self._below)
        self._source = "\n".join([*self._print(paper, lines, final), incomplete])
        self._below = paper.used
        return "".join(f"{line}\n" for line in paper.lines)

    def tail(self, columns: int, rows: int) -> list[str]:
        """The last rows of what is not printed, as it stands now."""
        if rows < 1 or not self._source.strip():
            return []
        paper = _Paper(columns, self._below)
        if self._fence:
            if not self._fence.may_end_with(self._source):
                paper.put(self._fence.code(self._source[-_LONG:]))
        elif len(self._source) > _LONG:
            paper.put(Text(self._source[-_LONG:]))
        else:
            number = self._number
            for block in self._parsed(self._source):
                paper.put_block(block, number)
                number = None
        gap = paper.lines[:1] if paper.lines[:1] == [""] else []
        return gap + paper.lines[len(gap) :][-rows:]

    def _print(self, paper: _Paper, lines: list[str], final: bool) -> list[str]:
        """Prints those of the complete lines that are finished, or all; gives back the others."""
        while lines:
            used = self._print_code(paper, lines) if self._fence else self._print_blocks(paper, lines, final)
            if not used:
                break
            lines = lines[used:]
        return lines

    def _print_code(self, paper: _Paper, lines: list[str]) -> int:
        """Prints code line by line, as far as the fence goes. How many lines that used."""
        assert self._fence
        for used, line in enumerate(lines, 1):
            if self._fence.ends_with(line):
                self._fence = None
                return used
            paper.put_line(self._fence.code(line))
        return len(lines)

    def _print_blocks(self, paper: _Paper, lines: list[str], final: bool) -> int:
        """Prints blocks up to a fence, or up to the one that may go on. How many lines that used."""
        blocks = self._parsed("\n".join(lines))
        for block in blocks:
            is_last = block is blocks[-1]
            if block.kind == "fence":
                self._fence = _Fence.opened(block.tokens[0], lines[block.begin])
                paper.put_gap()
                if is_last:
                    self._number = None
                    return block.begin + 1
                self._print_code(paper, lines[block.begin + 1 : block.end])
                self._fence = None
            elif is_last and not final and not block.is_closed(len(lines)):
                return self._print_items(paper, block)
            else:
                paper.put_block(block, self._number)
            self._number = None
        return len(lines)

    def _print_items(self, paper: _Paper, block: _Block) -> int:
        """Prints all items but the last, if the block is a list. How many lines of the text that used."""
        *before, last = block.items() or [block]
        if before:
            paper.put_block(block.without(last), self._number)
            self._number = (block.start if self._number is None else self._number) + len(before)
        return last.begin

    def _parsed(self, source: str) -> list[_Block]:
        tokens = self._parser.parse(source)
        lines = source.split("\n")
        return [_Block(group, lines) for group in _groups(tokens, level=0)]


class _Block(NamedTuple):
    """A block of the top level, or an item of a list there."""

    tokens: list[Token]
    lines: list[str]
    """Those of the text that it stands in, whose numbers are `begin` and `end`."""

    @property
    def kind(self) -> str:
        return self.tokens[0].type

    @property
    def begin(self) -> int:
        return (self.tokens[0].map or [0, 0])[0]

    @property
    def end(self) -> int:
        return (self.tokens[0].map or [0, 0])[1]

    @property
    def start(self) -> int:
        """The number of the first item, if it is a list."""
        return int(self.tokens[0].attrs.get("start", 1))

    @property
    def source(self) -> str:
        """Its text, as it was written."""
        return "\n".join(self.lines[self.begin : self.end])

    @property
    def is_deep(self) -> bool:
        """Whether it may be nested so deep that the parser left out what is inside."""
        return any(token.level > _DEEP for token in self.tokens)

    def is_closed(self, lines: int) -> bool:
        """Whether nothing can be added to it, if it is the last block in that many lines."""
        if self.kind in ("heading_open", "hr"):
            return True
        return self.kind in ("paragraph_open", "table_open") and self.end < lines

    def items(self) -> list[_Block]:
        """The items, if it is a list."""
        if self.kind not in ("bullet_list_open", "ordered_list_open"):
            return []
        return [_Block(group, self.lines) for group in _groups(self.tokens[1:-1], level=1)]

    def without(self, last: _Block) -> _Block:
        """The list without its last item."""
        return _Block(self.tokens[: -1 - len(last.tokens)] + self.tokens[-1:], self.lines[: last.begin])


class _Fence(NamedTuple):
    """A fence of the top level, printed line by line: an open one rendered again and again takes too long."""

    mark: str
    indent: int
    syntax: Syntax

    @classmethod
    def opened(cls, token: Token, line: str) -> _Fence:
        """The fence that this line opens."""
        language = token.info.partition(" ")[0] or "text"
        syntax = Syntax("", language, theme=_THEME, background_color="default")
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


class _Paper:
    """Where rich prints to. `used` is whether there is a block above what comes next."""

    def __init__(self, columns: int, used: bool) -> None:
        self.lines: list[str] = []
        self.used = used
        self._document = _Document("")
        self._console = Console(
            file=io.StringIO(),
            width=max(columns - 1, 10),
            height=25,
            force_terminal=True,
            color_system="standard",
            no_color=False,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def put_block(self, block: _Block, number: int | None) -> None:
        """A block; with a number, a list that goes on with it."""
        if number is not None:
            block.tokens[0].attrs["start"] = number
        self._document.parsed = block.tokens
        lines = [] if block.is_deep else self._rendered(self._document)
        self._put(lines or self._rendered(Text(block.source)), apart=number is None)

    def put(self, text: Text) -> None:
        """Text as it is, wrapped, right below what is there."""
        self._put(self._rendered(text), apart=False)

    def put_gap(self) -> None:
        """What stands between two blocks."""
        if self.used:
            self.lines.append("")
        self.used = True

    def put_line(self, text: Text) -> None:
        """A line that the terminal wraps if it must, so that it can be copied as one."""
        self.lines.extend(self._rendered(text, wrap=False) or [""])

    def _put(self, lines: list[str], apart: bool) -> None:
        if apart:
            self.put_gap()
        self.lines.extend(lines)
        self.used = True

    def _rendered(self, renderable: RenderableType, wrap: bool = True) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(renderable, overflow="fold" if wrap else "ignore", soft_wrap=not wrap)
        lines = [_tidy(line) for line in captured.get().split("\n")]
        printed = [number for number, line in enumerate(lines) if _SGR.sub("", line)]
        return lines[printed[0] : printed[-1] + 1] if printed else []


class _Document(Markdown):
    """Blocks that are parsed already, given as `parsed`."""

    class _Heading(Heading):
        LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {}

    class _Code(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            code = str(self.text).rstrip()
            yield Syntax(code, self.lexer_name, theme=_THEME, background_color="default", word_wrap=True)

    class _Item(ListItem):
        def render_number(
            self, console: Console, options: ConsoleOptions, number: int, last_number: int
        ) -> RenderResult:
            # Items come one by one: how many digits the last number will have is not known yet.
            return super().render_number(console, options, number, max(last_number, 10))

    class _Table(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for table in super().__rich_console__(console, options):
                if isinstance(table, Table):
                    for column in table.columns:
                        column.overflow = "fold"
                yield table

    elements = Markdown.elements | {
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "list_item_open": _Item,
        "table_open": _Table,
    }


def _parser() -> MarkdownIt:
    """Markdown as models write it; nothing that would hide a part of the text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return parser.disable(["reference", "image"])


def _groups(tokens: list[Token], level: int) -> Iterator[list[Token]]:
    """The tokens of each block of a level together, their inline parts made plain."""
    group: list[Token] = []
    for token in tokens:
        if token.children:
            token.children = list(_plain(token.children))
        group.append(token)
        if token.level == level and token.nesting <= 0:
            yield group
            group = []


def _plain(tokens: list[Token]) -> Iterator[Token]:
    """Inline tokens, lines broken where the model broke them, and each link's address shown."""
    address, label = "", ""
    for token in tokens:
        if token.type == "link_open":
            address, label = str(token.attrs["href"]), ""
        elif token.type == "link_close":
            if address.removeprefix("mailto:") != label:
                yield Token("text", "", 0, content=f" ({address})")
        elif token.type == "softbreak":
            yield Token("hardbreak", "br", 0)
        else:
            label += token.content
            yield token


def _tidy(line: str) -> str:
    """The line without spaces at its end, and without what a character reference may have brought back."""
    line = re.sub(r"(?: |\x1b\[[\d;]*m)+$", lambda end: end[0].replace(" ", ""), line)
    return "".join(part if _SGR.fullmatch(part) else clean(part) for part in _SGR.split(line))
