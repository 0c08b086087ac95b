"""The README's chat app, run by uvicorn: one client drives, others follow, and whoever leaves stops nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx
import httpx_sse
import pytest

import ptstream
from ptstream.serving import PART
from tests import web
from tests.endpoint import TEXT, Server
from tests.test_readme import blocks

pytestmark = pytest.mark.anyio


@pytest.fixture
def app(server: Server, tmp_path: Path) -> Iterator[str]:
    """Its address. It asks the scripted endpoint."""
    with web.app(blocks("python")[1], tmp_path, OPENAI_BASE_URL=server.base_url, MODEL="slow") as url:
        yield url


async def text_of(http: httpx.AsyncClient, id: str) -> str:
    """What whoever drives gets."""
    answer = await http.post(f"/chat-stream/{id}")
    assert answer.headers["stream-id"] == id
    return answer.text


async def followed(
    http: httpx.AsyncClient, id: str, offset: str | None = None
) -> tuple[str, list[int], dict[str, str]]:
    """What whoever does not drive gets: the text, the offsets, and the end."""
    params = {} if offset is None else {"offset": offset}
    text, offsets = "", []
    async with httpx_sse.aconnect_sse(http, "GET", f"/chat-stream/{id}", params=params) as events:
        async for event in events.aiter_sse():
            offsets.append(int(event.id))
            if event.event == "end":
                return text, offsets, json.loads(event.data)
            text += json.loads(event.data)
    raise AssertionError("no end")


async def test_the_chat(app: str, server: Server) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=30) as http:
        assert "<form>" in (await http.get("/")).text
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        found: list[object] = []

        async def second() -> None:
            found.append(await text_of(http, id))

        async def watcher() -> None:
            found.append(await followed(http, id))

        async with anyio.create_task_group() as tasks, http.stream("POST", f"/chat-stream/{id}") as driver:
            first = await anext(driver.aiter_text())
            assert first
            assert TEXT.startswith(first)
            tasks.start_soon(second)
            tasks.start_soon(watcher)
            # The one who asked is gone.
        size = len(TEXT.encode())
        assert TEXT in found
        (text, offsets, end) = next(each for each in found if isinstance(each, tuple))
        assert (text, end) == (TEXT, {"status": "done", "error": None, "offset": size})
        assert offsets == sorted(offsets)
        middle = next(offset for offset in offsets if 0 < offset < size)
        assert await followed(http, id, str(middle)) == (TEXT.encode()[middle:].decode(), [size, size], end)
        assert (await http.get("/history")).json() == [
            {"id": id, "prompt": "One?", "text": TEXT, "offset": size, "status": "done"}
        ]
        assert await text_of(http, id) == TEXT
        assert len(server.requests) == 1
        again = (await http.post("/send", json={"prompt": "Two?"})).json()["id"]
        assert await text_of(http, again) == TEXT
        asked = server.requests[-1].body["messages"]
        assert [turn["content"] for turn in asked] == ["One?", TEXT, "Two?"]


NOW = {"accept": "text/event-stream;until=now"}


def events(body: str) -> list[tuple[int, str, object]]:
    """Each one's id, name and data."""
    found = [dict(line.split(": ", 1) for line in block.split("\n")) for block in body.split("\n\n") if block]
    return [(int(one["id"]), one.get("event", "message"), json.loads(one["data"])) for one in found if "data" in one]


async def test_who_asks_accepts_text_or_events(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=30) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        begun = await http.post(f"/chat-stream/{id}", headers=NOW)
        assert begun.headers["content-type"].startswith("text/event-stream")
        told = events(begun.text)
        assert not told or told[-1][1] == "message"  # what there is: it is not over, and goes on
        for accept in ("text/event-stream", "text/html, Text/Event-Stream; q=0.9"):
            whole = await http.post(f"/chat-stream/{id}", headers={"accept": accept})
            *pieces, last = events(whole.text)
            assert "".join(str(data) for _, _, data in pieces) == TEXT
            assert last == (len(TEXT), "end", {"status": "done", "error": None, "offset": len(TEXT)})
        for accept in ("*/*", "text/plain", "text/plain, */*;until=now"):
            whole = await http.post(f"/chat-stream/{id}", headers={"accept": accept})
            assert (whole.headers["content-type"], whole.text) == ("text/plain; charset=utf-8", TEXT)


async def test_events_until_now(app: str, server: Server) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=30) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        assert events((await http.get(f"/chat-stream/{id}", headers=NOW)).text) == []  # it has not begun
        await http.post(f"/chat-stream/{id}", headers=NOW)
        found, offset, ended = "", 0, False
        while not ended:
            told = await http.get(f"/chat-stream/{id}", params={"offset": offset}, headers=NOW)
            for end, name, data in events(told.text):
                offset, ended = end, name == "end"
                found += "" if ended else str(data)
        assert found == TEXT
        assert len(server.requests) == 1
        (last,) = events((await http.get(f"/chat-stream/{id}", params={"offset": offset}, headers=NOW)).text)
        assert last[1] == "end"


async def test_events_hold_little_each(tmp_path: Path) -> None:
    text = "数据a" * 9000
    async for _ in ptstream.persist(once(text), name="large", path=str(tmp_path)):
        pass
    async with ptstream.open(str(tmp_path)) as pts:
        (id,) = [stream.id for stream in pts._store.streams()]
        body = b"".join([bytes(run) async for run in pts.events(id, 7).body_iterator])
    found, end = "", 7
    begun, *blocks = body.decode().split("\n\n")
    assert begun == ": here"
    for block in blocks[:-2]:
        offset, data = (line.split(": ", 1)[1] for line in block.split("\n"))
        found += json.loads(data)
        end += len(json.loads(data).encode())
        assert (len(json.loads(data)) <= PART, int(offset)) == (True, end)
    assert found == text.encode()[7:].decode()


async def once(text: str) -> AsyncIterator[str]:
    """One piece."""
    yield text


async def test_what_is_no_stream_and_no_offset(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=30) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        await text_of(http, id)
        assert (await http.post("/chat-stream/nosuchstream")).status_code == 404
        assert (await http.get("/chat-stream/nosuchstream")).status_code == 404
        for offset, code in (("x", 400), ("-1", 400), ("100000", 416)):
            assert (await http.get(f"/chat-stream/{id}", params={"offset": offset})).status_code == code
