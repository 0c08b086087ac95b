"""Handing over: how an owner that ends in order leaves a running stream to others, and how one of them takes it.

The stream stays `streaming`, and all its text is in chunks. Its next attempt has begun, and belongs to nobody: in the
place of an owner's name stands `nobody@` and the moment from which on it waits. Nobody lives for WAITS seconds, as far
as recovery is concerned; then whoever meets the stream gives it its end, as a dead owner's. So a stream is never lost
between two owners, and who takes it has the name of nobody replaced by its own, in one statement.

An engine's protocols take their parts of this from here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ptstream.streams import Claim, owner_died

NOBODY = "nobody@"
"""What stands before the moment (Unix seconds) in the name of who owns a stream that waits to be taken."""

AFTER_NOBODY = "nobodyA"
"""Beyond all such names, byte by byte."""

WAITS = 60.0
"""Seconds that such a stream waits: a service manager starts a daemon again in less."""


class HandedOver(NamedTuple):
    """A stream that waits to be taken: what it was written by so far, and for how many seconds (`elapsed`)."""

    id: str
    owner: str
    model: str | None
    place: str | None
    elapsed: float


def is_nobody(owner: str) -> bool:
    """Whether this is the name of nobody."""
    return owner.startswith(NOBODY)


def waits_until(owner: str) -> float:
    """When it has waited for long enough (Unix seconds)."""
    return float(owner.removeprefix(NOBODY)) + WAITS


def cause_of_death(owner: str | None, end: int) -> str:
    """The cause of the end that a stream is given whose owner is no more, and whose text ends at byte `end`."""
    if owner and is_nobody(owner):
        return f"handed over at byte {end}, and no daemon went on with it within {WAITS:g} s"
    return owner_died(end)


class HandsOver(Protocol):
    """What of a `Writer` hands over, and takes."""

    async def hand_over(self, claim: Claim, begin: int, cause: str) -> None:
        """Give up the claim to a stream that somebody else is to go on with from byte `begin`, where its text ends.

        One step: the attempt has ended by `cause`, the epoch grows by one, and the next attempt is nobody's. All of
        the text is in chunks before. Raises ClaimLost for what is not this owner's, or was cancelled.
        """

    async def take(self, handed: HandedOver, model: str | None = None, place: str | None = None) -> Claim:
        """The right to go on with a stream that waits, for a generator called `model` at `place`.

        One atomic step, as `claim`. Raises ClaimLost when it does not wait (any more).
        """


class ListsHandedOver(Protocol):
    """What of an `Engine` knows of streams that wait to be taken."""

    async def handed_over(self) -> list[HandedOver]:
        """The streams that wait to be taken. A cancel ends them at once; `recovered`, when they have waited enough."""
