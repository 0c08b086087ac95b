"""A model's Markdown as blocks of the top level, each of which can be printed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

from markdown_it.token import Token


class Block(NamedTuple):
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

    def is_closed(self, lines: int) -> bool:
        """Whether nothing can be added to it, if it is the last block in that many lines."""
        if self.kind in ("heading_open", "hr"):
            return True
        return self.kind in ("paragraph_open", "table_open") and self.end < lines

    def items(self) -> list[Block]:
        """The items, if it is a list."""
        if self.kind not in ("bullet_list_open", "ordered_list_open"):
            return []
        return [Block(group, self.lines) for group in groups(self.tokens[1:-1], level=1)]

    def only(self, item: Block) -> Block:
        """The list with this one of its items alone."""
        opening = copy(self.tokens[0])
        opening.map, opening.attrs = item.tokens[0].map, {}
        return Block([opening, *item.tokens, self.tokens[-1]], self.lines)

    def without(self, last: Block) -> Block:
        """The list without its last item."""
        return Block(self.tokens[: -1 - len(last.tokens)] + self.tokens[-1:], self.lines[: last.begin])


def groups(tokens: list[Token], level: int) -> Iterator[list[Token]]:
    """The tokens of each block of a level together."""
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == level and token.nesting <= 0:
            yield group
            group = []
