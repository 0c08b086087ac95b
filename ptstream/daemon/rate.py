"""How often something may be: so many a second, and so many at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Rate:
    """The generic cell rate algorithm (ITU-T I.371)."""

    rate: float
    burst: int
    _due: float = 0.0

    def take(self, now: float) -> float:
        """Take one's turn: 0, or in how many seconds there is one."""
        due = max(self._due, now)
        if (late := due - now - (self.burst - 1) / self.rate) > 0:
            return late
        self._due = due + 1 / self.rate
        return 0.0
