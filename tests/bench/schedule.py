"""When the two ways of `piece_to_screen` have their turns, and the pieces they send in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

TURN = 0.25
"""Seconds; the ways take turns by the clock that all processes share."""

RATE = 250
"""Pieces a second within a turn."""

PIECES_PER_TURN = int(TURN * RATE * 0.9)
"""The rest of a turn is left for the last piece to arrive."""

SENTENCE = 15
"""Pieces."""


async def stamps(side: int, turns: int) -> AsyncGenerator[str, None]:
    """Pieces that say when they were yielded, in the turns of `side` (0 or 1), from its next one on."""
    turn = int(time.monotonic() / TURN) + 1
    turn += (turn + side) % 2
    number = 0
    for begin in range(turn, turn + 2 * turns, 2):
        for place in range(PIECES_PER_TURN):
            await asyncio.sleep(max(0.0, begin * TURN + place / RATE - time.monotonic()))
            number += 1
            yield f"T{time.monotonic_ns()}{' over. ' if number % SENTENCE == 0 else ' '}"
