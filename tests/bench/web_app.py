"""`python -m tests.bench.web_app WAY SOCKET PLACE ANSWERS PIECES`: a web app of one process that generates answers.

POST /N is the N-th answer, as text while it is generated; GET /N reads it along, as another client would. WAY is `ours`
(ptstream's streams in the home PLACE), `memory` (a queue for each reader, as a relay inside one process has it: nothing
is kept but the answer so far), or `redis` (each piece is published at the Redis server on the Unix socket PLACE;
whoever reads has subscribed). With WAY `ours-reader` and `redis-reader` it is another process of the same app, which
generates nothing. Prints a line when it answers, and when its answers are over, the generators' seconds, as JSON; ends
when killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import ptstream
from tests.bench.english import pieces

RATE = 50
"""Pieces a second of an answer."""

WARM_UP = "warm-up"
"""The answer by which what is loaded at first is loaded."""

SHORT = 5
"""Its pieces."""


class Answers:
    """The generators, and how long each of them took."""

    def __init__(self, count: int, size: int) -> None:
        self._text = pieces(size)
        self._count = count
        self._seconds: list[float] = []

    def of(self, number: str) -> Callable[..., AsyncIterator[str]]:
        """The generator of an answer; that of WARM_UP is short, and not counted."""

        async def generate(_: Any = None) -> AsyncIterator[str]:
            """A piece each 20 ms by the clock: what comes late is made up for, as a model does that is read late."""
            began = time.monotonic()
            for place, piece in enumerate(self._text[:SHORT] if number == WARM_UP else self._text):
                await asyncio.sleep(max(0.0, began + place / RATE - time.monotonic()))
                yield piece
            if number != WARM_UP:
                self._ended(time.monotonic() - began)

        return generate

    def _ended(self, seconds: float) -> None:
        self._seconds.append(seconds)
        if len(self._seconds) == self._count:
            sys.stdout.write(json.dumps(self._seconds) + "\n")
            sys.stdout.flush()


class Way(Protocol):
    """How answers get to whoever reads."""

    async def answer(self, number: str) -> Response:
        """To who asked."""

    async def follow(self, number: str) -> Response:
        """To everybody else."""


class Ours:
    """As the README has it."""

    def __init__(self, pts: ptstream.library.PersistentStreams, answers: Answers) -> None:
        self._pts = pts
        self._answers = answers

    async def answer(self, number: str) -> Response:
        """See Way."""
        return self._pts.response(await self._pts.create("Why?", name=f"a{number}"), self._answers.of(number))

    async def follow(self, number: str) -> Response:
        """See Way."""
        return self._pts.events(await self._pts.create("Why?", name=f"a{number}"))


class Memory:
    """A relay in this process."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._queues: dict[str, list[asyncio.Queue[str | None]]] = {}
        self._so_far: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, number: str) -> Response:
        """See Way: the generation is a task of its own, since its client may go."""
        self._so_far[number] = []
        response = await self.follow(number)
        task = asyncio.create_task(self._generate(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return response

    async def follow(self, number: str) -> Response:
        """See Way."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        for piece in self._so_far.setdefault(number, []):
            queue.put_nowait(piece)
        self._queues.setdefault(number, []).append(queue)
        return StreamingResponse(_taken(queue), media_type="text/plain")

    async def _generate(self, number: str) -> None:
        async for piece in self._answers.of(number)():
            self._so_far[number].append(piece)
            for queue in self._queues[number]:
                queue.put_nowait(piece)
        for queue in self._queues[number]:
            queue.put_nowait(None)


async def _taken(queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (piece := await queue.get()) is not None:
        yield piece


class Redis:
    """Published and subscribed to at a Redis server, by its protocol (RESP2) over asyncio's streams and no more."""

    def __init__(self, socket: str, answers: Answers) -> None:
        self._socket = socket
        self._answers = answers
        self._tasks: set[asyncio.Task[None]] = set()
        self._publishing: asyncio.StreamWriter | None = None

    async def answer(self, number: str) -> Response:
        """See Way: who asked is given the pieces here, the others by the server."""
        if self._publishing is None:
            reader, self._publishing = await asyncio.open_unix_connection(self._socket)
            task = asyncio.create_task(_forget(reader))
            self._tasks.add(task)
        return StreamingResponse(self._published(number, self._publishing), media_type="text/plain")

    async def _published(self, number: str, writer: asyncio.StreamWriter) -> AsyncIterator[str]:
        async for piece in self._answers.of(number)():
            writer.write(_command(b"PUBLISH", number.encode(), piece.encode()))
            yield piece
        writer.write(_command(b"PUBLISH", number.encode(), b""))

    async def follow(self, number: str) -> Response:
        """See Way."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(_command(b"SUBSCRIBE", number.encode()))
        for _ in range(6):  # that it is subscribed
            await reader.readline()
        return StreamingResponse(_messages(reader, writer), media_type="text/plain")


async def _messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    while True:
        for _ in range(5):  # an array of three: "message", the channel, …
            await reader.readline()
        length = int((await reader.readline())[1:])
        piece = (await reader.readexactly(length + 2))[:length]
        if not piece:
            break
        yield piece
    writer.close()


async def _forget(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@asynccontextmanager
async def opened(way: str, place: str, answers: Answers) -> AsyncIterator[Way]:
    """The way of this name."""
    if way == "memory":
        yield Memory(answers)
    elif way == "redis":
        yield Redis(place, answers)
    else:
        async with ptstream.open(place) as pts:
            yield Ours(pts, answers)


async def main() -> None:
    """Serve until killed."""
    way, socket, place, count, size = sys.argv[1:]
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(opened(way, place, Answers(int(count), int(size))))

        async def answer(request: Request) -> Response:
            return await app.answer(request.path_params["number"])

        async def follow(request: Request) -> Response:
            return await app.follow(request.path_params["number"])

        routes = [Route("/{number}", answer, methods=["POST"]), Route("/{number}", follow, methods=["GET"])]
        config = uvicorn.Config(
            Starlette(routes=routes), uds=socket, log_level="error", lifespan="off", ws="none", backlog=1000
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not os.path.exists(socket):
            await asyncio.sleep(0.01)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await serving


if __name__ == "__main__":
    asyncio.run(main())
