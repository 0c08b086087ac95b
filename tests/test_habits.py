"""What providers do, row by row, driven by the daemon and passed on by its `/v1`; and how they are asked."""

from __future__ import annotations

import httpx
import pytest

from tests import habits
from tests.conftest import LIMIT, kept
from tests.endpoint import Server
from tests.face import Face, asking, daemon, face

__all__ = ["daemon", "face"]

pytestmark = pytest.mark.anyio


def check(habit: habits.Habit, face: Face, id: str) -> None:
    """The stream has become what the habit says."""
    fields = face.ended(id)
    assert kept(face.cli, id) == habit.text
    assert fields["status"] == habit.status, fields["error"]
    told = fields["note"] if habit.status == "done" else fields["error"]
    assert (habit.said in told) if habit.said else told is None


@pytest.mark.parametrize("habit", habits.ALL, ids=lambda habit: habit.name)
async def test_driven(face: Face, server: Server, habit: habits.Habit) -> None:
    server.scripts["habit"] = habit.answer
    async with httpx.AsyncClient(base_url=face.url, headers=face.headers, timeout=LIMIT) as http:
        id = (await http.post("/streams", json={"prompt": "Why?", "model": "once/habit"})).json()["id"]
        await http.post(f"/streams/{id}/drive")
    await asking(lambda: check(habit, face, id))
    assert len(server.requests) == 1


@pytest.mark.parametrize("habit", habits.ALL, ids=lambda habit: habit.name)
async def test_passed_on(face: Face, server: Server, habit: habits.Habit) -> None:
    server.scripts["habit"] = habit.answer
    ask = {"model": "once/habit", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
    async with httpx.AsyncClient(base_url=face.url, headers=face.headers, timeout=LIMIT) as http:
        answer = await http.post("/v1/chat/completions", json=ask)
    assert answer.content == habit.body
    await asking(lambda: check(habit, face, answer.headers["stream-id"]))
