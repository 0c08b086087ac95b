"""How often something may be: so many a second, and so many at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RateLimit:
    """The generic cell rate algorithm (ITU-T I.371)."""

    rate: float
    burst: int
    _due: float = 0.0

    def reserve(self, now: float) -> float:
        """Take a turn in any case: in how many seconds it is due, 0 or less for one that is due already."""
        self._due = max(self._due, now) + 1 / self.rate
        return self._due - now - self.burst / self.rate

    def take(self, now: float) -> float:
        """Take one's turn: 0, or in how many seconds there is one."""
        due = max(self._due, now)
        if (late := due - now - (self.burst - 1) / self.rate) > 0:
            return late
        self._due = due + 1 / self.rate
        return 0.0
