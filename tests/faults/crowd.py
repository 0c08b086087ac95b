"""Many readers of one stream in one process: good ones, slow ones, and ones that never read.

`python -m tests.faults.crowd sockets HOME ID COUNT SEED` speaks HTTP over the Unix socket; `… follows …` reads the
store as `watch` and `watch --live` do. It prints a line when all are there, and at the end each good reader's kind
and the SHA-256 of what it received.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from ptstream import wire
from ptstream.follow import Follow
from ptstream.settings import Home
from ptstream.store.cursor import Cursor
from ptstream.store.sqlite import Store
from ptstream.store.wake import open_wakes

KINDS = ("honest", "silent", "honest", "returning", "slow", "honest", "silent", "returning", "honest", "honest")
"""Of ten readers: five that read, two that come back again and again, two that never read, one byte-a-second."""


class Crowd:
    """The readers of one stream over one socket."""

    def __init__(self, socket: str, id: str, seed: str) -> None:
        self._socket, self._id = socket, id
        self._chance = random.Random(seed)
        self._begun = 0
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "honest": self._honest,
            "returning": self._returning,
            "silent": self._silent,
            "slow": self._slow,
        }

    async def run(self, count: int) -> None:
        """Until the good ones have all of it."""
        kinds = [KINDS[number % len(KINDS)] for number in range(count)]
        tasks = {kind: [] for kind in self._kinds}  # type: dict[str, list[asyncio.Task[None]]]
        for kind in kinds:
            tasks[kind].append(asyncio.ensure_future(self._kinds[kind]()))
        while self._begun < count:
            await asyncio.sleep(0.01)
        print("all there", flush=True)
        await asyncio.gather(*tasks["honest"], *tasks["returning"])
        for task in (*tasks["silent"], *tasks["slow"]):
            task.cancel()

    @contextlib.asynccontextmanager
    async def _body(self, offset: int = 0) -> AsyncIterator[asyncio.StreamReader]:
        """An answer's body, its head read."""
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=64 * 1024)
        try:
            path = f"{wire.TEXT.format(id=self._id)}?offset={offset}&live=1"
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0], head
            yield reader
        finally:
            writer.close()

    async def _honest(self) -> None:
        digest = hashlib.sha256()
        async with self._body() as reader:
            self._begun += 1
            async for data in _chunks(reader):
                digest.update(data)
        print("honest", digest.hexdigest(), flush=True)

    async def _returning(self) -> None:
        """Leaves after a random number of bytes and comes back with its offset, or with an earlier one."""
        self._begun += 1
        text, whole = bytearray(), False
        while not whole:
            del text[len(text) - self._chance.randrange(min(len(text), 5000) + 1) :]
            whole = await self._part(text, self._chance.randrange(1, 200_000))
        print("returning", hashlib.sha256(text).hexdigest(), flush=True)

    async def _part(self, text: bytearray, size: int) -> bool:
        """Adds at least `size` bytes; whether that was all."""
        wanted = len(text) + size
        async with self._body(len(text)) as reader:
            async for data in _chunks(reader):
                text += data
                if len(text) >= wanted:
                    return False
        return True

    async def _silent(self) -> None:
        async with self._body() as reader:
            self._begun += 1
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

    async def _slow(self) -> None:
        async with self._body() as reader:
            self._begun += 1
            while await reader.read(1):
                await asyncio.sleep(1)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def follow(home: str, id: str, count: int) -> None:
    """So many followers of the store, every other one live, over one watch on its folder."""
    with Store(Home(home)) as store:
        async with open_wakes(store) as wakes:
            follows = [
                Follow(store, Cursor(store, id, live=number % 2 == 0), wakes=None if number % 2 == 0 else wakes)
                for number in range(count)
            ]
            print("all there", flush=True)
            await asyncio.gather(
                *(_digested(one, "watch" if n % 2 else "watch --live") for n, one in enumerate(follows))
            )


async def _digested(one: Follow, kind: str) -> None:
    digest = hashlib.sha256()
    async for data in one:
        digest.update(data)
    print(kind.replace(" ", ""), digest.hexdigest(), flush=True)


def main(how: str, home: str, id: str, count: str, seed: str) -> None:
    """See above."""
    if how == "sockets":
        asyncio.run(Crowd(Home(home).socket, id, seed).run(int(count)))
    else:
        asyncio.run(follow(home, id, int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
