"""What a generator says beside its text: reasoning, notes, a command's stderr. Never part of the text.

Kept for the driver's terminal, in memory and bounded. How it gets there is the daemon's and the client's business.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ptstream.bell import Bell
from ptstream.generators import Remark

MAX_REMARKS = 64 * 1024
"""Characters that are kept for a driver which connects late."""

LEFT_OUT = "[… the beginning is left out] "
"""How an entry begins that is too long to be kept whole."""

ENTRY = 64
"""Characters that an entry counts for besides its own: a progress bar may come dot by dot."""


class Remarks:
    """What a generator says beside its text, for the driver's terminal: a bounded run of entries."""

    def __init__(self, before: int = 0) -> None:
        """`before` is how many were said before, elsewhere, at most: the numbers go on from there."""
        self.bell = Bell()
        self.before = before
        self.go_on = False
        """Whether there will be more, at another daemon, when there are no more here."""
        self._entries: deque[Remark] = deque()
        self._size = 0
        self._dropped = before

    def add(self, entry: Remark) -> None:
        """Keep it, of a huge one its end; the oldest goes when there are too many."""
        if len(entry.text) > MAX_REMARKS:
            entry = replace(entry, text=LEFT_OUT + entry.text[-MAX_REMARKS:])
        self._entries.append(entry)
        self._size += len(entry.text) + ENTRY
        while self._size > MAX_REMARKS and len(self._entries) > 1:
            self._size -= len(self._entries.popleft().text) + ENTRY
            self._dropped += 1
        self.bell.ring()

    def since(self, count: int) -> tuple[list[Remark], int]:
        """The entries after the first `count` that are still there, and the count to ask with next time."""
        total = self._dropped + len(self._entries)
        return list(self._entries)[max(0, count - self._dropped) :], total
