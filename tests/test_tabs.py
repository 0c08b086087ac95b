"""Many answers in many tabs of one browser, which has six connections to a server: all run, and none is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import browser, needs_browser, visiting  # noqa: F401
from tests.conftest import until
from tests.web import app

pytestmark = needs_browser

ROOMS = 4

APP = """
import contextlib, itertools
import anyio, ptstream
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

PAGE = '''<!doctype html><meta charset="utf-8"><title>Tab</title><link rel="icon" href="data:,">
<script type="module">
import * as ways from "/web/ptstream.js"
const told = (globalThis.told = {})
globalThis.read = async (how, id) => {
  const here = (told[id] = { text: "", ends: [] })
  for await (const { text, offset, status } of ways[how](`/streams/${id}`)) {
    here.text += text
    if (new TextEncoder().encode(here.text).length !== offset) here.wrong = offset
    if (status !== "streaming") here.ends.push(status)
  }
}
</script>'''

gates, lasting = {}, []

async def generate(stream):
    for number in itertools.count():
        if gates[stream.id].is_set():
            return
        yield f"{number} 数据. "
        await anyio.sleep(0.05)

async def create(request):
    id = await app.state.pts.create()
    gates[id] = anyio.Event()
    return JSONResponse(id)

async def end(request):
    for gate in gates.values():
        gate.set()
    return JSONResponse(None)

async def body(request):
    return JSONResponse((await app.state.pts.body(request.path_params["id"])).text)

async def stream(request):
    id = request.path_params["id"]
    if request.method == "POST":
        answer = app.state.pts.response(id, generate)
    else:
        answer = app.state.pts.events(id, request.query_params.get("offset", 0))
    if "until=now" in request.headers["accept"]:
        return answer
    async def counted(scope, receive, send):
        here = [request.method, id]
        lasting.append(here)
        try:
            await answer(scope, receive, send)
        finally:
            lasting.remove(here)
    return counted

@contextlib.asynccontextmanager
async def lifespan(app):
    async with ptstream.open("home", grace=0) as app.state.pts:
        yield

app = Starlette(lifespan=lifespan, routes=[
    Route("/", lambda _: HTMLResponse(PAGE)), Mount("/web", StaticFiles(directory=ptstream.web)),
    Route("/new", create, methods=["POST"]), Route("/end", end, methods=["POST"]), Route("/body/{id}", body),
    Route("/lasting", lambda _: JSONResponse(lasting)), Route("/streams/{id}", stream, methods=["GET", "POST"]),
])
"""

ALONE = "Object.defineProperty(navigator, 'locks', { value: undefined })"
"""As where no page can be trusted: on plain HTTP beyond this machine."""

HIDE = """(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
document.dispatchEvent(new Event('visibilitychange')) }"""


GROWN = """(before) => Object.entries(before).every(([id, size]) => told[id]?.text.length > size)
  && Object.fromEntries(Object.keys(before).map((id) => [id, told[id].text.length]))"""
"""The texts' sizes, once each is longer than it was."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address."""
    with app(APP, tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def user(browser: Browser) -> Iterator[BrowserContext]:
    """One user of the browser for all tests: a tab that is loaded reads for one after the other."""
    with visiting(browser) as made:
        yield made


@pytest.fixture
def context(request: pytest.FixtureRequest, user: BrowserContext, server: str) -> Iterator[BrowserContext]:
    """That user. What a test has begun is over before the next one counts connections."""
    failed = request.session.testsfailed
    yield user
    over(server)
    for page in user.pages:
        page.evaluate("for (const id in told) delete told[id]")
        if request.session.testsfailed > failed:
            page.close()


@pytest.fixture
def apart(browser: Browser, server: str) -> Iterator[BrowserContext]:
    """Another user, for one test."""
    with visiting(browser) as made:
        yield made
    over(server)


def over(server: str) -> None:
    """All streams are, and nobody has a connection that lasts."""
    httpx.post(f"{server}/end")
    until(lambda: not lasting(server))


def created(server: str, number: int) -> list[str]:
    """The ids of pending streams."""
    return [httpx.post(f"{server}/new").json() for _ in range(number)]


def tab(context: BrowserContext, server: str, how: str, ids: list[str]) -> Page:
    """A tab that reads these streams: one that reads nothing, or a new one."""
    page = next((each for each in context.pages if not each.evaluate("Object.keys(told).length")), None)
    if page is None:
        page = context.new_page()
        page.goto(server)
        page.wait_for_function("() => Boolean(globalThis.read)", polling=20)
    for id in ids:
        page.evaluate("([how, id]) => { read(how, id) }", [how, id])
    return page


def grows(page: Page, ids: list[str], sizes: int = 2) -> None:
    """Until each text in the tab has become longer so many times."""
    before = dict.fromkeys(ids, -1)
    for _ in range(sizes):
        grown = page.wait_for_function(GROWN, arg=before, polling=50)
        before = grown.json_value()


def lasting(server: str) -> list[list[str]]:
    """The connections that last just now: each one's method and stream."""
    found: list[list[str]] = httpx.get(f"{server}/lasting").json()
    return found


def _json(url: str) -> Any:
    return httpx.get(url).json()


def whole(server: str, pages: list[Page], ids: list[str]) -> None:
    """Every tab comes to each stream's end, told once, and has all of its text."""
    httpx.post(f"{server}/end")
    for id in ids:
        body = f"{server}/body/{id}"
        text = until(partial(_json, body))
        for page in pages:
            told = page.wait_for_function("(id) => told[id].ends.length && told[id]", arg=id, polling=50).json_value()
            text = _json(body)
            assert (told["ends"], told.get("wrong"), told["text"] == text) == (["done"], None, True)


@pytest.mark.parametrize(("tabs", "alone"), [(3, False), (6, False), (3, True)])
def test_three_answers_in_each_of_many_tabs(
    request: pytest.FixtureRequest, server: str, tabs: int, alone: bool
) -> None:
    context = request.getfixturevalue("apart" if alone else "context")
    if alone:  # each tab has one
        context.add_init_script(ALONE)
    ids = created(server, 3)
    pages = [tab(context, server, "follow" if number else "drive", ids) for number in range(tabs)]
    for page in pages:
        grows(page, ids)
        assert page.evaluate("fetch('/lasting').then((answer) => answer.status)") == 200
        assert len(lasting(server)) <= ROOMS
    if not alone:
        assert sorted(method for method, _ in lasting(server)) == ["GET", "POST", "POST", "POST"]
    pages.append(tab(context, server, "follow", ids))
    whole(server, pages, ids)


def test_who_asks_goes_first(context: BrowserContext, server: str) -> None:
    """A tab that drives takes the place of one that follows; one that is seen, of one that nobody sees."""
    ids = created(server, 3)
    driver = tab(context, server, "drive", ids[:1])
    grows(driver, ids[:1])
    readers = [tab(context, server, "follow", ids[:1]) for _ in range(4)]
    until(lambda: len(lasting(server)) == ROOMS)
    other = tab(context, server, "drive", ids[1:])
    grows(other, ids[1:])
    until(lambda: sorted(method for method, _ in lasting(server)) == ["GET", "POST", "POST", "POST"])
    for page in readers:
        grows(page, ids[:1])
    (held,) = [id for method, id in lasting(server) if method == "GET"]
    assert held == ids[0]
    other.evaluate(HIDE, True)  # and loses its connections to those that are seen
    until(lambda: [method for method, _ in lasting(server)].count("GET") == 3)
    grows(other, ids[1:])
    other.evaluate(HIDE, False)
    grows(other, ids[1:])
    driver.close()
    for page in readers:
        grows(page, ids[:1])
    httpx.post(f"{server}/end")
    for page, some in ((other, ids[1:]), *((reader, ids[:1]) for reader in readers)):
        whole(server, [page], some)


def test_more_drives_than_connections(context: BrowserContext, server: str) -> None:
    ids = created(server, 7)
    page = tab(context, server, "drive", ids)
    grows(page, ids)
    assert page.evaluate("fetch('/lasting').then((answer) => answer.status)") == 200
    assert len(lasting(server)) == ROOMS
    whole(server, [page], ids)


def test_a_connection_that_carries_any_number(apart: BrowserContext, server: str) -> None:
    """As the page's own says that it is one of HTTP/2."""
    apart.add_init_script("performance.getEntriesByType = () => [{ nextHopProtocol: 'h2' }]")
    ids = created(server, 5)
    page = tab(apart, server, "drive", ids)
    grows(page, ids)
    assert len(lasting(server)) == 5
    whole(server, [page], ids)
