"""What a generator says beside its text: reasoning and notes, kept for the driver's terminal. Never part of the text.

In memory and bounded. How it gets to the terminal is the daemon's and the client's business.
"""

from __future__ import annotations

from collections import deque

from ptstream.generators import Note, Reasoning
from ptstream.tail import Bell

MAX_ASIDES = 64 * 1024
"""Characters of reasoning and notes that are kept for a driver which connects late."""


class Asides:
    """What a generator says beside its text, for the driver's terminal: a bounded run of reasoning and notes."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._entries: deque[Reasoning | Note] = deque()
        self._size = 0
        self._dropped = 0

    def add(self, entry: Reasoning | Note) -> None:
        """Keep it; the oldest goes when there are too many."""
        self._entries.append(entry)
        self._size += len(entry.text)
        while self._size > MAX_ASIDES and len(self._entries) > 1:
            self._size -= len(self._entries.popleft().text)
            self._dropped += 1
        self.bell.ring()

    def since(self, count: int) -> tuple[list[Reasoning | Note], int]:
        """The entries after the first `count`, and the count to ask with next time."""
        total = self._dropped + len(self._entries)
        return list(self._entries)[max(0, count - self._dropped) :], total
