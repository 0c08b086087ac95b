"""Many readers of one stream in one process: good ones, slow ones, and ones that never read.

`python -m tests.faults.crowd sockets HOME ID COUNT SEED` speaks HTTP over the Unix socket, `… network:PORT …` over TCP;
`… follows …` reads the store as `watch` and `watch --live` do. It prints a line when all are there, and at the end each
good reader's kind and the SHA-256 of what it received.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from ptstream import wire
from ptstream.daemon.keys import token_of
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.follow import Follow
from ptstream.settings import Home

KINDS = ("honest", "silent", "cut", "returning", "slow", "honest", "silent", "returning", "cut", "honest")
"""Of ten readers: three that read, two that come back again and again, two whose connections are cut at any byte, two
that never read, one byte-a-second."""


LIMIT = 64 * 1024
"""Bytes that a reader lets wait."""

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Crowd:
    """The readers of one stream at one address of the daemon."""

    def __init__(self, connect: Connect, id: str, seed: str, headers: str = "") -> None:
        self._connect, self._id, self._headers = connect, id, headers
        self._chance = random.Random(seed)
        self._begun = 0
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "honest": self._honest,
            "returning": self._returning,
            "cut": self._cut,
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
        await asyncio.gather(*tasks["honest"], *tasks["returning"], *tasks["cut"])
        for task in (*tasks["silent"], *tasks["slow"]):
            task.cancel()

    @contextlib.asynccontextmanager
    async def _body(self, offset: int = 0) -> AsyncIterator[asyncio.StreamReader]:
        """An answer's body, its head read."""
        reader, writer = await self._asked(offset)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0], head
            yield reader
        finally:
            writer.close()

    async def _asked(self, offset: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._connect()
        path = f"{wire.TEXT.format(id=self._id)}?offset={offset}&live=1"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{self._headers}\r\n".encode())
        return reader, writer

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

    async def _cut(self) -> None:
        """Its connection breaks after any byte, of the head or of a chunk's frame too; it goes on from what it has."""
        self._begun += 1
        text, whole = bytearray(), False
        while not whole:
            reader, writer = await self._asked(len(text))
            raw, size = bytearray(), self._chance.choice([self._chance.randrange(400), self._chance.randrange(200_000)])
            while len(raw) < size and (data := await reader.read(size - len(raw))):
                raw += data
                if raw.endswith(b"\r\n0\r\n\r\n"):
                    break
            writer.transport.abort()
            body, whole = unframed(bytes(raw))
            text += body
            await asyncio.sleep(self._chance.random())  # as clients do, and as the daemon's rate wants it
        print("cut", hashlib.sha256(text).hexdigest(), flush=True)

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


def unframed(raw: bytes) -> tuple[bytes, bool]:
    """The body in what came of a chunked answer, and whether that was its end."""
    head, _, raw = raw.partition(b"\r\n\r\n")
    assert not raw or b" 200 " in head.split(b"\r\n")[0], head
    body = b""
    while b"\r\n" in raw:
        size, _, raw = raw.partition(b"\r\n")
        if size == b"0":
            return body, True
        body += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]
    return body, False


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def follow(home: str, id: str, count: int) -> None:
    """So many followers of the store, every other one live, over one watch on its folder."""
    with Store(Home(home)) as store:
        async with attached(store) as engine:
            follows = [Follow(engine.cursor(id, live=number % 2 == 0)) for number in range(count)]
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
        socket = Home(home).socket
        asyncio.run(Crowd(lambda: asyncio.open_unix_connection(socket, limit=LIMIT), id, seed).run(int(count)))
    elif how.startswith("network"):
        port, token = int(how.partition(":")[2]), token_of(Home(home))
        headers = f"authorization: Bearer {token}\r\n"
        connect = lambda: asyncio.open_connection("127.0.0.1", port, limit=LIMIT)  # noqa: E731
        asyncio.run(Crowd(connect, id, seed, headers).run(int(count)))
    else:
        asyncio.run(follow(home, id, int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
