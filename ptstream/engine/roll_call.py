"""What owners tell of themselves to whoever else uses the same place: that a daemon runs, where, and how it fares.

What they tell is text of theirs, which an engine keeps as it is for as long as they live. An engine's protocols take
their parts of this from here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Told(NamedTuple):
    """What a living owner has told, and how many seconds ago it was heard of."""

    text: str
    heard: float


class Tells(Protocol):
    """What of a `Writer` tells."""

    def tell(self, text: str) -> None:
        """Have others know this of its owner, instead of what it told before, soon; it is kept on no disk for sure.

        Raises nothing: where it cannot be told now, others see that it is not heard of.
        """


class Hears(Protocol):
    """What of an `Engine` hears."""

    async def told(self) -> list[Told]:
        """What each living owner has told that tells anything."""
