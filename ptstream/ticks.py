"""When to look again, for what looks now and then: all at the same moments, so that an idle process wakes seldom.

To be woken costs an idle process more than what it looks at.
"""

from __future__ import annotations

import anyio

EARLY = 0.001
"""Seconds by which a timer may be early: what woke then does not look twice."""


def next_tick(seconds: float) -> float:
    """The next moment, by the event loop's clock, that is a whole number of these `seconds` from the clock's start."""
    return ((anyio.current_time() + EARLY) // seconds + 1) * seconds
