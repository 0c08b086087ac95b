"""Text to a terminal, whatever a stranger has written: only what is read comes out, all of that, however it was cut."""

from __future__ import annotations

import os
import re
import tty
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyte
from hypothesis import strategies as st

from ptstream.cli.control_sequences import FORBIDDEN, LIMIT, Filter, clean
from ptstream.cli.screen import Screen
from tests.faults.fuzz.grammar import CUTS, ODD_TEXT, broken_text, one_of, pieces
from tests.faults.fuzz.growth import Pumped, grows_evenly
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.runs import Run
from tests.faults.tally import Tally

BODY = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="w"), max_size=12)
"""What stands in a sequence: never a word of ours."""

INTRODUCERS = ("\x1bP", "\x1bX", "\x1b]", "\x1b^", "\x1b_", "\x90", "\x98", "\x9d", "\x9e", "\x9f")

STRINGS = st.builds(
    "{}{}{}".format,
    st.sampled_from(INTRODUCERS),
    BODY | st.sampled_from(("0;t", "2;t", "52;c;aGk=", "8;;http://x", "1337;File=:", "$q", "?1;2S", "x" * LIMIT)),
    st.sampled_from(("\x07", "\x9c", "\x1b\\")),
)

CONTROL_SEQUENCES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("\x1b[", "\x9b")),
    st.text("0123456789;:<=>?", max_size=6),
    st.text(" !\"#$%&'()*+,-./", max_size=2),
    st.characters(min_codepoint=0x40, max_codepoint=0x7E, exclude_characters="w"),
)

ESCAPES = st.builds(
    "\x1b{}{}".format,
    st.text(" !\"#$%&'()*+,-./", max_size=2),
    st.characters(min_codepoint=0x30, max_codepoint=0x4F),
)

CONTROLS = st.sampled_from(
    [chr(code) for code in (*range(9), *range(0x0B, 0x0D), *range(0x0E, 0x1B), 0x7F, 0x84, 0x9A)]
)

SEQUENCES = STRINGS | CONTROL_SEQUENCES | ESCAPES | CONTROLS
"""Whole ones, which act and are not read."""

WORDS = ("w1", "w2\n", " w3 ", "\tw4", "w5é", "w6あ", "w7👩‍👩‍👧", "w8\u00a0", "w9✓")

MADE = st.lists(one_of(WORDS).map(lambda word: (True, word)) | SEQUENCES.map(lambda text: (False, text)), max_size=10)

ANY = broken_text(
    st.lists(SEQUENCES | one_of(WORDS) | one_of(ODD_TEXT) | st.text(max_size=4), max_size=10).map("".join)
)

CUT = st.tuples(ANY, CUTS)


AT_ONCE = 500
"""Characters that are written before they are taken: a terminal holds 4 KiB."""


class Modes(NamedTuple):
    """What of a terminal a text may not change."""

    title: str
    icon: str
    modes: frozenset[int]
    hidden: bool
    margins: Any
    tabs: frozenset[int]
    charsets: tuple[Any, ...]
    attributes: Any
    saved: int


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        looks: list[Look[Any]] = [
            Look(CUT, lambda made: _filtered(*made)),
            Look(MADE, _keeps),
            Look(CUT, lambda made: _screen(ours, theirs, *made), 50),
            Look(st.builds(Pumped, *[one_of(("", *INTRODUCERS, *ODD_TEXT))] * 3), _grows, 4),
        ]
        search(run, tally, looks)
    finally:
        os.close(ours)
        os.close(theirs)


def sieved(parts: Sequence[str]) -> str:
    """What the filter lets through of a text in these pieces."""
    sieve = Filter()
    return "".join([*map(sieve.feed, parts), sieve.end()])


OURS = re.compile(r"\r\x1b\[K|\x1b\[[\d;:]*m|\r\n")
"""What is sent of what a command has written: a line that is drawn anew, and colours."""


def forbidden(text: str) -> list[str]:
    """What of it acts: controls and separators by Unicode's own word, what turns the direction that is read in, and
    what the filter itself says that it lets through nowhere."""
    turns = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    own = re.findall(f"[{FORBIDDEN}]", text)
    return own + [
        character
        for character in text
        if (unicodedata.category(character) == "Cc" and character not in "\n\t")
        or unicodedata.bidirectional(character) in turns
    ]


def _filtered(text: str, cuts: Sequence[int] | None) -> None:
    whole, cut = sieved([text]), sieved(pieces(text, cuts))
    if not whole == cut == clean(text):
        raise Wrong("cut elsewhere it is another", f"{whole!r}, {cut!r}, {clean(text)!r}")
    if found := forbidden(whole):
        raise Wrong("what acts comes out", found)
    if sieved([whole]) != whole:
        raise Wrong("a second time it is another", whole)
    if "\n" in clean(text, one_line=True) or forbidden(clean(text, one_line=True)):
        raise Wrong("a line that is none", clean(text, one_line=True))
    before, after = _modes("prompt$ "), _modes("prompt$ " + whole)
    if before != after:
        raise Wrong("the terminal is another afterwards", after)


def _modes(text: str) -> Modes:
    screen = pyte.Screen(40, 10)
    pyte.Stream(screen).feed(text.encode("utf-8", "replace").decode())
    return Modes(
        screen.title,
        screen.icon_name,
        frozenset(screen.mode),
        screen.cursor.hidden,
        screen.margins,
        frozenset(screen.tabstops),
        (screen.charset, screen.g0_charset, screen.g1_charset),
        screen.cursor.attrs,
        len(screen.savepoints),
    )


def _keeps(made: Sequence[tuple[bool, str]]) -> None:
    """All words come out, and of whole sequences nothing."""
    text, words = "".join(part for _, part in made), "".join(part for word, part in made if word)
    shown = sieved([text])
    if shown != words:
        raise Wrong("what is read is another", f"{shown!r} instead of {words!r}")


def _screen(ours: int, theirs: int, text: str, cuts: Sequence[int] | None) -> None:
    """What a terminal is really sent, a text being cut at any byte, a name and an error beside it."""
    text = text[:AT_ONCE]
    screen = Screen(theirs, theirs, environ={"TERM": "xterm"}, color="never")
    says: list[Callable[[], None]] = [
        *(partial(screen.text, piece) for piece in pieces(text.encode("utf-8", "surrogatepass"), cuts)),
        screen.finish,
        partial(screen.note, text),
        partial(screen.error, ValueError(text)),
        partial(screen.table, ["a", "b"], [[text, "x"]], flexible=0),
        partial(screen.data, {"name": text}),
    ]
    sent = b""
    for say in says:
        say()
        sent += taken(ours)
    screen.close()
    shown = sent.decode()  # or it is no UTF-8
    if found := forbidden(OURS.sub("", shown)):
        raise Wrong("what acts is sent", found)


def taken(fd: int) -> bytes:
    """What was written to the terminal, all of it there already."""
    os.set_blocking(fd, False)
    return b"".join(_runs(fd))


def _runs(fd: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(fd, 65536)
        except BlockingIOError:
            return


def _grows(pumped: Pumped[str]) -> None:
    grows_evenly(pumped, clean)
    grows_evenly(pumped, lambda text: sieved(pieces(text, range(0, len(text), 97))))
