"""Text on its way from the cutter to the store: one flush in flight at a time, while pieces go on.

Where text may be cut is `sentences/`'s business, how a chunk is committed the engine's.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ptstream.bell import Bell
from ptstream.engine.protocol import Writer
from ptstream.sentences import Cutter
from ptstream.streams import Claim

MAX_PENDING = 1024 * 1024
"""Bytes that may wait for the store before the generator is paused."""


class Flusher:
    """Of one drive, through all its attempts. `flushed` is the offset up to which its text is in chunks."""

    def __init__(
        self, claim: Claim, cutter: Cutter, writer: Writer, pieces: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        """`pieces` gives how many the attempt was given so far."""
        self.claim = claim
        self.flushed = claim.begin
        self._cutter = cutter
        self._writer = writer
        self._pieces = pieces
        self._clock = clock
        self._cut: list[str] = []
        self._timed = False  # whether it knows when to look again, without being woken
        self._stopped = False
        self._bell = Bell()
        self._done = Bell()

    def take(self, text: str, now: float) -> None:
        """Take text that came at `now`, and have what may be flushed flushed."""
        self._cutter.push(text, now)
        cut = self._cutter.take(now)
        if cut:
            self._cut.append(cut)
        if cut or not self._timed:
            self._bell.ring()

    def is_full(self, end: int) -> bool:
        """Whether so much of the text, which ends at byte `end`, waits for the store that no more should come."""
        return end - self.flushed > MAX_PENDING and bool(self._cut)

    async def progress(self) -> None:
        """Returns when one more flush has been committed, or none will be."""
        await self._done.next().wait()

    async def drain(self, end: int) -> bool:
        """Flush all there is, up to byte `end`, wherever it would be cut; whether that was done, and not stopped."""
        self._let_go(self._cutter.rest())
        self._bell.ring()
        while self.flushed < end and not self._stopped:
            await self.progress()
        return not self._stopped

    def stop(self) -> None:
        """No further flush is begun: what remains belongs to the end."""
        self._stopped = True
        self._bell.ring()

    def rest(self) -> str:
        """What is not in the store, for the last chunk."""
        return "".join([*self._cut, self._cutter.rest()])

    def forget(self) -> None:
        """Nothing of it is waited for any more."""
        self._cut = []
        self._done.ring()

    async def run(self) -> None:
        """Flush, until stopped. Raises what `Writer.append` raises."""
        while not self._stopped:
            rung = self._bell.next()
            if not self._cut:
                await self._wait_for_text(rung)
                continue
            text = "".join(self._cut)
            self._cut = [text]  # until it is in the store: what is refused belongs to the end
            # Handed over is handed over: whether it was committed must be known before the end is written.
            with anyio.CancelScope(shield=True):
                await self._writer.append(self.claim, self.flushed, text, self._pieces())
            del self._cut[0]
            self.flushed += len(text.encode())
            self._done.ring()

    async def _wait_for_text(self, rung: anyio.Event) -> None:
        deadline = self._cutter.deadline()
        self._timed = deadline is not None
        with anyio.move_on_after(None if deadline is None else max(0.0, deadline - self._clock())):
            await rung.wait()
        self._let_go(self._cutter.take(self._clock()))

    def _let_go(self, text: str) -> None:
        if text:
            self._cut.append(text)
