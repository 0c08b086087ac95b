"""Pieces in, flush points out: where a growing text may be cut into chunks.

Pure: time comes in as a parameter, and nothing is read or written. Whether a sentence ends at a stop is
`stops`' business; what becomes of a chunk is the caller's.

"Not yet" is a value here: a place whose future is in doubt (the next word, the next line's first letter, a
character that may still grow) is looked at again when more text has come. What has been decided stays so,
and does not depend on how the text was cut into pieces. Every search goes on from where the last one ended,
within a window, so that a megabyte in single characters costs no more per character than a sentence does.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Protocol

from ptstream.stops import CLOSERS, FULL, NATIVE, SAMPLE, SMILE, STOPS, Segmenter, ends, points_inward, sentencex
from ptstream.streams import Flush

CONTEXT = 400
"""Characters kept before the place that is looked at."""

LOOKAHEAD = 80
"""Characters behind a possible sentence end that decide about it at the latest."""

AT_ONCE = 128
"""Characters that are looked at for sentences before others have their turn: 2 ms or so at the worst."""

LINES_AT_ONCE = 64 * 1024
"""The same for lines, which takes next to no time."""

LONGEST_WORD = 100
"""Characters without a word border that are no longer taken for one word."""

LONG_LINE = 60
"""Characters from which on a line without a stop may be a paragraph's that somebody wrapped, and a list's item is
a paragraph itself."""

WHOLE, ITEM, PROSE = "whole", "item", "prose"
"""Kinds of lines: cut at its end only; at its end, and within only if it is long; like the text around it."""


class Scanner(Protocol):
    """Sees every piece once, and knows where the text may be cut."""

    boundary: int
    """The last certain flush point, in characters from the start of all that was pushed."""

    @property
    def at_once(self) -> int:
        """How many characters one `push` is best given."""

    def push(self, piece: str) -> None:
        """Adds a piece."""


class Cutter:
    """Pieces in, flush points out.

    All that `take` and `rest` return is, in order, exactly what was pushed. `max_delay` is in seconds,
    `max_bytes` in bytes of UTF-8, `now` in seconds of any one monotonic clock.
    """

    def __init__(
        self,
        rule: Flush,
        *,
        max_delay: float = 10.0,
        max_bytes: int = 16 * 1024,
        segmenter: Segmenter = sentencex,
    ) -> None:
        self._scanner: Scanner = Lines() if rule is Flush.LINES else Sentences(segmenter)
        self._max_delay = max_delay
        self._max_bytes = max_bytes
        self._pieces: list[str] = []
        self._arrivals: deque[tuple[int, float]] = deque()  # where a piece ends, and when it came
        self._begin = 0  # both in characters from the start of all that was pushed
        self._end = 0
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Cutter {type(self._scanner).__name__} {self._begin}..{self._end}: {self._bytes} bytes>"

    @property
    def pending(self) -> int:
        """Bytes of UTF-8 waiting."""
        return self._bytes

    @property
    def at_once(self) -> int:
        """How many characters of a large piece one `push` is best given: the time it takes grows with them."""
        return self._scanner.at_once

    def push(self, piece: str, now: float) -> None:
        """Adds a piece that came at `now`."""
        if not piece:
            return
        self._pieces.append(piece)
        self._end += len(piece)
        self._bytes += _size(piece)
        self._arrivals.append((self._end, now))
        self._scanner.push(piece)

    def take(self, now: float) -> str:
        """The text that may be flushed at `now`; it leaves the cutter. Empty if there is none."""
        text = self._leave(self._scanner.boundary)
        if self._pieces and self._arrivals[0][1] + self._max_delay <= now:
            text += self._leave(self._word_border())
        if self._bytes > self._max_bytes:
            text += self._shrink()
        return text

    def rest(self) -> str:
        """Everything pending, for an end; it leaves the cutter."""
        return self._leave(self._end)

    def deadline(self) -> float | None:
        """When `take` will have something without another piece, by the clock of `now`.

        None if only another piece can bring that about: nothing is pending, or a single word that may go on.
        """
        if not self._pieces:
            return None
        came = self._arrivals[0][1]
        if self._scanner.boundary > self._begin or self._bytes > self._max_bytes:
            return came
        return came + self._max_delay if self._word_border() > self._begin else None

    def _shrink(self) -> str:
        """What is too much, up to the last word; if that is too long in itself, up to its last character."""
        text = self._leave(self._word_border())
        if self._bytes > self._max_bytes:
            pending = self._joined()
            text += self._leave(self._begin + _border(pending, len(pending) - 1))
        if self._bytes > self._max_bytes:
            text += self._leave(self._end)
        return text

    def _word_border(self) -> int:
        """The last place between two words, for text that has waited too long for a better one.

        Looked for only when it is asked for, and only in a word's reach of the end.
        """
        pending = self._joined() if self._pieces else ""
        last = pending[-2 * LONGEST_WORD :]
        found = _between_words(last)
        if not found and len(last) > LONGEST_WORD:
            found = _border(last, len(last) - 1)
        return self._begin + (len(pending) - len(last) + found if found else 0)

    def _leave(self, position: int) -> str:
        if position <= self._begin:
            return ""
        pending, size = self._joined(), position - self._begin
        head, tail = pending[:size], pending[size:]
        self._pieces = [tail] if tail else []
        self._begin = position
        self._bytes -= _size(head)
        while self._arrivals and self._arrivals[0][0] <= position:
            self._arrivals.popleft()
        return head

    def _joined(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]


class Lines:
    """Cuts behind each line feed, so that CR LF stays whole."""

    at_once = LINES_AT_ONCE

    def __init__(self) -> None:
        self.boundary = 0
        self._end = 0

    def push(self, piece: str) -> None:
        """Adds a piece."""
        newline = piece.rfind("\n")
        if newline >= 0:
            self.boundary = self._end + newline + 1
        self._end += len(piece)


class Sentences:
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
        self._said = ""  # what has left the window, for the language

    def push(self, piece: str) -> None:
        """Adds a piece."""
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
            return False
        behind = self._newline(found) if self._text[found] == "\n" else self._stop(found)
        self._next = found if behind is None else behind
        return behind is not None

    def _find(self) -> int:
        if self._fence or self._line_kind() == WHOLE:
            return self._text.find("\n", self._next)
        found = _PLACE.search(self._text, self._next)
        return found.start() if found else -1

    def _line_kind(self) -> str:
        if self._kind is not None:
            return self._kind
        known = _BY_LINE.match(self._text, self._line)
        kind = known.lastgroup or WHOLE if known else PROSE
        if known or len(self._text) - self._line > LOOKAHEAD:
            self._kind = kind
        return kind

    def _newline(self, index: int) -> int | None:
        """Decides about the line feed at `index`; where to go on, or None to wait."""
        cuts = self._ends_block(index)
        if cuts is None:
            return None
        if self._line >= 0:
            self._fence = _fence_after(self._text[self._line : index].strip(" \t\r>"), self._fence)
        self._line = index + 1
        self._kind = None
        return self._cut(index + 1) if cuts else index + 1

    def _ends_block(self, index: int) -> bool | None:
        """Whether the line feed at `index` ends more than a line of a wrapped paragraph; None if in doubt."""
        line = self._text[max(0, self._line) : index].rstrip()
        if not line:
            # A blank line alone is no chunk worth a commit: it goes with what comes next.
            return bool(self._text[:index].strip())
        stopped, short = line[-1] in _LINE_END, index - self._line < LONG_LINE
        if self._fence or self._line_kind() != PROSE or (stopped and short):
            return True
        following = self._text[index + 1 : index + LOOKAHEAD].lstrip(" \t\r")
        if not following:
            return True if len(self._text) >= index + LOOKAHEAD else None
        if following[0].islower():
            return False
        return stopped or short or not following[0].isupper()

    def _stop(self, index: int) -> int | None:
        """Decides about the stop at `index`; where to go on, or None to wait."""
        item = self._next_item(index)
        if item is None or item:
            return item and self._cut(item)
        wide_number = self._text[index] == "．" and self._text[:index][-1:].isdigit()
        if self._text[index] in ")•" or wide_number:
            return index + 1
        known = self._text[: index + LOOKAHEAD]
        behind = _run_end(known, index)
        space = _SPACE.match(known, behind)
        begin = space.end() if space else behind
        behind = max(behind, index + 1)
        verdict = self._verdict(known, index, begin, bool(space))
        if verdict is None:
            return None if len(known) < index + LOOKAHEAD else behind
        return self._cut(begin) if verdict and _border(known, begin) == begin else behind

    def _next_item(self, index: int) -> int | None:
        """Where the list's next item begins, if its mark is at `index` and the window begins with the one before it.

        So it is in a list that is not cut into lines. 0 if there is none; None to wait.
        """
        if self._text[index] not in ".)•" or self.boundary < self._start:
            return 0
        if self._text[index] == "•":
            return index if self._text.lstrip().startswith("•") and self._text[:index].strip() else 0
        item, label = _ITEM.match(self._text), _LABEL.search(self._text, max(0, index - LONGEST_LABEL), index)
        if not item or not label or not _follows(item[1], label[2]):
            return 0
        behind = self._text[index : index + len(item[2]) + 1]
        if len(behind) <= len(item[2]) and item[2].startswith(behind):
            return None
        return label.start(1) if behind[:-1] == item[2] and behind[-1].isspace() else 0

    def _verdict(self, known: str, index: int, begin: int, spaced: bool) -> bool | None:
        """Whether a sentence ends at the stop at `index` of `known`, and the next begins at `begin`; None to wait."""
        if begin == len(known):
            return None
        if self._line_kind() == ITEM and index - self._line < LONG_LINE and not _NEXT_ITEM.match(known, begin):
            return None if _MAY_BE_ITEM.fullmatch(known, begin) else False
        if not spaced and _RUN_TOGETHER.search(known[max(0, index - LONGEST_WORD) : begin + 1]):
            return True
        if known[begin] != "\n" and (spaced or known[index] in _NO_SPACE_BEHIND or _is_wide(known, index, begin)):
            return ends(known, index, begin, self._said, self._segmenter)
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
        self._said = (self._said + self._text[:index])[-SAMPLE:]
        self._text = self._text[index:]
        self._start += index
        self._next = max(0, self._next - index)
        self._line -= index


_PLACE = re.compile(rf"[\n•{STOPS}]|(?<=\s\w)\)|(?<=\s\w\w)\)|(?<=ครับ)\s|(?<=ค่ะ)\s")
"""Where the text may be cut. In Thai, what is said politely ends in a word for it."""

_ITEM = re.compile(r"\s*(?:[-*+•⁃]\s*)?\(?(\d{1,3}|[a-z])(\.\)|[.)])\s")
_LABEL = re.compile(r"(?<=[^\s:;,(])\s+((?:[-*•⁃]\s*)?\(?(\d{1,3}|[a-z]))\Z")
"""An item with its label and the label's mark; a label, behind the text of another item, without its mark."""

_BY_LINE = re.compile(
    r"[ \t>]{0,60}(?:(?P<whole>```|~~~|\||#{1,6}[ \t])"
    r"|(?P<item>[-*+•][ \t]|\(?(?:\d{1,9}|[a-z]|[ivx]{1,5})(?:\.|\.?\))[ \t]))"
)
"""How a line begins that is cut at its end: a fence, a table's row, a heading; a list's item."""

LONGEST_LABEL = 10
"""Characters of a label, with the white space before it."""


def _follows(label: str, other: str) -> bool:
    """Whether `other` is what follows `label` in an enumeration."""
    if label.isdigit() and other.isdigit():
        return int(other) == int(label) + 1
    return not label.isdigit() and not other.isdigit() and ord(other) == ord(label) + 1


_NEXT_ITEM = re.compile(r"(?:\(?(?:\d{1,3}|[a-z])[.)]+|[-–—•])\s")
_MAY_BE_ITEM = re.compile(r"(?:\(?(?:\d{0,3}|[a-z])[.)]*|[-–—•])")

_FENCE = re.compile(r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}(?=[^`]*\Z)|~{3,})")
_LINE_END = ".!?:…：" + NATIVE + FULL
_NO_SPACE_BEHIND = NATIVE + FULL
_RUN_TOGETHER = re.compile(r"(?:^|\s)[^\W\d_A-Z]?[^\W\d_A-Z'’]*[^\W\d_A-Z][!?]+[A-Z]\Z")
"""Two sentences that were appended without a space, "there!How": a plain word, not part of an address or of code."""

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def _is_wide(text: str, index: int, begin: int) -> bool:
    """Whether what is before the stop at `index` and what begins at `begin` are of a script without spaces."""
    return bool(index and text[index] in ".!?" and _WIDE.match(text, index - 1) and _WIDE.match(text, begin))


_SPACE = re.compile(r"[^\S\n]+")

_EMOJI = rf"(?:[ \xa0]?(?:{SMILE}|[\u2600-\u27bf\U0001f000-\U0001faff][\ufe0f\u200d]*))"
_NOTE = r"(?: ?\[\^?(?:\w{0,3}|\d[\d ,–-]{0,12})(?:\]|\Z))"
_RUN = re.compile(rf"[{STOPS}]+(?:[{CLOSERS}]|{_NOTE}|{_EMOJI})*")
_SPACED_RUN = re.compile(rf"[{STOPS}]+(?:[ \xa0\u202f]?[»›]|[{CLOSERS}]|{_NOTE}|{_EMOJI})*")
_WIDE_RUN = re.compile(rf"[{FULL}!?…]+(?:[”’»)\]}}*_」』）】〕〉》]|{_NOTE}|{_EMOJI})*")
"""A stop with all that belongs to it: more stops, closing quotes, a footnote's number, a smile."""


def _run_end(text: str, index: int) -> int:
    """Where the stop at `index` ends with all that belongs to it."""
    if text[index] in FULL:
        pattern = _WIDE_RUN
    elif not points_inward(text[:index]) and text.rfind("«", 0, index) > text.rfind("»", 0, index):
        pattern = _SPACED_RUN
    else:
        pattern = _RUN
    run = pattern.match(text, index)
    return run.end() if run else index


def _fence_after(line: str, fence: str) -> str:
    """What opened the code that the text is in behind `line`, a whole one; empty outside of code."""
    if fence:
        return "" if line.startswith(fence) and not line.strip(fence[0]) else fence
    found = _FENCE.match(line)
    return found[1] if found else ""


_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]")


def _between_words(text: str) -> int:
    """The last index in `text` that lies between two words for certain; 0 if there is none."""
    if text.endswith("\n"):
        return len(text)
    words = text.rstrip()
    if words and len(words) < len(text) and _border(text, len(words)) == len(words):
        return len(words)
    last = len(words) - len(words.rsplit(None, 1)[-1]) if words else 0
    if not words.isascii():
        for index in range(len(words) - 1, last, -1):
            if _NO_SPACES.match(words, index) and _border(text, index) == index:
                return index
    return last if last and _border(text, last) == last else 0


def _border(text: str, index: int) -> int:
    """The last border of two grapheme clusters at or before `index`, an index of a character of `text`."""
    from wcwidth import grapheme_boundary_before

    border: int = grapheme_boundary_before(text, index + 1)
    return border


def _size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
