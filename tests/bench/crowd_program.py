"""`python -m tests.bench.crowd_program HOME READERS RATE PIECES [SOCKET]`: a program that generates and is read itself.

One event loop, as in a web app of one process. The generator sleeps, yields, and so on: what it loses to the readers it
never catches up. The readers are loops over `follow`; with SOCKET they come over HTTP, for `events`, from a process of
their own. Prints as JSON the seconds from the generator's first piece to its last, and how late, in nanoseconds, who
drives had each piece.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import ptstream
from ptstream.library import PersistentStreams
from tests.bench.surroundings import module


class Program:
    """The generator, its times, and those who read."""

    def __init__(self, pts: PersistentStreams, rate: float, pieces: int) -> None:
        self._pts = pts
        self._pause = 1 / rate
        self._pieces = pieces
        self._begin = anyio.Event()
        self.began = self.ended = 0.0
        self.late: list[int] = []

    async def generate(self, _: Any) -> AsyncIterator[str]:
        """A piece says when it was yielded."""
        await self._begin.wait()
        self.began = time.monotonic()
        for number in range(self._pieces):
            await anyio.sleep(self._pause)
            self.ended = time.monotonic()
            yield f"{time.monotonic_ns()}{'.' if number % 15 == 14 else ','} "

    async def run(self, readers: int, socket: str | None) -> None:
        """Until all have read all."""
        id = await self._pts.create("Why?")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._drive, id)
            if socket:
                await tasks.start(self._serve, id, readers, socket)
            else:
                for _ in range(readers):
                    tasks.start_soon(self._read, id)
            await anyio.sleep(0.1)
            self._begin.set()

    async def _drive(self, id: str) -> None:
        """One who looks at the clock."""
        rest = ""
        async for piece in self._pts.drive(id, self.generate):
            now = time.monotonic_ns()
            *words, rest = (rest + piece.text).split(" ")
            self.late += [now - int(word[:-1]) for word in words]

    async def _read(self, id: str) -> None:
        """As most do: takes what comes."""
        async for _ in self._pts.follow(id):
            pass

    async def _serve(self, id: str, readers: int, socket: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Over HTTP, until they have had the end."""

        async def answer(_: Request) -> Response:
            return self._pts.events(id)

        app = Starlette(routes=[Route("/", answer)])
        server = uvicorn.Server(uvicorn.Config(app, uds=socket, log_level="error", lifespan="off", ws="none"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not os.path.exists(socket):
                await anyio.sleep(0.01)
            async with await anyio.open_process(
                module("event_readers", socket, "GET", f"/*{readers}"), stderr=None
            ) as reading:
                assert reading.stdout is not None
                await reading.stdout.receive()
                task_status.started()
                await reading.wait()
            server.should_exit = True


async def main() -> None:
    """Run, then tell."""
    home, readers, rate, pieces, *socket = sys.argv[1:]
    async with ptstream.open(home) as pts:
        program = Program(pts, float(rate), int(pieces))
        await program.run(int(readers), socket[0] if socket else None)
    sys.stdout.write(json.dumps({"seconds": program.ended - program.began, "late": program.late}))


if __name__ == "__main__":
    anyio.run(main)
