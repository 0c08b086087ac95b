"""What providers do, row by row, driven by the daemon and passed on by its `/v1`; and how they are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests import habits
from tests.conftest import LIMIT, kept
from tests.endpoint import Server, serve
from tests.face import Face, asking, daemon

__all__ = ["daemon"]

pytestmark = pytest.mark.anyio


class Asked:
    """The daemon, asked by one client, its endpoint beside it: all rows are played to the same ones."""

    def __init__(self, face: Face, server: Server, http: httpx.AsyncClient) -> None:
        self.face = face
        self.server = server
        self.http = http

    @asynccontextmanager
    async def about(self, habit: habits.Habit) -> AsyncIterator[None]:
        """The endpoint has the habit, and is asked once."""
        self.server.scripts["habit"] = habit.answer
        before = len(self.server.requests)
        yield
        assert len(self.server.requests) == before + 1

    def check(self, habit: habits.Habit, id: str) -> None:
        """The stream has become what the habit says."""
        fields = self.face.ended(id)
        assert kept(self.face.cli, id) == habit.text
        assert fields["status"] == habit.status, fields["error"]
        told = fields["note"] if habit.status == "done" else fields["error"]
        assert (habit.said in told) if habit.said else told is None


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all rows."""
    return "asyncio"


@pytest.fixture(scope="module")
async def asked(daemon: Face) -> AsyncIterator[Asked]:
    async with serve() as server:
        daemon.configure(server.base_url)
        async with httpx.AsyncClient(base_url=daemon.url, headers=daemon.headers, timeout=LIMIT) as http:
            yield Asked(daemon, server, http)


@pytest.mark.parametrize("habit", habits.ALL, ids=lambda habit: habit.name)
async def test_driven(asked: Asked, habit: habits.Habit) -> None:
    async with asked.about(habit):
        id = (await asked.http.post("/streams", json={"prompt": "Why?", "model": "once/habit"})).json()["id"]
        await asked.http.post(f"/streams/{id}/drive")
        await asking(lambda: asked.check(habit, id))


@pytest.mark.parametrize("habit", habits.ALL, ids=lambda habit: habit.name)
async def test_passed_on(asked: Asked, habit: habits.Habit) -> None:
    ask = {"model": "once/habit", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
    async with asked.about(habit):
        answer = await asked.http.post("/v1/chat/completions", json=ask)
        assert answer.content == habit.body
        await asking(lambda: asked.check(habit, answer.headers["stream-id"]))
