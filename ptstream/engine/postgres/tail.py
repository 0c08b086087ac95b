"""The live end of a running stream, on its owner's side: pieces on their way into the table `pieces`.

All news of all tails of one owner go in one statement, one in flight, about 10 ms apart: the batch decides how many
pieces a database takes. What came back is kept, and shown; readers in this process have it from here.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from psycopg.rows import TupleRow

from ptstream.bell import Bell
from ptstream.engine.postgres import schema
from ptstream.engine.postgres.connections import SLOW, Answer, Lane, busy
from ptstream.errors import ClaimLost, PtstreamError
from ptstream.streams import Claim, whole

WINDOW = 0.01
"""Seconds between the beginnings of two batches, at least."""

AGAIN = 0.5
"""Seconds after which the server is given again what it did not take."""

MOST_UNKEPT = 1024 * 1024
"""Bytes that may wait to be kept before no more is to be given."""

PIECE = 64 * 1024
"""Bytes of a row, at most: a reader's page ends between two."""


class KeptTail:
    """See `protocol.Tail`. Made by a `Keeper`."""

    def __init__(self, claim: Claim, changed: Callable[[], None], closed: Callable[[], None]) -> None:
        """`changed` is called when there is something to be kept, `closed` when the tail is let go."""
        self.claim = claim
        self.bell = Bell()
        self.kept = claim.begin
        self.trouble: str | None = None
        self.lost = False
        self.held = False
        """Whether nothing is kept now, since the stream's end is being written."""
        self.on_its_way: Answer[list[TupleRow]] | None = None
        """To the last batch that had something of it."""
        self._changed = changed
        self._closed = closed
        self._open = True
        self._text = bytearray()
        self._start = claim.begin  # of what is remembered

    @property
    def end(self) -> int:
        """Where the text that was given ends."""
        return self._start + len(self._text)

    def append(self, data: bytes) -> bool:
        """Take it. False when more is to be given only after `caught_up`."""
        self._text += data
        self._changed()
        return self.end - self.kept <= MOST_UNKEPT

    async def caught_up(self) -> None:
        """Wait until all is kept, or the tail is let go."""
        while self._open and self.kept < self.end:
            if self.lost:
                raise ClaimLost(f"stream {self.claim.id} is not this owner's any more")
            await self.bell.next().wait()

    def close(self) -> None:
        """Let go of it; what it has kept lies in the database."""
        if self._open:
            self._open = False
            self._closed()
        self.bell.ring()

    discard = close  # its pieces went with the stream's end, or go with the next sweep

    # --- for the writer, and for readers in this process

    @property
    def unkept(self) -> bool:
        """Whether there is something to be kept now."""
        return self._open and not self.lost and not self.held and self.kept < self.end

    def rows(self) -> list[tuple[int, bytes]]:
        """What is not kept yet, in runs of whole characters, each with its offset."""
        found = []
        text = bytes(self._text[self.kept - self._start :])
        at = 0
        while at < len(text):
            run = text[at : at + PIECE]
            run = run[: whole(run) or len(run)] if at + PIECE < len(text) else run
            found.append((self.kept + at, run))
            at += len(run)
        return found

    def has_kept(self, stop: int) -> None:
        """All up to byte `stop` is kept. A flush may have overtaken a batch: it only grows."""
        if stop > self.kept:
            self.kept = stop
            self.trouble = None
            self.bell.ring()

    def has_flushed(self, stop: int) -> None:
        """All up to byte `stop` is in chunks."""
        self.has_kept(stop)
        if stop > self._start:
            del self._text[: stop - self._start]
            self._start = stop

    def lose(self) -> None:
        """The stream is not this owner's any more."""
        self.lost = True
        self.bell.ring()

    def read(self, offset: int, limit: int) -> bytes:
        """Kept text from `offset`; b"" where it is not remembered."""
        if not self._start <= offset < self.kept:
            return b""
        data = bytes(self._text[offset - self._start : min(self.kept, offset + limit) - self._start])
        return data[: whole(data)]


class Keeper:
    """Keeps what the tails of one owner were given."""

    def __init__(self, lane: Lane, location: str) -> None:
        self._lane = lane
        self._location = location
        self._bell = Bell()
        self._waiting: dict[KeptTail, None] = {}
        self.trouble: str | None = None

    def tail(self, claim: Claim, closed: Callable[[], None]) -> KeptTail:
        """The tail of an attempt."""

        def changed() -> None:
            self._waiting[made] = None
            self._bell.ring()

        made = KeptTail(claim, changed, closed)
        return made

    async def hold(self, tail: KeptTail) -> None:
        """Keep nothing more of it; returns when nothing of it is on its way."""
        tail.held = True
        if tail.on_its_way:
            await tail.on_its_way.done.wait()

    def go_on(self, tail: KeptTail) -> None:
        """Keep it again."""
        tail.held = False
        self._waiting[tail] = None
        self._bell.ring()

    async def run(self) -> None:
        """Batch after batch."""
        while True:
            rung = self._bell.next()
            batch = [tail for tail in self._waiting if tail.unkept]
            self._waiting.clear()
            if not batch:
                await rung.wait()
                continue
            began = anyio.current_time()
            await self._keep(batch)
            await anyio.sleep(max(0.0, began + WINDOW - anyio.current_time()))

    async def _keep(self, batch: list[KeptTail]) -> None:
        rows = [(n, tail, *row) for n, tail in enumerate(batch) for row in tail.rows()]
        values = {
            "n": [n for n, *_ in rows],
            "id": [tail.claim.id for _, tail, *_ in rows],
            "epoch": [tail.claim.epoch for _, tail, *_ in rows],
            "start": [start for *_, start, _ in rows],
            "text": [text for *_, text in rows],
        }
        stops = {n: start + len(text) for n, _, start, text in rows}
        answer = self._lane.begin(lambda connection: connection.rows(schema.KEEP, values), retry_for=float("inf"))
        for tail in batch:
            tail.on_its_way = answer
        await self._wait(answer, batch)
        try:
            kept = {n for (n,) in answer.value}
        except PtstreamError as error:  # its disk is full, say: it is tried again
            self._waiting.update(dict.fromkeys(batch))
            self._say(str(error), batch)
            await anyio.sleep(AGAIN)
            return
        self._say(None, batch)
        for n, tail in enumerate(batch):
            if n in kept:
                tail.has_kept(stops[n])
                if tail.unkept:
                    self._waiting[tail] = None
            else:
                tail.lose()

    async def _wait(self, answer: Answer[list[TupleRow]], batch: list[KeptTail]) -> None:
        while not answer.done.is_set():
            with anyio.move_on_after(SLOW):
                await answer.done.wait()
                break
            slow = str(busy(self._location))
            self._say(answer.trouble or slow, batch)

    def _say(self, trouble: str | None, batch: list[KeptTail]) -> None:
        """Why nothing of these is kept just now."""
        self.trouble = trouble
        for tail in batch:
            tail.trouble = trouble
