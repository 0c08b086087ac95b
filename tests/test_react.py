"""`useStream` with the real React from npm, in a browser: a text that only grows, whatever renders and connects."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

import ptstream
from ptstream.http.read_response import EVENT_SIZE as PART
from tests.browser import browser, context, needs_browser, visiting, watched  # noqa: F401
from tests.conftest import needs
from tests.web import app, line, site

pytestmark = [needs("npm"), needs_browser]

PACKAGES = ("react@19.3.1", "react-dom@19.3.1", "esbuild@0.28.2", "typescript@5.9.3")

QUIETLY = ("--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline")

FIRST, SECOND = "One two. ", "Three four."
TEXT = FIRST + SECOND
LONG = "".join(f"{number} 数据\r\n" for number in range(2000))

ENTRY = """
import { createElement, StrictMode, useLayoutEffect } from "react"
import { createRoot } from "react-dom/client"
import { useStream } from "./react.js"

window.seen = {}  // all that was rendered, by name
const roots = {}

window.calls = []
window.drawn = []

function Shown({ name, url, options: { user, ...options } }) {
  if (user) {  // new functions in each render
    options.headers = async () => (calls.push(user), { "x-user": user })
    options.fetch = (...asked) => (calls.push("fetch"), fetch(...asked))
  }
  const { text, status, error } = useStream(url && new URL(url), options)
  if (url) window.drawn.push([name, url, text])
  useLayoutEffect(() => {
    window.seen[name].push({ url, text, status, error })
  }, [url, text, status, error])
  return createElement("p", { id: name }, text)
}

window.render = (...all) => {
  for (const [name, url, options] of all) {
    window.seen[name] ??= []
    roots[name] ??= createRoot(document.body.appendChild(document.createElement("div")))
    roots[name].render(createElement(StrictMode, null, createElement(Shown, { name, url, options })))
  }
}

window.unmount = (name) => roots[name].unmount()

window.anew = () => {
  for (const name in roots) {
    unmount(name)
    delete roots[name]
    delete window.seen[name]
  }
  document.body.replaceChildren()
  window.calls.length = 0
  window.drawn = []
}
"""

TYPED = """
import { follow, drive, StreamError, type Piece } from "./ptstream.js"
import { useStream } from "./react.js"

export async function all(url: URL, signal: AbortSignal): Promise<number> {
  let last: Piece | undefined
  for await (const piece of follow(url, { offset: 3, signal, headers: { a: "b" } })) last = piece
  for await (const { text } of drive("/x", { body: "{}", follow: url, fetch })) text.trim()
  const headers = async () => ({ authorization: `Bearer ${await Promise.resolve("x")}` })
  follow(url, { headers, fetch: (url, request: RequestInit) => fetch(url, { ...request, keepalive: false }) })
  // @ts-expect-error: no headers
  follow(url, { headers: () => 3 })
  return last?.offset ?? 0
}
export const code = (error: unknown): string | undefined => (error instanceof StreamError ? error.code : undefined)
export function useText(id: string): string {
  useStream(`/s/${id}`, { headers: () => ({ a: id }), fetch })
  const { text, status } = useStream(`/s/${id}`, { driven: true, headers: [["a", "b"]] })
  // @ts-expect-error: no such status
  return status === "running" ? "" : text
}
"""

APP = """
import contextlib
import anyio, ptstream
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

gates, asked = {}, []
LONG = "".join(f"{number} \\u6570\\u636e\\r\\n" for number in range(2000))

def gate(id):
    return gates.setdefault(id, anyio.Event())

async def generate(stream):
    asked.append(stream.id)
    if stream.prompt == "long":
        for begin in range(0, len(LONG), 100):
            await anyio.sleep(0.02)
            yield LONG[begin : begin + 100]
        return
    yield "One "
    yield "two. "
    await gate(stream.id).wait()
    if stream.prompt == "fail":
        raise RuntimeError("the model fell over")
    yield "Three "
    yield "four."

async def create(request):
    return PlainTextResponse(await app.state.pts.create(prompt=request.query_params.get("prompt", "")))

async def go(request):
    gate(request.path_params["id"]).set()
    return PlainTextResponse("")

async def cancel(request):
    await app.state.pts.cancel(request.path_params["id"])
    return PlainTextResponse("")

async def show(request):
    body = await app.state.pts.body(request.path_params["id"])
    return JSONResponse({"text": body.text, "status": body.status, "asked": asked})

async def stream(request):
    id = request.path_params["id"]
    if request.headers.get("x-user", "me") == "nobody":
        return PlainTextResponse("who?", 403)
    if request.method == "POST":
        return app.state.pts.response(id, generate)
    return app.state.pts.events(id, request.query_params.get("offset", 0))

@contextlib.asynccontextmanager
async def lifespan(app):
    async with ptstream.open("home", grace=0) as app.state.pts:
        yield

cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
app = Starlette(lifespan=lifespan, middleware=[cors], routes=[
    Route("/new", create, methods=["POST"]), Route("/go/{id}", go, methods=["POST"]),
    Route("/cancel/{id}", cancel, methods=["POST"]), Route("/show/{id}", show),
    Route("/streams/{id}", stream, methods=["GET", "POST"]), Route("/read/{id}", stream),
])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the bundle, and with what it was made of."""
    folder = tmp_path_factory.mktemp("react")
    subprocess.run(["npm", "install", *QUIETLY, *PACKAGES], cwd=folder, check=True)
    for name in ("ptstream.js", "ptstream.d.ts", "react.js", "react.d.ts"):
        shutil.copy(ptstream.web / name, folder)
    (folder / "entry.js").write_text(ENTRY)
    development = "--define:process.env.NODE_ENV='development'"
    bundle = ["node_modules/.bin/esbuild", "entry.js", "--bundle", "--format=esm", "--outfile=bundle.js", development]
    subprocess.run([*bundle, "--log-level=warning"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def origin(built: Path) -> Iterator[str]:
    """A site that has the bundle."""
    with site(built) as url:
        yield url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address."""
    with app(APP, tmp_path_factory.mktemp("app")) as url:
        yield url


class Tab:
    """A page with the bundle: what it renders, what it has rendered, and what it asked the server for."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.asked: list[str] = []
        """The methods of the requests that last: where the first byte is slow, there are polls, too."""
        self.polls = 0
        page.on("request", self._saw)
        page.goto(origin)
        page.evaluate("import('/0/bundle.js')")

    def _saw(self, request: Request) -> None:
        if "/streams/" in request.url and request.method != "OPTIONS":
            if "until=now" in request.headers["accept"]:
                self.polls += 1
            else:
                self.asked.append(request.method)

    def render(self, *all: tuple[str, str | None, dict[str, Any]]) -> None:
        """Each a name, a URL, and the hook's options."""
        self.page.evaluate("(all) => render(...all)", [list(each) for each in all])

    def wait(self, name: str, text: str | None = None, status: str | None = None) -> dict[str, Any]:
        """What is rendered, when it is so."""
        self.page.wait_for_function(
            """([name, text, status]) => {
              const last = seen[name].at(-1)
              return last && (text === null || last.text === text) && (status === null || last.status === status)
            }""",
            arg=[name, text, status],
            polling=50,  # a page that nobody sees has no frames
        )
        last = self.last(name)
        assert self.page.text_content(f"#{name}") == last["text"]
        return last

    def wait_for_more(self, name: str, size: int) -> None:
        """Until there is more text than so many characters, and not all of it."""
        self.page.wait_for_function(
            "([name, size]) => seen[name].at(-1)?.text.length > size", arg=[name, size], polling=20
        )
        assert self.last(name)["status"] == "streaming"

    def last(self, name: str) -> dict[str, Any]:
        """What was rendered last."""
        return self.page.evaluate("(name) => seen[name].at(-1)", name)  # type: ignore[no-any-return]

    def grew(self, name: str) -> list[str]:
        """The statuses it went through. No text was ever taken back."""
        backwards, statuses = self.page.evaluate(
            """(name) => [
              seen[name].filter(({ text }, at, all) => at && !text.startsWith(all[at - 1].text)),
              seen[name].map(({ status }) => status).filter((status, at, all) => status !== all[at - 1]),
            ]""",
            name,
        )
        assert backwards == []
        return statuses  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def loaded(browser: Browser, origin: str) -> Iterator[Tab]:
    """A tab for all tests."""
    with visiting(browser) as user:
        yield Tab(user.new_page(), origin)


@pytest.fixture
def tab(loaded: Tab) -> Iterator[Tab]:
    """That tab, with nothing in it; its scripts raise nothing that nobody catches."""
    loaded.page.evaluate("anew()")
    loaded.asked.clear()
    loaded.polls = 0
    with watched(loaded.page):
        yield loaded


def created(server: str, prompt: str = "") -> str:
    """The URL of a pending stream."""
    return f"{server}/streams/" + httpx.post(server + "/new", params={"prompt": prompt}).text


def to(server: str, what: str, url: str) -> None:
    """Do something to the stream at `url`."""
    httpx.post(f"{server}/{what}/{url.rpartition('/')[2]}").raise_for_status()


def shown(server: str, url: str) -> dict[str, Any]:
    """What the store has."""
    return httpx.get(f"{server}/show/{url.rpartition('/')[2]}").json()  # type: ignore[no-any-return]


def test_strict_mode(tab: Tab, server: str) -> None:
    url = created(server)
    tab.render(("a", url, {"driven": True}))
    assert tab.wait("a", FIRST)["status"] == "streaming"
    to(server, "go", url)
    assert tab.wait("a", TEXT, "done")["error"] is None
    assert tab.grew("a") == ["pending", "streaming", "done"]
    assert tab.asked == ["POST"]
    assert shown(server, url)["asked"].count(url.rpartition("/")[2]) == 1


def test_renders_with_new_objects_ask_nothing(tab: Tab, server: str) -> None:
    url = created(server)
    for _ in range(20):
        tab.render(("a", url, {"driven": True, "headers": {"x-user": "me"}}))
    tab.wait("a", FIRST)
    for _ in range(20):
        tab.render(("a", url, {"driven": True, "headers": {"x-user": "me"}}))
    to(server, "go", url)
    tab.wait("a", TEXT, "done")
    for _ in range(20):
        tab.render(("a", url, {"driven": True, "headers": {"x-user": "me"}}))
    assert tab.grew("a") == ["pending", "streaming", "done"]
    assert tab.asked == ["POST"]


WRONG = """([name, said]) => drawn.filter((each) => each[0] === name).filter(([, url, text], at, all) => {
  const [, before, shorter] = all[at - 1] ?? ["", "", ""]
  return !said[url].startsWith(text) || (url === before && !text.startsWith(shorter))
})"""
"""What was drawn that is not the beginning of what its URL says, or less than was drawn of it before."""


def test_two_streams_and_a_change(tab: Tab, server: str) -> None:
    urls = [created(server, "long"), created(server), created(server), created(server)]
    tab.render(("a", urls[0], {"driven": True}), ("b", urls[1], {"driven": True}))
    tab.wait("b", FIRST)
    tab.wait_for_more("a", PART + 1000)
    tab.render(("a", urls[2], {"driven": True}))
    tab.wait("a", FIRST)
    tab.render(("a", urls[0], {}))
    tab.wait_for_more("a", PART + 1000)
    tab.render(("a", urls[3], {}))
    tab.wait("a", "", "pending")
    tab.render(("a", urls[0], {}))
    tab.wait("a", LONG, "done")
    to(server, "go", urls[1])
    tab.wait("b", TEXT, "done")
    said = dict(zip(urls, (LONG, TEXT, TEXT, ""), strict=True))
    drawn = tab.page.evaluate("() => [...new Set(drawn.map(([, url]) => url))]")
    assert set(drawn) == set(urls)
    for name in ("a", "b"):
        wrong = tab.page.evaluate(WRONG, [name, said])
        assert wrong == []
    tab.render(("a", None, {}))
    tab.wait("a", "", "pending")


def test_one_tab_drives_and_another_follows(tab: Tab, browser: Browser, origin: str, server: str) -> None:
    url = created(server)
    with visiting(browser) as another:
        other = Tab(another.new_page(), origin)
        other.render(("a", url, {}))
        tab.render(("a", url, {"driven": True}))
        for each in (tab, other):
            assert each.wait("a", FIRST)["status"] == "streaming"
        to(server, "go", url)
        for each in (tab, other):
            each.wait("a", TEXT, "done")
            assert each.grew("a") == ["pending", "streaming", "done"]
        assert set(other.asked) == {"GET"}


def test_from_driven_to_followed_without_a_jump(tab: Tab, server: str) -> None:
    url = created(server, "long")
    for driven, size in ((True, PART + 1000), (False, PART + 2000), (True, PART + 3000), (False, PART + 4000)):
        tab.render(("a", url, {"driven": driven}))
        tab.wait_for_more("a", size)
    tab.wait("a", LONG, "done")
    assert tab.grew("a") == ["pending", "streaming", "done"]


@pytest.mark.parametrize(
    ("what", "status", "error"),
    [
        ("fail", "error", "RuntimeError: the model fell over"),
        ("cancel", "cancelled", f"cancelled at byte {len(FIRST)}"),
    ],
)
def test_the_status_is_the_stores_though_the_connection_broke(
    tab: Tab, server: str, what: str, status: str, error: str
) -> None:
    url = created(server, what)
    with line(server, lambda number: None if number else 5, whole_heads=True) as bad:
        tab.render(("a", url.replace(server, bad.url), {"driven": True}))
        tab.wait("a", FIRST, "streaming")
        assert bad.cuts == 1
        to(server, "go" if what == "fail" else "cancel", url)
        assert tab.wait("a", FIRST, status)["error"] == error
        assert tab.grew("a") == ["pending", "streaming", status]


def test_unmounting_stops_reading_and_not_the_stream(tab: Tab, server: str) -> None:
    url = created(server)
    tab.render(("a", url, {"driven": True}))
    tab.wait("a", FIRST)
    with tab.page.expect_event("requestfailed"):
        tab.page.evaluate("unmount('a')")
    before = tab.page.evaluate("seen.a.length")
    to(server, "go", url)
    tab.render(("b", url, {}))
    tab.wait("b", TEXT, "done")
    assert (tab.page.evaluate("seen.a.length"), shown(server, url)["status"]) == (before, "done")


def test_it_is_driven_at_another_url_than_it_is_read(tab: Tab, server: str) -> None:
    url = created(server)
    tab.render(("a", url.replace("/streams/", "/read/"), {"driven": True, "drive": url, "body": "{}"}))
    tab.wait("a", FIRST)
    to(server, "go", url)
    tab.wait("a", TEXT, "done")
    assert tab.asked == ["POST"]  # and what follows is asked for elsewhere


def test_headers(tab: Tab, server: str) -> None:
    url = created(server)
    tab.render(("a", url, {"driven": True, "headers": {"x-user": "nobody"}}))
    tab.page.wait_for_function("seen.a.at(-1).error !== null")
    assert tab.last("a") == {"url": url, "text": "", "status": "pending", "error": "HTTP 403"}
    tab.render(("a", url, {"driven": True, "headers": {"x-user": "somebody"}}))
    assert tab.wait("a", FIRST)["error"] is None
    tab.render(("a", url, {"driven": True, "headers": {"x-user": "another"}}))
    to(server, "go", url)
    tab.wait("a", TEXT, "done")
    assert tab.grew("a") == ["pending", "streaming", "done"]


def test_headers_that_are_asked_for_and_a_fetch(tab: Tab, server: str) -> None:
    """A new function asks for nothing; the newest is called for the next request."""
    url = created(server)
    for number in range(20):
        tab.render(("a", url, {"driven": True, "user": f"user {number}"}))
    tab.wait("a", FIRST)
    tab.render(("a", url, {"driven": True, "user": "the last"}))
    assert tab.asked == ["POST"]
    tab.page.evaluate("dispatchEvent(new Event('online'))")
    to(server, "go", url)
    tab.wait("a", TEXT, "done")
    assert tab.asked == ["POST", "GET"]
    calls = tab.page.evaluate("calls")
    assert (calls.count("fetch"), calls[-2:]) == (2 + tab.polls, ["the last", "fetch"])
    assert tab.grew("a") == ["pending", "streaming", "done"]


def test_a_page_that_nobody_sees(context: BrowserContext, origin: str, server: str) -> None:
    """It has no frames, and yet what comes is rendered."""
    context.add_init_script(
        "Object.defineProperty(document, 'hidden', {get: () => unseen}); globalThis.requestAnimationFrame = () => 1;"
        "globalThis.unseen = false"
    )
    tab = Tab(context.new_page(), origin)
    url = created(server, "long")
    tab.render(("a", url, {"driven": True}))
    tab.wait_for_more("a", 0)
    tab.page.evaluate("globalThis.unseen = true")
    tab.wait_for_more("a", 2000)
    tab.wait("a", LONG, "done")
    assert tab.grew("a") == ["pending", "streaming", "done"]


def test_the_types(built: Path) -> None:
    (built / "typed.ts").write_text(TYPED)
    # What TypeScript brings is not looked at for mistakes, which takes longer than all else.
    line = ["node_modules/.bin/tsc", "--noEmit", "--strict", "--skipDefaultLibCheck"]
    line += ["--target", "es2022", "--module", "nodenext", "typed.ts"]
    done = subprocess.run(line, cwd=built, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout
