"""Flushes on their way into the database: what one is, and how many go in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anyio

from ptstream.streams import Claim

MOST_ROWS = 256
MOST_BYTES = 4 * 1024 * 1024
"""What one statement takes, at most."""


@dataclass(slots=True, eq=False)
class Flush:
    """A chunk, or an end with its last chunk, on its way. `usage` is JSON."""

    claim: Claim
    start: int
    text: bytes
    pieces: int
    status: str | None = None
    cause: str | None = None
    usage: str | None = None
    note: str | None = None
    said: bool = False
    """Whether it was said once: then it may have been taken, whatever came of the connection."""
    decided: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None

    @property
    def stop(self) -> int:
        """Where its text ends."""
        return self.start + len(self.text)

    def decide(self, error: Exception | None = None) -> None:
        """It is taken, or refused: whoever waits goes on."""
        if not self.decided.is_set():
            self.error = error
            self.decided.set()


def group_of(waiting: Iterable[Flush]) -> list[Flush]:
    """The next rows of one statement: of each stream one, since the next begins where that ends."""
    group: list[Flush] = []
    ids: set[str] = set()
    size = 0
    for flush in waiting:
        if flush.claim.id in ids:
            continue
        if group and (len(group) == MOST_ROWS or size + len(flush.text) > MOST_BYTES):
            break
        ids.add(flush.claim.id)
        size += len(flush.text)
        group.append(flush)
    return group


def values_of(group: list[Flush]) -> dict[str, list[Any]]:
    """What `schema.FLUSH` takes."""
    return {
        "n": [*range(len(group))],
        "id": [flush.claim.id for flush in group],
        "epoch": [flush.claim.epoch for flush in group],
        **{
            name: [getattr(flush, name) for flush in group]
            for name in ("start", "stop", "text", "pieces", "status", "cause", "usage", "note")
        },
    }
