"""What an engine is to whoever copies streams from one place to another. Part of its specification (`protocol.py`).

An `Archive` gives ended streams as they are kept, an `Intake` takes them. Text is put beside what readers can see
first, chunk by chunk; a stream appears, whole, with its record. So a text of any size is copied in bounded memory, and
one that was only begun is nowhere to be seen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

from ptstream.streams import Attempt, Status, Stream


class Entry(NamedTuple):
    """A stream in the order in which streams were made; `position` grows with it.

    `size` is about how many bytes its record and its text take.
    """

    position: int
    id: str
    status: Status
    size: int
    ended_at: float | None
    parent: str | None


class Chunk(NamedTuple):
    """A durable run of a text: which attempt wrote it, from which byte on, when (Unix seconds), and what."""

    start: int
    epoch: int
    at: float
    text: bytes

    @property
    def stop(self) -> int:
        """The byte where it ends."""
        return self.start + len(self.text)


class Record(NamedTuple):
    """All that is kept of an ended stream but its chunks. `ttl` is how many seconds after its end it is kept."""

    stream: Stream
    ttl: float | None
    attempts: list[Attempt]

    @property
    def epoch(self) -> int:
        """How often the stream was claimed."""
        return self.attempts[-1].epoch if self.attempts else 0


Runs = list[tuple[str, Chunk]]
"""Chunks, each with the id of its stream: of each stream in order, and of one stream after the other."""


class Archive(Protocol):
    """The streams of one place as they are kept. Raises what `Engine` does."""

    async def identity(self) -> str | None:
        """A word that two engines share where their streams are the same, and only there; None where nothing is yet."""

    async def entries(self, after: int = 0) -> list[Entry]:
        """The next page of streams behind this position, the oldest first; an empty one at the end."""

    async def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the streams that are there, by id, in this order, their prompts whole."""

    def chunks(self, ids: Sequence[str]) -> AsyncGenerator[Runs, None]:
        """The chunks of these streams, in pages of bounded size: also of one that has no record yet."""


class Intake(Protocol):
    """The way into a place. While its context lasts, nobody else has one: of what was only begun nothing is lost."""

    async def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        """Those of the names that streams of the place have, each with the id of its stream."""

    async def stage(self, runs: Runs) -> None:
        """Keep these chunks, unseen by readers, until `publish`. What is there already stays as it is."""

    async def publish(self, records: Sequence[Record]) -> set[str]:
        """Have these streams appear, all their chunks being staged, in this order: all of them or none. Their ids.

        One whose name is another stream's by now is left out. Ids, names, times, parents, attempts and the time to
        live stay; what an engine has no place for (NUL in a title, say) is replaced.
        """

    async def set_usage(self, records: Sequence[Record]) -> None:
        """Give the attempts at these streams, which are there already, the usage that these records have."""

    async def discard(self, ids: Sequence[str]) -> None:
        """Forget what was staged of these and not published."""
