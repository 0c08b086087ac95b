"""An app of several workers on several machines: whoever is asked, every other one can follow, and cancel.

    DATABASE_URL=postgresql://db1/app uvicorn --workers 4 ptstream.examples.workers:app

`pip install fastapi 'ptstream[postgres]'`. Without DATABASE_URL its streams are kept in the directory `answers`, and
its workers are on one machine.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

import ptstream

STORE = os.environ.get("DATABASE_URL", "answers")


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with ptstream.open(STORE, grace=3) as app.state.pts:
        yield


app = FastAPI(lifespan=lifespan)


async def generate(stream: ptstream.Stream) -> AsyncIterator[str]:
    """Count, where you would ask a model."""
    for number in range(1, int(stream.prompt or 10) + 1):
        yield f"{number} "
        await asyncio.sleep(0.05)


@app.post("/ask")
async def ask(count: int, request: Request) -> str:
    """Begin an answer, which goes on in this worker, whoever reads it; its id."""
    id: str = await request.app.state.pts.create(prompt=str(count))
    await request.app.state.pts.start(id, generate)
    return id


@app.get("/answers/{id}")
async def follow(id: str, request: Request, offset: int = 0) -> Response:
    """The answer as it comes, from any worker: as server-sent events."""
    response: Response = request.app.state.pts.events(id, offset)
    return response


@app.get("/answers")
async def answers(request: Request) -> list[dict[str, Any]]:
    """All answers, as far as they have come, the newest first."""
    pts = request.app.state.pts
    return [{"id": stream.id, **await pts.body(stream.id)} for stream in await pts.streams(100)]


@app.post("/answers/{id}/cancel")
async def cancel(id: str, request: Request) -> str:
    """End it, whichever worker it comes from: how it has ended."""
    return str((await request.app.state.pts.cancel(id)).status)


@app.post("/count")
def count(to: int) -> str:
    """A loop that there is already, its text kept as well."""

    def numbers() -> Iterator[str]:
        yield from (f"{number} " for number in range(1, to + 1))

    return "".join(ptstream.persist(numbers(), path=STORE))


@app.get("/worker")
async def worker() -> int:
    """Which process answers."""
    return os.getpid()
