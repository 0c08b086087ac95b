"""How a drive ends, and the writing of that end: the last chunk, the status and the cause, as one commit.

A living owner's stream is nobody else's to end, so it does not give up; only when its owner goes, the stream is left
to whoever meets it next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio

from ptstream.engine.protocol import Tail, Writer
from ptstream.errors import ClaimLost, StoreUnusable
from ptstream.streams import Claim, Status

FIRST_RETRY = 0.25
LONGEST_RETRY = 5.0
"""Seconds between two tries to write an end that the store does not take: at first, and at most."""


class Outcome(NamedTuple):
    """How a drive ended: what the store was given, and the exception that brought it about, if one did.

    `streaming`: it has not ended, but was handed over to another owner.
    """

    status: Status
    cause: str | None
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class LastChunk:
    """What goes with an end: the text that is in no chunk yet, which begins at byte `start`, and what there is to know.

    `pieces` is how many the attempt was given.
    """

    start: int
    text: str
    pieces: int
    usage: Mapping[str, Any] | None
    note: str | None


async def commit_end(writer: Writer, claim: Claim, tail: Tail, outcome: Outcome, last: LastChunk) -> Outcome:
    """The outcome as it was written, or as it was left to recovery. Then the tail is let go."""
    wait = FIRST_RETRY
    while True:
        try:
            return await _commit(writer, claim, tail, outcome, last)
        except Exception as trouble:
            if writer.closing:
                return _left_to_recovery(tail, trouble)
        await anyio.sleep(wait)
        wait = min(2 * wait, LONGEST_RETRY)


async def _commit(writer: Writer, claim: Claim, tail: Tail, outcome: Outcome, last: LastChunk) -> Outcome:
    """Write the end as it is; or, where the store does not take its cause or its usage, plainly."""
    try:
        if outcome.status is Status.STREAMING:
            return await _hand_over(writer, claim, tail, outcome, last)
        known = (outcome.cause, last.usage, last.note)
        await writer.finish(claim, last.start, last.text, last.pieces, outcome.status, *known)
    except ClaimLost as lost:
        if not await writer.is_over(claim):
            return _left_to_recovery(tail, lost)
    except StoreUnusable as trouble:
        outcome = Outcome(Status.ERROR, "its end could not be written as it was", trouble)
        await writer.finish(claim, last.start, last.text, 0, outcome.status, outcome.cause, None)
    tail.discard()  # also of one that was ended by a recoverer, or deleted
    return outcome


async def _hand_over(writer: Writer, claim: Claim, tail: Tail, outcome: Outcome, last: LastChunk) -> Outcome:
    """Leave the stream, whose text is all in chunks, to another owner. Raises as `Writer.finish` does."""
    assert not last.text, "what is in no chunk would be lost"
    try:
        await writer.hand_over(claim, last.start, outcome.cause or "handed over")
    except ClaimLost:
        if await writer.is_over(claim):
            raise
        # What is still ours was refused because it is cancelled.
        cancelled = Outcome(Status.CANCELLED, f"cancelled at byte {last.start}")
        return await _commit(writer, claim, tail, cancelled, last)
    tail.discard()
    return outcome


def _left_to_recovery(tail: Tail, trouble: Exception) -> Outcome:
    """What the tail has kept stays: whoever meets the stream when this owner is gone ends it."""
    tail.close()
    return Outcome(Status.ERROR, f"the end could not be written: {trouble}", trouble)
