"""What models write beyond CommonMark: formulas, and emphasis beside East Asian punctuation.

Formulas are shown as they were written: no character of theirs is markup. Emphasis follows the amendment "CJK friendly"
(https://github.com/tats-u/markdown-cjk-friendly) of CommonMark's rules for delimiter runs.
"""

from __future__ import annotations

import re
import unicodedata

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter

FORMULA = 500
"""Characters of a formula inside a line, at most: what opens one and is not closed by then opens none."""

HEADER = 1000
"""Characters of a table's first line, at most: a longer line surely belongs to a paragraph."""

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
    made.inline.ruler.before("escape", MATH, _math)
    made.inline.ruler.at("emphasis", _emphasis)
    return made


def _table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    return state.eMarks[begin] - state.bMarks[begin] <= HEADER and table(state, begin, end, silent)


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
    if not end:
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
    for _ in range(end - start):
        state.push("text", "", 0).content = marker
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
