"""Copying streams from one engine to another: oldest first, some at a time, each whole or not at all.

It knows an engine's protocols, and no engine. What was copied is read again and compared by its SHA-256 before anybody
can see it. To go on after a break is to begin again: what is there with the same text is left as it is, but for usage
that became known after the stream's end. A stream that runs is copied once it has ended. One that is pending stays
where it is: in two places it would be driven twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import anyio

from ptstream.engine.protocol import Engine
from ptstream.engine.transfer import Chunk, Entry, Intake, Record, Runs
from ptstream.errors import ConfigurationError, PtstreamError, StreamNotFound, UsageError
from ptstream.streams import Status

TOGETHER = 256
"""Streams that are copied in one step, at most."""

BYTES = 4 * 1024 * 1024
"""Bytes of them, about; one that is larger is copied by itself, page by page."""

LOOK = 1.0
"""Seconds after which all running streams are looked at, while the first of them is waited for."""


@dataclass(slots=True)
class Tally:
    """What has come of a copy so far, in streams; of bytes, about."""

    total: int = 0
    total_bytes: int = 0
    done: int = 0
    done_bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    there: int = 0
    """With the same text, before."""
    refused: int = 0
    pending: int = 0
    running: list[Entry] = field(default_factory=list)
    """Those that have not ended yet."""
    waiting: bool = False
    """Whether they are waited for now, all else being done."""

    @property
    def left(self) -> int:
        """How many stay behind, since they have not ended."""
        return self.pending + len(self.running)


class Copy:
    """One copy. `say` is called with what keeps a stream from being copied, `progressed` after each step."""

    def __init__(
        self,
        source: Engine,
        target: Engine,
        *,
        before: float | None = None,
        say: Callable[[PtstreamError], None] = lambda _: None,
        progressed: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        """With `before`, only streams that ended before this moment (Unix seconds) are meant."""
        self._source = source
        self._target = target
        self._before = before
        self._say = say
        self._progressed = progressed
        self.tally = Tally()

    async def run(self, *, wait: bool = True) -> Tally:
        """Copy all streams that there are now; with `wait`, those that run when they have ended.

        Raises UsageError where the two places are one, ConfigurationError where there is no source.
        """
        if (here := await self._source.archive.identity()) is None:
            raise ConfigurationError(f"there are no streams at {self._source.location}")
        if here == await self._target.archive.identity():
            raise UsageError(f"both places are the same: {self._target.location}")
        await self._target.migrate()
        async with self._target.intake() as intake:
            last = await self._count()
            async with aclosing(self._batches(last)) as batches:
                async for batch in batches:
                    await self._copy(intake, batch)
            await self._copy_ended(intake)
            self.tally.waiting = wait
            while wait and self.tally.running:
                self._progressed(self.tally)
                await self._one_has_ended()
                await self._copy_ended(intake)
        return self.tally

    # --- which

    async def _count(self) -> int:
        """Where the newest stream stands in their order; what is made from now on is left to the next copy."""
        last = 0
        async with aclosing(self._entries()) as entries:
            async for entry in entries:
                last = entry.position
                if self._is_meant(entry):
                    self.tally.total += 1
                    self.tally.total_bytes += entry.size
        self._progressed(self.tally)
        return last

    async def _entries(self) -> AsyncGenerator[Entry, None]:
        after = 0
        while page := await self._source.archive.entries(after):
            for entry in page:
                yield entry
            after = page[-1].position

    def _is_meant(self, entry: Entry) -> bool:
        """A pending one is not; one that runs is, unless only old ones are."""
        if self._before is None:
            return entry.status is not Status.PENDING
        return entry.ended_at is not None and entry.ended_at < self._before

    async def _batches(self, last: int) -> AsyncGenerator[list[Entry], None]:
        """Ended streams, a step's at a time. A child of one that is waited for waits, too."""
        batch: list[Entry] = []
        size = 0
        waiting: set[str | None] = set()
        async with aclosing(self._entries()) as entries:
            async for entry in entries:
                if entry.position > last:
                    break
                if not self._is_meant(entry):
                    self.tally.pending += self._before is None
                elif entry.status is Status.STREAMING or entry.parent in waiting:
                    waiting.add(entry.id)
                    self.tally.running.append(entry)
                else:
                    if batch and (len(batch) == TOGETHER or size + entry.size > BYTES):
                        yield batch
                        batch, size = [], 0
                    batch.append(entry)
                    size += entry.size
        if batch:
            yield batch

    async def _copy_ended(self, intake: Intake) -> None:
        """Those of the running streams that have ended meanwhile, or are gone."""
        running, self.tally.running = self.tally.running, []
        ended: list[Entry] = []
        for entry in running:
            (ended if await self._is_over(entry.id) else self.tally.running).append(entry)
        for at in range(0, len(ended), TOGETHER):
            await self._copy(intake, ended[at : at + TOGETHER])
        self._progressed(self.tally)

    async def _is_over(self, id: str) -> bool:
        try:
            return (await self._source.recovered(id)).status.ended
        except StreamNotFound:
            return True

    async def _one_has_ended(self) -> None:
        """Or it is time to look at all of them."""
        with anyio.move_on_after(LOOK), suppress(StreamNotFound):
            await self._source.ended(self.tally.running[0].id)

    # --- how

    async def _copy(self, intake: Intake, entries: Sequence[Entry]) -> None:
        """Copy these, as far as they are not there. What is deleted meanwhile is none of them."""
        begun = self.tally.done_bytes
        found = await self._source.archive.records([entry.id for entry in entries])
        records = {id: record for id, record in found.items() if self._is_to_be_copied(record)}
        there = await self._target.archive.records([*records])
        new = await self._nameable(intake, [record for id, record in records.items() if id not in there])
        sent = await self._sent(intake, [*new, *there], new)
        got = await self._got([*sent])
        intact = {id for id, total in sent.items() if total == got[id] and total.end == records[id].stream.bytes}
        await self._publish(intake, [new[id] for id in new if id in intact])
        await self._give_up(intake, [id for id in new if id not in intact])
        late = []
        for id, record in there.items():
            if self._compare(records[id], record, same_text=id in intact) and _is_later(records[id], record):
                late.append(records[id])
        if late:
            await intake.set_usage(late)
        self.tally.done += len(entries)
        self.tally.done_bytes = begun + sum(entry.size for entry in entries)
        self._progressed(self.tally)

    def _is_to_be_copied(self, record: Record) -> bool:
        """Not if its time to live is over. One without an end is one whose dead owner's end cannot be written."""
        stream = record.stream
        if stream.ended_at is None or not stream.status.ended:
            self._refuse(f"stream {stream.id} cannot be given its end at {self._source.location}: its owner died")
            return False
        return record.ttl is None or stream.ended_at + record.ttl >= time.time()

    async def _nameable(self, intake: Intake, records: Sequence[Record]) -> dict[str, Record]:
        """Those whose names are free."""
        names = [record.stream.name for record in records if record.stream.name is not None]
        holders = await intake.holders(names) if names else {}
        free = {}
        for record in records:
            if (holder := holders.get(record.stream.name or "")) is None:
                free[record.stream.id] = record
            else:
                self._refuse_name(record, holder)
        return free

    async def _sent(self, intake: Intake, ids: Sequence[str], new: Collection[str]) -> dict[str, _Sum]:
        """The sums of these texts; those that are new are staged on the way."""
        sums = {id: _Sum() for id in ids}
        async with aclosing(self._source.archive.chunks(ids)) as pages:
            async for page in pages:
                _add(sums, page)
                if runs := [(id, chunk) for id, chunk in page if id in new]:
                    await intake.stage(runs)
                self.tally.done_bytes += sum(len(chunk.text) for _, chunk in page)
                self._progressed(self.tally)
        return sums

    async def _got(self, ids: Sequence[str]) -> dict[str, _Sum]:
        """The sums of what the target gives back."""
        sums = {id: _Sum() for id in ids}
        async with aclosing(self._target.archive.chunks(ids)) as pages:
            async for page in pages:
                _add(sums, page)
        return sums

    async def _publish(self, intake: Intake, records: Sequence[Record]) -> None:
        appeared = await intake.publish(records)
        for record in records:
            if record.stream.id in appeared:
                self.tally.copied += 1
                self.tally.copied_bytes += record.stream.bytes
            else:
                self._refuse_name(record, "another stream")

    async def _give_up(self, intake: Intake, ids: Sequence[str]) -> None:
        """What did not arrive as it is: deleted meanwhile, or damaged."""
        if not ids:
            return
        await intake.discard(ids)
        for id in await self._source.archive.records(ids):
            self._refuse(
                f"stream {id} was not copied: the text at {self._target.location} is not the one at"
                f" {self._source.location} (one of the disks may be damaged)"
            )

    def _compare(self, mine: Record, theirs: Record, *, same_text: bool) -> bool:
        """Whether they are the same."""
        here, there = mine.stream, theirs.stream
        same = same_text and (here.status, here.created_at) == (there.status, there.created_at)
        if same:
            self.tally.there += 1
        else:
            self._refuse(f"stream {here.id} is another one at {self._target.location}: nothing of it was changed")
        return same

    def _refuse_name(self, record: Record, holder: str) -> None:
        self._refuse(
            f"stream {record.stream.id} was not copied: its name {record.stream.name!r} is stream {holder}'s at"
            f" {self._target.location}"
        )

    def _refuse(self, why: str) -> None:
        self.tally.refused += 1
        self._say(PtstreamError(why))


def _is_later(mine: Record, theirs: Record) -> bool:
    """Whether usage has become known since it was copied: that of a generator which went on after its stream's end."""
    pairs = zip(mine.attempts, theirs.attempts, strict=False)
    return any(_counted(here.usage) > _counted(there.usage) for here, there in pairs)


def _counted(usage: object) -> float:
    """All that is counted in it, which only grows; less than nothing where there is none."""
    if isinstance(usage, Mapping):
        return sum(max(0.0, _counted(value)) for value in usage.values())
    return usage if isinstance(usage, int | float) else -1.0


class _Sum:
    """Of a text that comes chunk by chunk: its SHA-256, and where it ends (-1: it has a hole)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.end = 0

    def add(self, chunk: Chunk) -> None:
        self._hash.update(chunk.text)
        self.end = chunk.stop if chunk.start == self.end else -1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and (self.end, self._hash.digest()) == (other.end, other._hash.digest())

    __hash__ = None  # type: ignore[assignment]


def _add(sums: Mapping[str, _Sum], runs: Runs) -> None:
    for id, chunk in runs:
        sums[id].add(chunk)
