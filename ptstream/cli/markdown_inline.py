"""The text of a paragraph: its styles, and how much of it no further text can change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from markdown_it.token import Token

from ptstream.cli.control_sequences import clean
from ptstream.cli.markdown_syntax import FORMULA, Reach
from ptstream.cli.wrapping import Span

CODE = "1;36"

_STYLES = {"strong_open": "1", "em_open": "3", "s_open": "9", "link_open": "4"}

_MAY_OPEN = re.compile(r"[*]+|_+|~+|`|\[|\]|<|&|\$|\\")

_FORMULAS = (r"\(", r"\[")

_BLOCK = re.compile(r"[-+*>#`~|]*|1[.)]?")
"""A line that may yet begin a block, by which it ends the paragraph above it."""

_ENTITY = re.compile(r"&#?\w{0,32}\Z")


class Inline(NamedTuple):
    """A paragraph's lines, and how many of their characters are settled, the ends of the lines counted."""

    lines: list[list[Span]]
    settled: int


def inline(tokens: Iterable[Token], reach: Reach, style: str = "") -> Inline:
    """The text that these tokens stand for, lines broken where the model broke them, each link's address shown.

    `reach` is how far a mark may stand from what closes it.
    """
    reading = _Reading(reach, style)
    for token in tokens:
        reading.take(token)
    return Inline(reading.lines, reading.settled())


def leads_to(address: str) -> str:
    """A link's address without the name of a user, which can look like a host: `https://bank.example@other.example`."""
    return re.sub(r"^(https?:)/*[^/?#]*@", r"\1//", address, flags=re.IGNORECASE)


class _Reading:
    """Takes inline tokens in turn."""

    def __init__(self, reach: Reach, style: str) -> None:
        self._reach = reach
        self.lines: list[list[Span]] = [[]]
        self._styles = [style] if style else []
        self._text = ""
        self._literal: dict[int, int] = {}  # each place of literal text: where what it stands in begins
        self._open: list[int] = []
        self._last = 0  # where the last thing that is no literal text begins, if nothing comes after it
        self._link = ("", 0)
        self._addresses: list[range] = []
        self._formulas: list[int] = []
        self._hard_break = -1  # where the last one stands: at a paragraph's end it is a backslash

    def take(self, token: Token) -> None:
        """The next one."""
        if token.nesting > 0:
            self._begin(token)
        elif token.nesting < 0:
            self._end(token)
        elif token.type in ("softbreak", "hardbreak"):
            self._hard_break = len(self._text) if token.type == "hardbreak" else self._hard_break
            self._text += "\n"
            self.lines.append([])
        elif token.type == "text" or token.markup in _FORMULAS:
            begin = len(self._text)
            self._put(clean(token.content))
            if token.type != "text":
                self._formulas.append(begin)
            where = self._open[0] if self._open else None
            self._literal.update((at, at if where is None else where) for at in range(begin, len(self._text)))
        else:
            begin = self._open[0] if self._open else len(self._text)
            self._put(clean(token.content), CODE if token.type == "code_inline" else "")
            self._last = begin

    def _begin(self, token: Token) -> None:
        self._open.append(len(self._text))
        self._styles.append(_STYLES.get(token.type, ""))
        if token.type == "link_open":
            self._link = leads_to(str(token.attrs["href"])), len(self._text)

    def _end(self, token: Token) -> None:
        address, begin = self._link
        self._styles.pop()
        if token.type == "link_close" and address.removeprefix("mailto:") != self._text[begin:]:
            end = len(self._text)
            self._put(f" ({clean(address)})")
            self._addresses.append(range(end, len(self._text)))
        self._last = self._open[0]
        self._open.pop()

    def _put(self, text: str, style: str = "") -> None:
        if text:
            # Before it is laid out: a character reference may stand for a line's end.
            text = text.replace("\n", " ").expandtabs(4)
            self.lines[-1].append((";".join(filter(None, [*self._styles, style])), text))
            self._text += text

    def settled(self) -> int:
        """How many characters stand before all that may still turn out to be markup.

        What code, formulas and addresses are depends on themselves alone; what links are, on those as well; and what
        emphasis is, on all of them: each is looked at only as far as those before it are settled.
        """
        text = self._text
        settled = len(text) if len(text) - 1 in self._literal or not text else self._last
        raw, brackets, runs = self._marks(settled)
        begin = text.rfind("\n")
        if begin >= 0 and begin == self._hard_break and _BLOCK.fullmatch(text, begin + 1):
            settled = min(settled, begin)
        end = len(text)
        for marks in (raw, brackets, runs):
            far = self._far(end)
            settled = min([settled, *(self._literal[mark.start] for mark in marks if mark.stop > far)])
            end = settled
        return settled

    def _marks(self, before: int) -> tuple[list[range], list[range], list[range]]:
        """Where literal text stands that may turn out to begin code or the like, a link, or emphasis."""
        text = self._text
        raw = [range(at, at + 1) for at in self._formulas if len(text) - at <= FORMULA and at in self._literal]
        brackets, runs = list[range](), list[range]()
        for match in _MAY_OPEN.finditer(text, 0, before):
            at, mark = match.start(), match[0]
            if at not in self._literal:
                continue
            if mark == "[":
                brackets.append(range(at, at + 1))
            elif mark == "]":
                if brackets and text[at + 1 : at + 2] not in ("", "("):
                    brackets.pop()
            elif self._may_open(mark, at):
                (runs if mark[0] in "*_~" else raw).append(range(at, match.end()))
        return raw, brackets, runs

    def _far(self, place: int) -> int:
        """Before where a mark is too far away from this place for what comes to close it.

        Addresses do not count: in the source they may be shorter.
        """
        left = self._reach.cells
        for at in range(place - 1, -1, -1):
            if not any(at in address for address in self._addresses):
                left -= self._reach.needed(self._text[at])
            if left < 0:
                return at
        return 0

    def _may_open(self, mark: str, at: int) -> bool:
        """Whether literal text may turn out to be the beginning of markup."""
        text, end = self._text, at + len(mark)
        after = text[end : end + 1]
        space = after.isspace() and (end in self._literal or after == "\n")
        if mark[0] in "*~":
            return not space and (mark != "~" or not after)
        if mark[0] == "_":
            return not space and not (after.isalnum() and text[at - 1 : at].isalnum() and end in self._literal)
        if mark == "<":
            return not re.search(r"[\s<]", text[end:])
        if mark == "&":
            return bool(_ENTITY.match(text, at))
        return mark == "`" or len(text) - at <= FORMULA
