"""The example's chat app, run by uvicorn: one client drives, others follow, and whoever leaves stops nothing."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx_sse
import pexpect
import pytest

import ptstream
from ptstream.http.read_response import EVENT_SIZE
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status
from tests import web
from tests.conftest import LIMIT, ROOT, ended, engaged, named, needs, until
from tests.endpoint import PIECES, TEXT, Server
from tests.test_examples import CHAT

pytestmark = pytest.mark.anyio


@pytest.fixture
def app(server: Server, place: str, tmp_path: Path) -> Iterator[str]:
    """Its address. It asks the scripted endpoint."""
    with web.app(web.kept_in(place, CHAT), tmp_path, OPENAI_BASE_URL=server.base_url, MODEL="slow") as url:
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
            if event.event == "data":
                text += event.data
                continue
            control = json.loads(event.data)
            offsets.append(int(event.id))
            if "streamClosed" in control:
                return text, offsets, control
    raise AssertionError("no end")


END = {
    "streamNextOffset": f"{len(TEXT.encode()):016d}",
    "upToDate": True,
    "streamClosed": True,
    "status": "done",
    "error": None,
    "note": None,
}
"""What the last event tells."""


async def test_the_chat(app: str, server: Server) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
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
        assert (text, end) == (TEXT, END)
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


def events(body: str) -> list[tuple[str, str, str]]:
    """Each one's name, id and data."""
    found = []
    for block in body.split("\n\n"):
        fields = [line.partition(": ")[::2] for line in block.split("\n") if line]
        lines = [value for name, value in fields if name == "data"]
        if lines:
            found.append((dict(fields)["event"], dict(fields).get("id", ""), "\n".join(lines)))
    return found


def text_in(told: list[tuple[str, str, str]], *, exact: bool = False) -> str:
    """The text of events; of `exact` ones it is base64."""
    data = [data for name, _, data in told if name == "data"]
    return b"".join(base64.b64decode(each) if exact else each.encode() for each in data).decode()


def end_in(told: list[tuple[str, str, str]]) -> dict[str, Any] | None:
    """What they tell of the end, if they do."""
    name, _, data = told[-1]
    assert name == "control"
    last: dict[str, Any] = json.loads(data)
    return last if "streamClosed" in last else None


async def test_who_asks_accepts_text_or_events(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        begun = await http.post(f"/chat-stream/{id}", headers=NOW)
        assert begun.headers["content-type"].startswith("text/event-stream")
        assert end_in(events(begun.text)) is None  # what there is: it is not over, and goes on
        for accept in ("text/event-stream", "text/html, Text/Event-Stream; q=0.9"):
            whole = await http.post(f"/chat-stream/{id}", headers={"accept": accept})
            told = events(whole.text)
            assert whole.headers["stream-sse-data-encoding"] == "base64"
            assert (text_in(told, exact=True), end_in(told)) == (TEXT, END)
        for accept in ("*/*", "text/plain", "text/plain, */*;until=now"):
            whole = await http.post(f"/chat-stream/{id}", headers={"accept": accept})
            assert (whole.headers["content-type"], whole.text) == ("text/plain; charset=utf-8", TEXT)


async def test_events_until_now(app: str, server: Server) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        told = events((await http.get(f"/chat-stream/{id}", headers=NOW)).text)
        assert (text_in(told), end_in(told)) == ("", None)  # it has not begun
        await http.post(f"/chat-stream/{id}", headers=NOW)
        found, offset, end = "", "0", None
        while not end:
            told = events((await http.get(f"/chat-stream/{id}", params={"offset": offset}, headers=NOW)).text)
            found, end = found + text_in(told), end_in(told)
            offset = told[-1][1]
        assert found == TEXT
        assert len(server.requests) == 1
        (last,) = events((await http.get(f"/chat-stream/{id}", params={"offset": offset}, headers=NOW)).text)
        assert end_in([last]) == END


async def test_events_hold_little_each(place: str) -> None:
    text = "数据a" * 9000
    async for _ in ptstream.persist(once(text), name="large", path=place):
        pass
    async with ptstream.open(place) as pts:
        (id,) = [stream.id for stream in await pts.streams()]
        app: Any = lambda scope, receive, send: pts.events(id, 7)(scope, receive, send)  # noqa: E731
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
            told = events((await http.get("/")).text)
    found, end = "", 7
    for (name, _, data), (_, offset, _) in itertools.pairwise(told):
        if name == "data":
            found += data
            end += len(data.encode())
            assert (len(data.encode()) <= EVENT_SIZE, int(offset)) == (True, end)
    assert found == text.encode()[7:].decode()


async def once(text: str) -> AsyncIterator[str]:
    """One piece."""
    yield text


async def test_what_is_no_stream_and_no_offset(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        await text_of(http, id)
        assert (await http.post("/chat-stream/nosuchstream")).status_code == 404
        assert (await http.get("/chat-stream/nosuchstream")).status_code == 404
        for offset, code in (("x", 400), ("-1", 400), ("100000", 416)):
            assert (await http.get(f"/chat-stream/{id}", params={"offset": offset})).status_code == code


# --- what fails

OWN = """
import contextlib
import anyio, ptstream
from fastapi import FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    async with ptstream.open("streams") as app.pts:
        yield

app = FastAPI(lifespan=lifespan)

async def fails(stream):
    yield "Begun. "
    raise LookupError("no more words")

async def appends(stream, append):
    await append("Begun. ")
    raise LookupError("no more words")

async def says_nothing(stream):
    raise LookupError("no words")
    yield

async def stalls(stream):
    yield "Begun. "
    await anyio.sleep_forever()

def sync(stream):
    return "text"

@app.post("/new")
async def new():
    return await app.pts.create()

@app.post("/{name}/{id}")
async def drive(name: str, id: str):
    return app.pts.response(id, globals()[name])

@app.post("/cancel/{id}/now")
async def cancel(id: str):
    await app.pts.cancel(id)

@app.get("/{id}")
async def follow(id: str, offset: int = 0):
    return app.pts.events(id, offset)
"""


@pytest.fixture
def own(place: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an app with generators that fail."""
    with web.app(web.kept_in(place, OWN), tmp_path) as url, httpx.Client(base_url=url, timeout=LIMIT) as http:
        yield http


def broken_off(http: httpx.Client, path: str, meanwhile: Callable[[], object] = lambda: None) -> str:
    """What came of a body that does not look whole."""
    text = ""
    with http.stream("POST", path) as answer, pytest.raises(httpx.RemoteProtocolError):
        assert answer.status_code == 200
        for run in answer.iter_text():
            text += run
            meanwhile()
    return text


def end_of(http: httpx.Client, id: str) -> dict[str, Any]:
    """What the events tell at last."""
    end = end_in(events(http.get(f"/{id}").text))
    assert end is not None
    return end


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("fails", "Begun. ", "LookupError: no more words"),
        ("appends", "Begun. ", "LookupError: no more words"),
        ("says_nothing", "", "LookupError: no words"),
    ],
)
def test_a_generator_that_fails(own: httpx.Client, tmp_path: Path, name: str, text: str, error: str) -> None:
    id = own.post("/new").json()
    assert broken_off(own, f"/{name}/{id}") == text
    how = {"status": "error", "error": error, "note": None}
    assert end_of(own, id) == {"streamNextOffset": f"{len(text):016d}", "upToDate": True, "streamClosed": True, **how}
    until(lambda: "Traceback" in (tmp_path / "log").read_text())
    log = (tmp_path / "log").read_text()
    assert (log.count("Traceback"), f"stream {id}: {error}" in log, f"in {name}\n" in log) == (1, True, True), log
    assert broken_off(own, f"/{name}/{id}") == text  # whoever comes later
    assert (tmp_path / "log").read_text().count("Traceback") == 1


def test_a_generator_that_fails_when_its_reader_is_gone(own: httpx.Client, tmp_path: Path) -> None:
    id = own.post("/new").json()
    with own.stream("POST", f"/fails/{id}"):
        pass
    assert end_of(own, id)["status"] == "error"
    until(lambda: "no more words" in (tmp_path / "log").read_text())


def test_a_cancelled_stream_is_not_whole_and_no_fault(own: httpx.Client, tmp_path: Path) -> None:
    id = own.post("/new").json()
    assert broken_off(own, f"/stalls/{id}", lambda: own.post(f"/cancel/{id}/now").raise_for_status()) == "Begun. "
    assert "Traceback" not in (tmp_path / "log").read_text()


@needs("curl")
def test_curl_sees_it(own: httpx.Client) -> None:
    id = own.post("/new").json()
    line = ["curl", "-sN", "-X", "POST", f"{own.base_url}/fails/{id}"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (18, "Begun. ")


def test_an_app_whose_generator_is_none(tmp_path: Path) -> None:
    program = OWN.replace("globals()[name])\n", "sync)\n")
    with pytest.raises(AssertionError, match="TypeError: a generator is"), web.app(program, tmp_path) as url:
        answer = httpx.post(f"{url}/x/{httpx.post(f'{url}/new').json()}")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")


# --- what is given away as it is


def test_fastapi_gives_objects(home: Home, place: str) -> None:
    from fastapi import FastAPI  # takes a while: not for those who collect the tests alone
    from fastapi.testclient import TestClient

    id = engaged(home, lambda engine: engine.create(GenerationRequest(prompt="Why?"))).id
    app = FastAPI()

    @app.get("/body")
    async def body() -> object:
        async with ptstream.open(place) as pts:
            return await pts.body(id)

    @app.get("/in-a-table", response_model=None)
    async def table() -> dict[str, object]:
        return {"body": await body()}

    @app.get("/streams", response_model=list[ptstream.Stream])
    async def streams() -> object:
        async with ptstream.open(place) as pts:
            return await pts.streams()

    @app.get("/typed")
    async def typed() -> ptstream.Body:
        return ptstream.Body("ü", Status.DONE, 2, None)

    @app.get("/piece")
    def piece() -> dict[str, ptstream.Piece]:
        return {"piece": ptstream.Piece("ü", 2)}

    http = TestClient(app)
    pending = {"text": "", "status": "pending", "offset": 0, "error": None}
    assert http.get("/body").json() == pending
    assert http.get("/in-a-table").json() == {"body": pending}
    assert http.get("/typed").json() == {"text": "ü", "status": "done", "offset": 2, "error": None}
    assert http.get("/piece").json() == {"piece": {"text": "ü", "offset": 2}}
    (told,) = http.get("/streams").json()
    assert (told["id"], told["prompt"], told["status"], told["bytes"]) == (id, "Why?", "pending", 0)
    described = http.get("/openapi.json").json()["components"]["schemas"]
    assert set(described["Body"]["properties"]) == {"text", "status", "offset", "error"}


# --- whoever comes back


async def test_events_go_on_where_they_broke_off(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        await text_of(http, id)
        size, path = len(TEXT.encode()), f"/chat-stream/{id}"
        whole = (await http.get(path)).text
        (*_, (_, before, _), (_, last, _)) = events(whole)
        assert (int(before), int(last)) == (size, size)

        async def asked(last: str, **query: str) -> httpx.Response:
            return await http.get(path, params=query, headers={"last-event-id": last})

        rest = await asked("10", offset="3")
        assert (rest.status_code, text_in(events(rest.text))) == (200, TEXT[10:])
        # All the text, but not its end.
        assert events((await asked(before)).text) == events(whole)[-1:]
        for more in ({}, {"offset": "3"}):
            ended = await asked(last, **more)
            assert (ended.status_code, ended.content) == (204, b"")
        assert (await http.get(path, params={"offset": str(size)})).status_code == 200
        assert [(await asked(bad)).status_code for bad in ("x", "-1", "100000", "")] == [400, 400, 416, 200]


async def test_nobody_on_the_way_may_collect(app: str) -> None:
    async with httpx.AsyncClient(base_url=app, timeout=LIMIT) as http:
        id = (await http.post("/send", json={"prompt": "One?"})).json()["id"]
        for method in ("POST", "GET"):
            async with http.stream(method, f"/chat-stream/{id}") as answer:
                assert answer.headers["cache-control"] == "no-store, no-transform"


# --- the end of the app


class Served:
    """The chat app on a terminal, an answer of it under way, which does not go on."""

    def __init__(self, server: Server, home: Home, folder: Path, *options: str, program: str = CHAT) -> None:
        (folder / "chat.py").write_text(web.kept_in(named(home), program))
        environment = os.environ | {"OPENAI_BASE_URL": server.base_url, "MODEL": "stall", "PYTHONPATH": str(ROOT)}
        environment["PTSTREAM_HOME"] = home.path
        line = ["-m", "uvicorn", "--port", "0", *options, "chat:app"]
        self.home = home
        self.terminal = pexpect.spawn(
            sys.executable, line, cwd=folder, env=environment, timeout=LIMIT, encoding="utf-8"
        )
        self.terminal.expect(r"running on \S*(http://[\d.]+:\d+)")
        found = self.terminal.match
        assert isinstance(found, re.Match)
        self.url = str(found[1])
        self.id: str = httpx.post(f"{self.url}/send", json={"prompt": "Why?"}).json()["id"]
        self.reader = self.reads("POST")

    def reads(self, method: str) -> subprocess.Popen[bytes]:
        """Whoever drives it, by POST, or follows it, by GET; something has come."""
        line = ["curl", "-sN", "-X", method, f"{self.url}/chat-stream/{self.id}"]
        reader = subprocess.Popen(line, stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert os.read(reader.stdout.fileno(), len(PIECES[0]))
        return reader

    def close(self) -> None:
        """Leave nothing of it."""
        self.terminal.close(force=True)
        self.reader.kill()
        self.reader.communicate()

    def ended(self) -> str:
        """Whatever else it says, until both the process and the stream have ended."""
        self.terminal.expect(pexpect.EOF)
        self.terminal.wait()
        state = engaged(self.home, lambda engine: engine.recovered(self.id))
        assert (state.status, state.error) == (Status.ERROR, f"its program ended at byte {state.bytes}")
        assert state.bytes >= len(PIECES[0])
        return str(self.terminal.before)


async def on_a_terminal(check: Callable[[Served], object], *where: Any, **more: Any) -> None:
    """In a thread: the endpoint is in this loop."""

    def run() -> None:
        with contextlib.closing(Served(*where, **more)) as app:
            check(app)

    await anyio.to_thread.run_sync(run)


@needs("curl")
@pytest.mark.parametrize("stays", [True, False], ids=["a reader stays", "its reader left"])
async def test_ctrl_c_ends_the_app(server: Server, home: Home, tmp_path: Path, stays: bool) -> None:
    def check(app: Served) -> None:
        follower = app.reads("GET") if stays else None
        if not stays:
            app.reader.kill()
        app.terminal.sendintr()
        app.terminal.expect(rf"waiting for what still runs, at most 2 s more \(Ctrl-C ends it now\): {app.id}")
        assert "Traceback" not in app.ended()
        assert app.terminal.exitstatus == 0
        assert ended(app.reader) == (18 if stays else -signal.SIGKILL)
        if follower is not None:
            assert b"streamClosed" not in follower.communicate()[0]  # it comes back, and is told then
            assert follower.returncode == 0

    await on_a_terminal(check, server, home, tmp_path)


@needs("curl")
@pytest.mark.parametrize("gap", [0.02, 0.1, 0.2, 0.5])
async def test_two_ctrl_c_end_it_at_once(server: Server, home: Home, tmp_path: Path, gap: float) -> None:
    """Whenever the second comes: before uvicorn looks, while it waits for connections, in the lifespan's end."""

    def check(app: Served) -> None:
        app.terminal.sendintr()
        time.sleep(gap)
        app.terminal.sendintr()
        if app.terminal.expect([pexpect.EOF, "waiting for what still runs"]):
            app.terminal.sendintr()  # the two were taken for one
        app.ended()

    await on_a_terminal(check, server, home, tmp_path, program=CHAT.replace("grace=3", "grace=None"))


@needs("curl")
@pytest.mark.parametrize("options", [("--timeout-graceful-shutdown", "1"), ("--http", "h11")])
async def test_sigterm_ends_it_too(server: Server, home: Home, tmp_path: Path, options: tuple[str, ...]) -> None:
    def check(app: Served) -> None:
        app.terminal.kill(signal.SIGTERM)
        assert "Traceback" not in app.ended()
        assert ended(app.reader) == 18

    await on_a_terminal(check, server, home, tmp_path, *options)
