"""The example's chat app in two windows of a real browser: one asks, the other sees the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser, needs_browser, visiting  # noqa: F401
from tests.conftest import ROOT
from tests.endpoint import PIECES, TEXT
from tests.test_examples import CHAT
from tests.web import app

pytestmark = needs_browser

BEGUN = "".join(PIECES[:3])

GATED = """
import sys
import anyio
from tests import endpoint

async def main():
    async with endpoint.serve() as server:
        print(server.base_url, flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            await server.stalled.wait()  # its last piece may be shown before it is there
            server.stalled = anyio.Event()
            release, server.release = server.release, anyio.Event()
            release.set()
            print(len(server.requests), flush=True)

anyio.run(main)
"""


class Endpoint:
    """A scripted endpoint whose answers stop after three pieces, until it is let on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()
        self._all = self._before = 0

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> int:
        """Let those on that wait; how many requests there were in this test."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._all = int(self._line())
        return self._all - self._before

    def forget(self) -> None:
        """Count from here on."""
        self._before = self._all


@pytest.fixture(scope="module")
def playing() -> Iterator[Endpoint]:
    """The endpoint."""
    line = [sys.executable, "-c", GATED]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Endpoint(process)
        process.kill()


@pytest.fixture
def gated(playing: Endpoint) -> Endpoint:
    """The endpoint, which has been asked for nothing yet."""
    playing.forget()
    return playing


@pytest.fixture
def chat(gated: Endpoint, tmp_path: Path) -> Iterator[str]:
    """The app's address."""
    with app(CHAT, tmp_path, OPENAI_BASE_URL=gated.url, MODEL="stall", PYTHONPATH=str(ROOT)) as url:
        yield url


@pytest.fixture
def windows(browser: Browser, chat: str) -> Iterator[tuple[Page, Page]]:
    """Two, of two users."""
    with visiting(browser) as one, visiting(browser) as two:
        pages = one.new_page(), two.new_page()
        errors: list[str] = []
        for page in pages:
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(chat)
        yield pages
        assert errors == []


def ask(page: Page, prompt: str) -> None:
    """Type it and send it."""
    page.fill("input", prompt)
    page.click("button")


def shows(page: Page, *turns: str) -> None:
    """What the window has in it, once it has."""
    expect(page.locator("main")).to_have_text("".join(turns), use_inner_text=False)


def test_it_is_short() -> None:
    assert CHAT.count("\n") < 130


def test_two_windows(windows: tuple[Page, Page], gated: Endpoint) -> None:
    one, two = windows
    posts: list[str] = []
    for page in windows:
        page.on("request", lambda request: posts.append(request.method) if "/chat-stream/" in request.url else None)
    ask(one, "Why?")
    for page in windows:
        shows(page, "> Why?\n", BEGUN)
    assert posts.count("POST") == 1
    two.reload()
    shows(two, "> Why?\n", BEGUN)
    one.reload()
    shows(one, "> Why?\n", BEGUN)
    gated.go()
    for page in windows:
        shows(page, "> Why?\n", TEXT)
    ask(two, "And then?")
    for page in windows:
        shows(page, "> Why?\n", TEXT, "> And then?\n", BEGUN)
    assert gated.go() == 2
    for page in windows:
        shows(page, "> Why?\n", TEXT, "> And then?\n", TEXT)
    assert posts.count("POST") == 2


def test_the_window_that_asked_is_closed(windows: tuple[Page, Page], gated: Endpoint) -> None:
    one, two = windows
    ask(one, "Why?")
    shows(one, "> Why?\n", BEGUN)
    one.context.close()
    shows(two, "> Why?\n", BEGUN)
    gated.go()
    shows(two, "> Why?\n", TEXT)


PLAIN = """async () => {
  const seen = await (await fetch("/send", {method: "POST", body: JSON.stringify({prompt: "Plain?"})})).json()
  const told = {text: "", ends: []}
  const events = new EventSource(`/chat-stream/${seen.id}`)
  events.addEventListener("data", ({data}) => { told.text += data })
  events.addEventListener("control", ({data}) => {
    const {streamClosed, status} = JSON.parse(data)
    if (streamClosed) told.ends.push(status)
  })
  fetch(`/chat-stream/${seen.id}`, {method: "POST"})
  while (events.readyState != EventSource.CLOSED) await new Promise((resolve) => setTimeout(resolve, 100))
  return told
}"""


def test_a_plain_event_source_ends(windows: tuple[Page, Page], gated: Endpoint) -> None:
    """Without anything of ours: it comes back after the end, as it always does, and is told that there is no more."""
    one, two = windows
    one.evaluate(f"globalThis.told = null; void ({PLAIN})().then((told) => {{ globalThis.told = told }})")
    shows(two, "> Plain?\n", BEGUN)
    gated.go()
    one.wait_for_function("globalThis.told")
    assert one.evaluate("told") == {"text": TEXT, "ends": ["done"]}
