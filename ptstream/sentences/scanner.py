"""Where sentences and blocks end in a text that grows.

"Not yet" is a value here: a candidate whose future is in doubt (the next word, the next line's first letter, a
character that may still grow) is looked at again when more text has come. What has been decided stays so,
and does not depend on how the text was cut into pieces. Every search goes on from where the last one ended,
within a window, so that a megabyte in single characters costs no more per character than a sentence does.

Whether a sentence ends at a terminator is `rules`' business, how Markdown's lines begin `blocks`'.
"""

from __future__ import annotations

import re

from ptstream.sentences.boundaries import LONGEST_WORD, is_grapheme_boundary
from ptstream.sentences.candidate import SAMPLE
from ptstream.sentences.markdown_lines import ITEM, PROSE, WHOLE, begins_item, fence_after, line_kind, next_item
from ptstream.sentences.rules import ends_sentence
from ptstream.sentences.segmenter import Segmenter, sentencex
from ptstream.sentences.terminators import FULLWIDTH, TERMINATORS, UNSPACED, run_end

CONTEXT = 400
"""Characters kept before the candidate that is looked at."""

LOOKAHEAD = 80
"""Characters behind a candidate that decide about it at the latest."""

AT_ONCE = 128
"""Characters that are looked at for sentences before others have their turn: 2 ms or so at the worst."""

LONG_LINE = 60
"""Characters from which on a line without a terminator may be a paragraph's that somebody wrapped, and a list's item
is a paragraph itself."""

_THAI = "\u0e00-\u0e7f"
"""Thai."""

_CANDIDATE = re.compile(rf"[\n•{TERMINATORS}]|(?<=\s\w)\)|(?<=\s\w\w)\)|(?<=ครับ)\s|(?<=ค่ะ)\s")
"""Where the text may be cut. In Thai, what is said politely ends in a word for it."""

_MAY_MATTER = re.compile(rf"[\n•){TERMINATORS}{_THAI}]")
"""A character without which, and without one of them before it, there is no such place in a text."""

_LINE_END = ".!?:…：" + UNSPACED + FULLWIDTH
_NO_SPACE_BEHIND = UNSPACED + FULLWIDTH
_RUN_TOGETHER = re.compile(r"(?:^|\s)[^\W\d_A-Z]?[^\W\d_A-Z'’]*[^\W\d_A-Z][!?]+[A-Z]\Z")
"""Two sentences that were appended without a space, "there!How": a plain word, not part of an address or of code."""

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")

_SPACE = re.compile(r"[^\S\n]+")


class SentenceScanner:
    """Cuts behind sentences, and behind the lines of code, tables, headings and lists.

    `_text` is a window on all that was pushed, and `_start` is its place there; `_next` and `_line` are places
    in the window: where to look next, and where the current line begins (before the window, if negative).
    """

    at_once = AT_ONCE

    def __init__(self, segmenter: Segmenter = sentencex) -> None:
        self.boundary = 0
        self._segmenter = segmenter
        self._text = ""
        self._start = 0
        self._next = 0
        self._line = 0
        self._kind: str | None = None  # the current line's, one of WHOLE, ITEM and PROSE
        self._fence = ""  # what opened the code that we are in
        self._earlier = ""  # what has left the window, for the language
        self._held: list[str] = []  # pieces in which the text cannot be cut, not in the window yet
        self._room = AT_ONCE  # for further characters there
        self._waits = False  # whether the next piece decides about what came before it

    def push(self, piece: str) -> None:
        """Adds a piece."""
        if not self._waits and not _MAY_MATTER.search(piece):
            self._held.append(piece)
            self._room -= len(piece)
            if self._room > 0:
                return
            piece = ""
        if self._held:
            piece = "".join([*self._held, piece])
            self._held, self._room = [], AT_ONCE
        self._look_through(piece)

    def _look_through(self, piece: str) -> None:
        for at in range(0, len(piece), CONTEXT):
            self._text += piece[at : at + CONTEXT]
            while self._step():
                pass
            if self._next > 2 * CONTEXT:
                self._move(self._next - CONTEXT)

    def _step(self) -> bool:
        """Looks at the next place where the text may be cut; False if that needs more text."""
        found = self._find()
        if found < 0:
            self._next = len(self._text)
            self._waits = _THAI[0] <= self._text[-1:] <= _THAI[-1]
            return False
        behind = self._newline(found) if self._text[found] == "\n" else self._candidate(found)
        self._next = found if behind is None else behind
        self._waits = behind is None
        return behind is not None

    def _find(self) -> int:
        if self._fence or self._line_kind() == WHOLE:
            return self._text.find("\n", self._next)
        found = _CANDIDATE.search(self._text, self._next)
        return found.start() if found else -1

    def _line_kind(self) -> str:
        if self._kind is not None:
            return self._kind
        kind = line_kind(self._text, self._line)
        if kind != PROSE or len(self._text) - self._line > LOOKAHEAD:
            self._kind = kind
        return kind

    def _newline(self, index: int) -> int | None:
        """Decides about the line feed at `index`; where to go on, or None to wait."""
        cuts = self._ends_block(index)
        if cuts is None:
            return None
        if self._line >= 0:
            self._fence = fence_after(self._text[self._line : index].strip(" \t\r>"), self._fence)
        self._line = index + 1
        self._kind = None
        return self._cut(index + 1) if cuts else index + 1

    def _ends_block(self, index: int) -> bool | None:
        """Whether the line feed at `index` ends more than a line of a wrapped paragraph; None if in doubt."""
        line = self._text[max(0, self._line) : index].rstrip()
        if not line:
            # A blank line alone is no chunk worth a commit: it goes with what comes next.
            return bool(self._text[:index].strip())
        terminated, short = line[-1] in _LINE_END, index - self._line < LONG_LINE
        if self._fence or self._line_kind() != PROSE or (terminated and short):
            return True
        following = self._text[index + 1 : index + LOOKAHEAD].lstrip(" \t\r")
        if not following:
            return True if len(self._text) >= index + LOOKAHEAD else None
        if following[0].islower():
            return False
        return terminated or short or not following[0].isupper()

    def _candidate(self, index: int) -> int | None:
        """Decides about the candidate at `index`; where to go on, or None to wait."""
        item = next_item(self._text, index) if self.boundary == self._start else 0
        if item is None or item:
            return item and self._cut(item)
        wide_number = self._text[index] == "．" and self._text[:index][-1:].isdigit()
        if self._text[index] in ")•" or wide_number:
            return index + 1
        known = self._text[: index + LOOKAHEAD]
        behind = run_end(known, index)
        space = _SPACE.match(known, behind)
        begin = space.end() if space else behind
        behind = max(behind, index + 1)
        verdict = self._verdict(known, index, begin, bool(space))
        if verdict is None:
            return None if len(known) < index + LOOKAHEAD else behind
        return self._cut(begin) if verdict and is_grapheme_boundary(known, begin) else behind

    def _verdict(self, known: str, index: int, begin: int, spaced: bool) -> bool | None:
        """Whether a sentence ends at the terminator at `index` of `known`, so that the next begins at `begin`.

        None to wait.
        """
        if begin == len(known):
            return None
        if self._line_kind() == ITEM and index - self._line < LONG_LINE:
            item = begins_item(known, begin)
            if not item:
                return item
        if not spaced and _RUN_TOGETHER.search(known[max(0, index - LONGEST_WORD) : begin + 1]):
            return True
        if known[begin] != "\n" and (spaced or known[index] in _NO_SPACE_BEHIND or _is_wide(known, index, begin)):
            return ends_sentence(known, index, begin, self._earlier, self._segmenter)
        return False

    def _cut(self, index: int) -> int:
        """Lets what is before `index` go; returns where to go on, which is the window's new beginning."""
        self.boundary = self._start + index
        self._move(index)
        return 0

    def _move(self, index: int) -> None:
        """Lets the window begin at what is `index` now."""
        if self._line < index:
            self._kind = self._line_kind()
        self._earlier = (self._earlier + self._text[:index])[-SAMPLE:]
        self._text = self._text[index:]
        self._start += index
        self._next = max(0, self._next - index)
        self._line -= index


def _is_wide(text: str, index: int, begin: int) -> bool:
    """Whether what is before the terminator at `index` and what begins at `begin` are of a script without spaces."""
    return bool(index and text[index] in ".!?" and _WIDE.match(text, index - 1) and _WIDE.match(text, begin))
