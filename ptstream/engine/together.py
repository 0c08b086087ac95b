"""Work that many ask for at the same moment, done in one step: what is asked while one is under way waits for the next.

For what an owner does to all of its streams at once, where a step takes as long for one as for a hundred.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

Asked = TypeVar("Asked")
Got = TypeVar("Got")


class Together(Generic[Asked, Got]):
    """`work` is given what is asked, at most `most` at once, and gives what comes of each, in that order."""

    def __init__(self, work: Callable[[Sequence[Asked]], Awaitable[Sequence[Got]]], most: int = 256) -> None:
        self._work = work
        self._most = most
        self._asked: dict[int, Asked] = {}
        self._got: dict[int, Got] = {}
        self._lock = anyio.Lock()
        self._count = 0

    async def do(self, asked: Asked) -> Got:
        """What comes of it. What `work` raises is raised to whoever has begun it; the others begin it again."""
        self._count += 1
        number = self._count
        self._asked[number] = asked
        try:
            async with self._lock:
                if number in self._asked:
                    await self._do(number)
                return self._got.pop(number)
        finally:
            self._asked.pop(number, None)

    async def _do(self, number: int) -> None:
        batch = [number, *(each for each in self._asked if each != number)][: self._most]
        found = await self._work([self._asked[each] for each in batch])
        for each, got in zip(batch, found, strict=True):
            if self._asked.pop(each, None) is not None:  # else nobody waits for it any more
                self._got[each] = got
