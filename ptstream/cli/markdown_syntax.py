"""What models write beyond CommonMark: formulas, and emphasis beside East Asian punctuation; and how far marks reach.

Formulas are shown as they were written: no character of theirs is markup. Emphasis follows the amendment "CJK friendly"
(https://github.com/tats-u/markdown-cjk-friendly) of CommonMark's rules for delimiter runs.

What closes a mark is looked for so far away only as the screen has room for: so that of a text while it is written all
is seen, and yet no row changes that has left the screen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.autolink import autolink
from markdown_it.rules_inline.backticks import backtick
from markdown_it.rules_inline.link import link
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.rules_inline.strikethrough import tokenize as strikethrough

from ptstream.cli.wrapping import ends, most_cells

FORMULA = 500
"""Characters of a formula inside a line, at most: what opens one and is not closed by then opens none."""

HEADER = 1000
"""Characters of a table's first line, at most: a longer line surely belongs to a paragraph."""

REACH = "reach"
"""In the environment of a parser's run: a `Reach`."""

LEAST_REACH = 60

_BESIDE = 3
"""Rows of the screen that are left to others."""

MATH = "math"
"""The type of an inline token with a formula, its delimiters included."""

_DOLLARS = re.compile(rf"\$(?![\s$])(?:\\.|[^$\\\n]){{1,{FORMULA}}}?(?<!\s)\$(?!\d)")


def parser() -> MarkdownIt:
    """Markdown as models write it; nothing that would hide a part of the text.

    Without underlined headings: a line of text that is shown never turns into one.
    """
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.disable(["reference", "image", "lheading", "text_join"])
    made.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    made.block.ruler.before(
        "fence", "math_block", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    made.core.ruler.at("inline", _inline)
    made.inline.ruler.before("escape", MATH, _math)
    made.inline.ruler.at("backticks", _code)
    made.inline.ruler.at("strikethrough", _strikethrough)
    made.inline.ruler.at("emphasis", _emphasis)
    made.inline.ruler.at("link", _reaching(link))
    made.inline.ruler.at("autolink", _reaching(autolink))
    made.inline.ruler2.after("balance_pairs", REACH, _part_what_is_too_far)
    return made


class Reach(NamedTuple):
    """How far a mark may stand from what closes it: as far as a text certainly fits into so many columns and rows."""

    columns: int
    rows: int
    nested: bool = False
    """Whether the text stands in a list or the like, which takes up to half of the columns."""

    def at(self, level: int) -> Reach:
        """The same for a token of that level."""
        return self._replace(nested=level > 1)

    @property
    def cells(self) -> int:
        """Of a terminal."""
        return max(LEAST_REACH, (self.rows - _BESIDE) * self.line)

    @property
    def line(self) -> int:
        """Cells that a row has at least, if another one follows it: two have as many as one has columns, or more."""
        return self.columns // (6 if self.nested else 2)

    def needed(self, text: str) -> int:
        """Cells that a source takes at least as many of as what is shown of it, its lines on rows of their own."""
        return most_cells(text) + 3 * text.count("\t") + self.line * text.count("\n")

    def holds(self, text: str) -> bool:
        """Whether it reaches over this source."""
        return self.needed(text) <= self.cells


def _inline(state: StateCore) -> None:
    """As markdown-it's own rule, with the reach that each text has."""
    whole: Reach = state.env[REACH]
    for token in state.tokens:
        if token.type == "inline" and token.children is not None:
            state.env[REACH] = whole.at(token.level)
            state.md.inline.parse(token.content, state.md, state.env, token.children)
    state.env[REACH] = whole


def may_be_header(line: str, reach: Reach) -> bool:
    """Whether a line is no longer than one of a table that others come after: with the next, it fits on the screen."""
    nested = reach._replace(nested=True)
    if len(line) > HEADER or nested.holds(line):
        return len(line) <= HEADER
    columns = reach.columns // (2 if line[0] in _NESTED else 1)
    return 2 * len(ends(line, columns)) <= reach.rows - _BESIDE


def may_be_rule(line: str, header: str, reach: Reach) -> bool:
    """Whether a line is no longer than the one below the header of a table."""
    return reach._replace(nested=True).holds(line) or most_cells(line) <= most_cells(header)


_NESTED = " >-*+0123456789"
"""What a line begins with that stands in something else."""


def _is_in_reach(state: StateInline, begin: int, end: int) -> bool:
    reach: Reach = state.env[REACH]
    return reach.holds(state.src[begin:end])


def _reaching(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The rule for what does not end too far away."""

    def reaching(state: StateInline, silent: bool) -> bool:
        begin = state.pos
        found = rule(state, True)
        end, state.pos = state.pos, begin
        return found and _is_in_reach(state, begin, end) and rule(state, silent)

    return reaching


_BACKTICKS = re.compile("`+")


def _code(state: StateInline, silent: bool) -> bool:
    begin, run = state.pos, _BACKTICKS.match(state.src, state.pos, state.posMax)
    if not run:
        return False
    backtick(state, True)
    end, state.pos = state.pos, begin
    if _is_in_reach(state, begin, end):
        return backtick(state, silent)
    state.pos = run.end()
    if not silent:
        state.append_pending(run[0])
    return True


def _strikethrough(state: StateInline, silent: bool) -> bool:
    begin, before = state.pos, len(state.tokens)
    found = strikethrough(state, silent)
    for token in state.tokens[before:]:
        token.meta = {"at": begin}
    return found


def _part_what_is_too_far(state: StateInline) -> None:
    """Of delimiters that belong together."""
    for delimiters in _delimiters(state):
        for opener in delimiters:
            if opener.end >= 0:
                begin, end = (state.tokens[each.token].meta["at"] for each in (opener, delimiters[opener.end]))
                if not _is_in_reach(state, begin, end):
                    opener.end = -1


def _delimiters(state: StateInline) -> Iterator[list[Delimiter]]:
    """Those of the text, and of each link in it."""
    yield state.delimiters
    for meta in state.tokens_meta:
        if meta and "delimiters" in meta:
            yield meta["delimiters"]


def _table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    header, rule = (state.src[state.bMarks[at] : state.eMarks[at]] for at in (begin, min(begin + 1, end - 1)))
    reach = state.env[REACH]
    return may_be_header(header, reach) and may_be_rule(rule, header, reach) and table(state, begin, end, silent)


def _math_block(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    r"""Lines from one that is `$$` or `\[` to one that ends with `$$` or `\]`, or to an empty one."""
    opening = _line(state, begin)
    if opening not in ("$$", r"\[") or state.is_code_block(begin):
        return False
    if silent:
        return True
    closing, after = ("$$" if opening == "$$" else r"\]"), begin + 1
    while after < end and _line(state, after) and state.sCount[after] >= state.blkIndent:
        after += 1
        if _line(state, after - 1).endswith(closing):
            break
    token = state.push("math_block", "", 0)
    token.content = state.getLines(begin, after, state.blkIndent, False)
    token.map = [begin, after]
    state.line = after
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()


def _math(state: StateInline, silent: bool) -> bool:
    end = _formula_end(state.src, state.pos, state.posMax)
    if not end or not _is_in_reach(state, state.pos, end):
        return False
    if not silent:
        state.push(MATH, "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, begin: int, end: int) -> int:
    """Where the formula ends that begins here; 0 if none does."""
    opening = text[begin : begin + 2]
    if opening in (r"\(", r"\[", "$$"):
        closing = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}[opening]
        found = text.find(closing, begin + 3, min(end, begin + FORMULA))
        return found + 2 if found > 0 else 0
    match = _DOLLARS.match(text, begin, end) if opening[:1] == "$" else None
    return match.end() if match else 0


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Takes a run of `*` or `_` as delimiters of emphasis."""
    text, start, marker = state.src, state.pos, state.src[state.pos]
    if silent or marker not in "*_":
        return False
    end = start
    while end < state.posMax and text[end] == marker:
        end += 1
    before = text[start - 1] if start else " "
    after = text[end] if end < state.posMax else " "
    opens, closes = _flanks(before, after), _flanks(after, before)
    if marker == "_":
        opens, closes = (
            opens and (not closes or _is_punctuation(before)),
            closes and (not opens or _is_punctuation(after)),
        )
    for at in range(start, end):
        token = state.push("text", "", 0)
        token.content, token.meta = marker, {"at": at}
        state.delimiters.append(Delimiter(ord(marker), end - start, len(state.tokens) - 1, -1, opens, closes))
    state.pos = end
    return True


def _flanks(outside: str, inside: str) -> bool:
    """Whether a run of delimiters between the two may belong to the text on the inside."""
    if inside.isspace():
        return False
    if not _is_punctuation(inside) or _is_east_asian(inside):
        return True
    return outside.isspace() or _is_punctuation(outside) or _is_east_asian(outside)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _is_east_asian(character: str) -> bool:
    # Emoji are wide, too, but symbols; Korean's letters may be half as wide.
    wide = unicodedata.east_asian_width(character) in "WFH" and not "\U0001f000" <= character < "\U00020000"
    return wide or "\u1100" <= character <= "\u11ff"
