"""A generator function that runs inside the program that defines it, as `ptstream.open().drive` does.

A function that yields is iterated. One that appends runs in a task of its own, and `append` returns when whoever reads
the generation comes back for the next piece.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import anyio

from ptstream.generators import Generation
from ptstream.generators.function.signature import appends, checked, events_of
from ptstream.generators.surrogates import PIECE, Surrogates, slices
from ptstream.streams import Stream
from ptstream.ungrouped import ungrouped


def from_function(function: Callable[..., Any], stream: Stream) -> Generation:
    """What `function` gives for `stream`. Its own exceptions come through as they are.

    Iterate and close it in one task, and leave no cancel scope in between that was open before: where the
    function appends, it runs in a task of the generation's own.
    """
    return _appended(function, stream) if appends(function) else _yielded(function, stream)


async def _yielded(function: Callable[..., Any], stream: Stream) -> Generation:
    surrogates = Surrogates()
    async with aclosing(events_of(function, stream)) as events:
        async for event in events:
            if not isinstance(checked(event), str):
                yield event
                continue
            for part in slices(event, PIECE):
                if text := surrogates.feed(part):
                    yield text
    if text := surrogates.end():
        yield text


async def _appended(function: Callable[..., Any], stream: Stream) -> Generation:
    handover = _Handover(stream.bytes)
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handover.run, function, stream)
            async with aclosing(handover.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            tasks.cancel_scope.cancel()
    if handover.failure is not None:
        raise handover.failure


class _Offer:
    """One piece on its way: taken when the reader has come back for the next, or never will."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kept = False
        self.taken = anyio.Event()


class _Handover:
    """Where a function and its reader meet, each in its task: `append` returns when the reader wants more."""

    def __init__(self, offset: int) -> None:
        self.failure: Exception | None = None
        self._offset = offset
        self._appending = anyio.Lock()
        self._offer: _Offer | None = None
        self._ready = anyio.Event()
        self._over = False
        self._surrogates = Surrogates()

    async def run(self, function: Callable[..., Any], stream: Stream) -> None:
        """Call the function and remember how it ended: its exception must not cancel the reader in mid-step."""
        try:
            await function(stream, self.append)
        except Exception as error:
            self.failure = error
        finally:
            self._over = True
            self._ready.set()
            if self._offer is not None:
                self._offer.taken.set()

    async def append(self, text: str) -> int:
        """See `Append`. Raises anyio.ClosedResourceError when the generation is over."""
        if not isinstance(text, str):
            raise TypeError(f"append takes text (str), not {type(text).__name__}")
        async with self._appending:
            for part in slices(text, PIECE) if text else ("",):
                if whole := self._surrogates.feed(part):
                    await self._hand_over(_Offer(whole))
                elif self._over:
                    raise anyio.ClosedResourceError
            return self._offset

    async def _hand_over(self, offer: _Offer) -> None:
        if not self._over:
            self._offer = offer
            self._ready.set()
            try:
                await offer.taken.wait()
            finally:
                if self._offer is offer:  # not looked at yet: taken back
                    self._offer = None
        if not offer.kept:
            raise anyio.ClosedResourceError

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The pieces as they are handed over, until the function has ended."""
        while not self._over:
            if self._offer is None:
                self._ready = anyio.Event()
                await self._ready.wait()
                continue
            offer, self._offer = self._offer, None
            try:
                yield offer.text
                offer.kept = True
                self._offset += len(offer.text.encode())
            finally:
                offer.taken.set()
        if rest := self._surrogates.end():
            yield rest
