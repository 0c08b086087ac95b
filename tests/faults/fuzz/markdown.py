"""Markdown on a terminal, whatever a model writes: each word is there, nothing acts, and no text takes long."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from ptstream.cli.markdown import Rendered
from tests.emulator import Reflowing
from tests.faults.fuzz.grammar import CUTS, ODD_TEXT, broken_text, one_of, pieces
from tests.faults.fuzz.growth import Pumped, grows_evenly
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.fuzz.terminal import forbidden
from tests.faults.runs import Run
from tests.faults.tally import Tally

WIDE, NARROW = (2000, 50), (31, 9)
"""Columns and lines: where no word is wrapped, and where most are."""

LONGEST = 200
"""Characters of a text that is cut anywhere."""

OURS = re.compile(r"\x1b\[[\d;]*m|\r(?:\x1b\[2K\x1b\[A)*\x1b\[2K")
"""What is drawn with: colours, and the tail that is taken away."""

WORD = st.integers(0, 99).map("w{:02}".format)

ADDRESSES = (
    *("https://a.example/x", "javascript:alert(1)", "data:text/html,x", "mailto:a@b.c", "//c.d", "JaVaScRiPt:x"),
    *("vbscript:x", "java&#10;script:x", "https:javascript:x", "x", ""),
)

INLINE = st.recursive(
    WORD,
    lambda inner: st.one_of(
        st.builds("{0}{1}{0}".format, st.sampled_from(("*", "**", "_", "__", "***", "~~")), inner),
        WORD.map("`{}`".format),
        st.builds("[{}]({})".format, inner, st.sampled_from(ADDRESSES)),
        st.builds("![{}]({})".format, WORD, st.sampled_from(ADDRESSES)),
        st.builds("{} {}".format, inner, inner),
        st.builds("{}\n{}".format, inner, inner),
        st.builds("<b>{}</b>".format, inner),
        st.builds("{} <https://example.com/{}>".format, inner, WORD),
    ),
    max_leaves=6,
)

ROW = st.lists(WORD, min_size=3, max_size=3).map(lambda cells: f"| {' | '.join(cells)} |")


def _indented(text: str, first: str, rest: str) -> str:
    return first + text.replace("\n", f"\n{rest}")


BLOCK = st.recursive(
    st.one_of(
        INLINE,
        st.builds("{} {}".format, st.sampled_from(("#", "##", "###", "######")), WORD),
        st.builds("{}\n{}".format, WORD, st.sampled_from(("===", "---"))),
        st.builds("```{}\n{}\n{}\n```".format, st.sampled_from(("", "python", "html", "nosuch", "a b c")), WORD, WORD),
        st.builds("~~~\n{}\n\n{}\n~~~".format, WORD, WORD),
        WORD.map("    {}".format),
        st.lists(ROW, min_size=1, max_size=3).map(lambda rows: "\n".join([rows[0], "|---|:-:|--:|", *rows[1:]])),
        st.sampled_from(("---", "***", "<div>", "&#27;[2J", "&lt;script&gt;")),
    ),
    lambda inner: st.one_of(
        inner.map(lambda text: _indented(text, "> ", "> ")),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda items: "\n".join(_indented(each, "- ", "  ") for each in items)
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda items: "\n".join(_indented(each, "7. ", "   ") for each in items)
        ),
    ),
    max_leaves=5,
)

DOCUMENTS = st.lists(BLOCK, max_size=5).map("\n\n".join)

ANY = broken_text(DOCUMENTS)

PARTS = (
    *(
        "*",
        "_",
        "**",
        "a*",
        "*a ",
        "_a",
        "`",
        "a`",
        "``a`",
        "[",
        "![",
        "[a](",
        "[a](b) ",
        "](",
        "<",
        "<a ",
        "<!--",
        "&",
        "&#",
        "\\",
    ),
    *(
        "> ",
        ">",
        "- ",
        "-\n",
        "- a\n",
        "1. ",
        "1. a\n",
        "1.\n",
        "#",
        "# a\n",
        "|",
        "| a ",
        "|a\n",
        "|-",
        "```\n",
        "~~~\n",
        "~",
        "~~a",
    ),
    *(
        "\n",
        "\n\n",
        "a\n",
        "a ",
        "    a\n",
        "\t",
        " ",
        "  \n",
        "===\n",
        "---\n",
        "<div>\n",
        "a@b.c ",
        "http://a ",
        "[a]: b\n",
        "\x1b[",
        "\x1b]",
    ),
    *(
        "> a\n",
        "> > ",
        "  - a\n",
        "a\n\n",
        "| a | b |\n",
        "|-|\n",
        '"',
        "'",
        "(",
        ")",
        "!",
        "あ",
        "👩‍👩‍👧",
        "é",
        "<b>a</b>",
        "&amp;",
    ),
)

PUMPED = st.builds(
    Pumped,
    one_of(("", "", "# ", "| a |\n|---|\n", "```\n", "- ", "[a]: ", *PARTS)),
    st.lists(one_of(PARTS), min_size=1, max_size=3).map("".join),
    one_of(("", "", *ODD_TEXT)),
)


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    looks: list[Look[Any]] = [
        Look(st.tuples(ANY, CUTS, st.sampled_from((WIDE, NARROW))), lambda made: _same(*made)),
        Look(DOCUMENTS, _keeps),
        Look(PUMPED, _grows, 5),
    ]
    search(run, tally, looks)


def rendered(parts: Sequence[str], size: tuple[int, int], clock: Callable[[], float] | None = None) -> str:
    """All that a terminal of that size is sent; by a clock of its own, a frame after each piece."""
    seconds = itertools.count(1)
    form = Rendered(lambda: size, clock or (lambda: float(next(seconds))))
    return "".join([*map(form.feed, parts), form.end()])


def words(text: str) -> list[str]:
    """Those that a document is made of."""
    return re.findall(r"w\d\d", text)


_OPENING = re.compile(r"^[ \t>*+\-\d.)]*(?:`{3,}|~{3,}).*$", re.MULTILINE)
"""A line that opens a code block: what follows says what it is, and is no text (CommonMark 0.31, 4.5)."""


def _same(text: str, cuts: Sequence[int] | None, size: tuple[int, int]) -> None:
    text = text[:LONGEST]  # each piece draws the tail anew
    whole, cut = rendered([text], size), rendered(pieces(text, cuts), size)
    for sent in (whole, cut):
        if found := forbidden(OURS.sub("", sent)):
            raise Wrong("what acts is sent", found)
    if (lines := _lines(whole, size)) != (others := _lines(cut, size)):
        raise Wrong("cut elsewhere it is another", f"{lines} but {others}")


def _lines(sent: str, size: tuple[int, int]) -> list[str]:
    terminal = Reflowing(size[0])
    terminal.feed(sent)
    return terminal.lines


def _keeps(text: str) -> None:
    shown = words(OURS.sub("", rendered([text], WIDE)))
    asked = words(_OPENING.sub("", text))
    if missing := [word for word in asked if asked.count(word) > shown.count(word)]:
        raise Wrong("words are missing", missing)


def _grows(pumped: Pumped[str]) -> None:
    work: list[Callable[[str], object]] = [
        lambda text: rendered([text], NARROW, time.process_time),
        lambda text: rendered(pieces(text, range(0, len(text), 500)), NARROW, time.process_time),
    ]
    for each in work:
        grows_evenly(pumped, each)
