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

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.autolink import autolink
from markdown_it.rules_inline.backticks import backtick
from markdown_it.rules_inline.link import link
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.rules_inline.strikethrough import tokenize as strikethrough

from ptstream.cli.wrapping import most_cells

FORMULA = 500
"""Characters of a formula inside a line, at most: what opens one and is not closed by then opens none."""

HEADER = 1000
"""Characters of a table's first line, at most: a longer line surely belongs to a paragraph."""

REACH = "reach"
"""In the environment of a parser's run: how far a mark may stand from what closes it, in cells of a terminal."""

LEAST_REACH = 60

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
    made.inline.ruler.at("backticks", _code)
    made.inline.ruler.at("strikethrough", _strikethrough)
    made.inline.ruler.at("emphasis", _emphasis)
    made.inline.ruler.at("link", _reaching(link))
    made.inline.ruler.at("autolink", _reaching(autolink))
    made.inline.ruler2.after("balance_pairs", REACH, _part_what_is_too_far)
    return made


def reach_in(width: int, height: int) -> int:
    """Cells of a text that certainly fit into that many columns and rows, inside a list as well."""
    # Two rows that follow each other have as many cells as one has columns, or more; in a list, half of them.
    return max(LEAST_REACH, (height - 3) * width // 6)


def reached(text: str) -> int:
    """Cells that a source takes at least as many of as what is shown of it."""
    return most_cells(text) + 3 * text.count("\t")


def may_be_header(line: str, reach: int) -> bool:
    """Whether a line is no longer than one of a table that others come after."""
    return len(line) <= HEADER and reached(line) <= reach


def _is_in_reach(state: StateInline, begin: int, end: int) -> bool:
    return reached(state.src[begin:end]) <= int(state.env[REACH])


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
    header = state.src[state.bMarks[begin] : state.eMarks[begin]]
    return may_be_header(header, state.env[REACH]) and table(state, begin, end, silent)


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
