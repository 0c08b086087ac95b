"""Pieces that a generator gives without waiting in between: they are kept as one, as soon as it waits."""

from __future__ import annotations

from ptstream.bell import Bell

TURN = 0.00005
"""Seconds between two pieces up to which the second is taken to have come in the same turn of the event loop."""


class Burst:
    """What came right behind a piece that was kept, and is to be kept itself once the generator waits.

    A piece that comes alone is no burst: it does not wait for a turn's end.
    """

    def __init__(self, most: int) -> None:
        """Up to `most` characters; 0 gathers nothing."""
        self.pieces: list[str] = []
        self.begun = Bell()
        """Rung when there is something to be kept."""
        self._most = most
        self._size = 0
        self.came = float("-inf")
        """When the last piece came, whether it was gathered or not."""

    def takes(self, piece: str, now: float) -> bool:
        """Whether a piece that came at `now` was gathered. Otherwise it is to be kept, behind what was, at once."""
        before, self.came = self.came, now
        size = self._size + len(piece)
        if now - before > TURN or size > self._most:
            return False
        self._size = size
        self.pieces.append(piece)
        self.begun.ring()
        return True

    def take(self) -> list[str]:
        """All that was gathered; it is no more."""
        pieces, self.pieces, self._size = self.pieces, [], 0
        return pieces

    def end(self) -> None:
        """The next piece is one that comes alone."""
        self.came = float("-inf")
