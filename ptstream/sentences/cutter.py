"""When pending text is flushed: at a boundary, when it has waited too long, when it is too much, before an end.

Where the boundaries are, the scanners know: `scanner` for sentences, `LineScanner` for lines.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ptstream.sentences.boundaries import LONGEST_WORD, last_grapheme_boundary, last_word_boundary
from ptstream.sentences.scanner import SentenceScanner
from ptstream.sentences.segmenter import Segmenter, sentencex
from ptstream.streams import Flush

LINES_AT_ONCE = 64 * 1024
"""Characters that are looked at for lines before others have their turn, which takes next to no time."""


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
        self._scanner: Scanner = LineScanner() if rule is Flush.LINES else SentenceScanner(segmenter)
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
        boundary = self._scanner.boundary
        text = self._leave(boundary) if boundary > self._begin else ""
        if self._pieces and self._arrivals[0][1] + self._max_delay <= now:
            text += self._leave(self._word_boundary())
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
        return came + self._max_delay if self._word_boundary() > self._begin else None

    def _shrink(self) -> str:
        """What is too much, up to the last word; if that is too long in itself, up to its last character."""
        text = self._leave(self._word_boundary())
        if self._bytes > self._max_bytes:
            pending = self._joined()
            text += self._leave(self._begin + last_grapheme_boundary(pending, len(pending) - 1))
        if self._bytes > self._max_bytes:
            text += self._leave(self._end)
        return text

    def _word_boundary(self) -> int:
        """The last place between two words, for text that has waited too long for a better one.

        Looked for only when it is asked for, and only in a word's reach of the end.
        """
        pending = self._joined() if self._pieces else ""
        last = pending[-2 * LONGEST_WORD :]
        found = last_word_boundary(last)
        if not found and len(last) > LONGEST_WORD:
            found = last_grapheme_boundary(last, len(last) - 1)
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


class LineScanner:
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


def _size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
