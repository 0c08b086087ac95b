"""Where blocks of Markdown are printed: rich's rendering, as lines for a terminal."""

from __future__ import annotations

import io
import re
from typing import ClassVar

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, ListItem, Markdown, TableElement
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ptstream.cli.control_sequences import clean
from ptstream.cli.markdown_blocks import Block

THEME = "ansi_dark"
"""The sixteen colours that the user chose."""

_SGR = re.compile(r"(\x1b\[[\d;]*m)")


class Rendering:
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

    def put_block(self, block: Block, number: int | None) -> None:
        """A block; with a number, a list that goes on with it. A list comes item by item, as it is written."""
        items = block.items()
        first = block.start if number is None else number
        for count, part in enumerate(map(block.only, items) if items else [block]):
            goes_on = number is not None or count > 0
            if items:
                part.tokens[0].attrs["start"] = first + count
            self._document.parsed = part.tokens
            lines = [] if part.is_deep else self._rendered(self._document)
            self._put(lines or self._rendered(Text(part.source)), apart=not goes_on)

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
            yield Syntax(code, self.lexer_name, theme=THEME, background_color="default", word_wrap=True)

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


def _tidy(line: str) -> str:
    """The line without spaces at its end, and without what a character reference may have brought back."""
    parts = _SGR.split(line)  # text and sequences, in turn
    for index in range(len(parts) - 1, -1, -2):
        parts[index] = parts[index].rstrip(" ")
        if parts[index]:
            break
    return "".join(part if index % 2 else clean(part) for index, part in enumerate(parts))
