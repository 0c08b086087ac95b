"""A model's Markdown as blocks of the top level, each of which can be printed by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ptstream.cli.control_sequences import clean

_DEEP = 16  # of the 20 levels that the parser reads


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

    @property
    def is_deep(self) -> bool:
        """Whether it may be nested so deep that the parser left out what is inside."""
        return any(token.level > _DEEP for token in self.tokens)

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


def parser() -> MarkdownIt:
    """Markdown as models write it; nothing that would hide a part of the text."""
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return made.disable(["reference", "image"])


def groups(tokens: list[Token], level: int) -> Iterator[list[Token]]:
    """The tokens of each block of a level together, their inline parts made plain."""
    group: list[Token] = []
    for token in tokens:
        if token.children:
            token.children = list(_plain(token.children))
        group.append(token)
        if token.level == level and token.nesting <= 0:
            yield group
            group = []


def leads_to(address: str) -> str:
    """A link's address without the name of a user, which can look like a host: `https://bank.example@other.example`."""
    return re.sub(r"^(https?:)/*[^/?#]*@", r"\1//", address, flags=re.IGNORECASE)


def _plain(tokens: list[Token]) -> Iterator[Token]:
    """Inline tokens, lines broken where the model broke them, and each link's address shown."""
    address, label = "", ""
    for token in tokens:
        if token.type == "link_open":
            address, label = leads_to(str(token.attrs["href"])), ""
        elif token.type == "link_close":
            if address.removeprefix("mailto:") != label:
                yield Token("text", "", 0, content=f" ({address})")
        elif token.type == "softbreak":
            yield Token("hardbreak", "br", 0)
        else:
            # Before it is laid out: a character reference may stand for a line's end.
            token.content = clean(token.content)
            label += token.content
            yield token
