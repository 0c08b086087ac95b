"""In a real browser: the page behind proxies that speak TLS; the page of an app, which sends headers of its own."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import ptstream
from tests.browser import CHROMIUM, FLAGS, needs_browser, visiting
from tests.conftest import Cli, listening, needs, stop_daemon, until
from tests.endpoint import TEXT
from tests.page import CONFIG, ROOM, Network
from tests.tls_proxy import Habit, proxy
from tests.web import site

pytestmark = needs_browser

BOX = "https://box.example.com"

HABITS = {
    # As Caddy, Traefik and Tailscale do without being told: the name is kept, the scheme said.
    "kept and said": (f'origins = ["{BOX}"]', "", Habit(says={"x-forwarded-proto": "https"})),
    # As Apache does, and RFC 7239 has it: the name is the daemon's, the outer one is said beside it.
    "another name": (
        f'origins = ["{BOX}"]',
        "",
        Habit(keeps_host=False, says={"forwarded": 'for=_x;proto=https;host="{host}"'}),
    ),
    # As nginx does without being told: nothing is kept, and nothing said.
    "nothing said": (f'public_url = "{BOX}"', "", Habit(keeps_host=False)),
    "beneath a path": (f'public_url = "{BOX}/my/pts/"', "/my/pts", Habit(strips="/my/pts")),
}


@pytest.fixture(scope="module")
def road() -> Iterator[Network]:
    """Where the browser comes by the names of other machines: it leads to where a test says."""
    made = Network("http://127.0.0.1:1")
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(road: Network) -> Iterator[Browser]:
    """A browser for which those names lead there, and any certificate is good."""
    there = road.url.removeprefix("http://")
    flags = [f"--host-resolver-rules=MAP box.example.com:443 {there}, MAP evil.example {there}"]
    flags += ["--ignore-certificate-errors", *FLAGS]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


class Behind(NamedTuple):
    """The page behind a proxy, in a tab."""

    cli: Cli
    page: Page
    link: str
    place: str


@pytest.fixture(params=HABITS)
def behind(
    request: pytest.FixtureRequest, endpoint: str, browser: Browser, road: Network, tmp_path: Path
) -> Iterator[Behind]:
    """Behind one of each habit."""
    config, path, habit = HABITS[request.param]
    with (
        listening(f"{config}\n{CONFIG.format(endpoint=endpoint)}") as face,
        proxy(face.url, habit, tmp_path) as port,
        visiting(browser) as context,
        context.new_page() as page,
    ):
        road.lead_to(port)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        link = face.cli.out("web", "--no-browser").strip().replace(face.url, BOX)
        yield Behind(face.cli, page, link, f"{BOX}{path}")
        assert errors == []


def ask(page: Page, model: str) -> str:
    """Ask it; the id of the stream."""
    before = page.url
    page.get_by_label("Model").select_option(model)
    page.get_by_label("Prompt").fill("Why?")
    page.get_by_label("Prompt").press("Enter")
    page.wait_for_url(lambda url: url != before and "#" in url)
    return page.url.partition("#")[2]


@needs("openssl")
def test_the_page_behind_a_proxy_is_whole(behind: Behind) -> None:
    page = behind.page
    page.goto(behind.link)
    page.wait_for_url(ROOM)
    assert page.url.startswith(f"{behind.place}/")
    cookie = page.context.cookies()[0]
    id = ask(page, "slow/slow")
    expect(page.locator("#stream .status")).to_have_text("done")  # followed as it came, to its end
    assert behind.cli.out("cat", id) == TEXT
    page.reload()
    expect(page.locator("#stream .status")).to_have_text("done")
    ask(page, "stalling/stall")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#stream .status")).to_have_text("cancelled")
    assert page.url.startswith(f"{BOX}{cookie['path']}")
    # A proxy that keeps no name and says nothing cannot be told from this machine's own browser.
    assert cookie["secure"] or "nothing said" in os.environ["PYTEST_CURRENT_TEST"]


ASK = """
async ([url, token]) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
  for (const name of ["lang", "os", "arch", "runtime", "retry-count", "timeout"]) headers[`x-stainless-${name}`] = "1"
  const body = JSON.stringify({ model: "slow", stream: true, messages: [{ role: "user", content: "Why?" }] })
  const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body })
  const text = await answer.text()
  const gone = await fetch(`${url}/streams/${answer.headers.get("stream-id")}`, { method: "DELETE", headers })
  return [answer.status, text.includes("[DONE]"), gone.status]
}
"""
"""As OpenAI's client for JavaScript asks, and then what it does not."""


def test_the_page_of_an_app_calls_with_headers_of_its_own(endpoint: str, browser: Browser) -> None:
    with site(ptstream.web) as origin:
        config = f'origins = ["{origin}"]\n{CONFIG.format(endpoint=endpoint)}'
        with listening(config) as face, visiting(browser) as context:
            page = context.new_page()
            page.goto(origin)
            assert page.evaluate(ASK, [face.url, face.token]) == [200, True, 204]


SPELLINGS = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "0", "0x0", "127.1", "2130706433", "0177.0.0.1",
             "[::ffff:0.0.0.0]", "[::ffff:127.0.0.1]", "127.9.9.9", "localhost.", "x.localhost")  # fmt: skip
"""Addresses by which a browser reaches this machine, as a page may write them."""

ASK_ALL = """
async (addresses) => {
  const asked = (make, address) => new Promise((resolve) => {
    const element = document.createElement(make)
    element.onload = element.onerror = resolve
    element.src = address
    document.head.append(element)
  })
  for (const address of addresses) {
    await Promise.race([
      Promise.all([
        fetch(address, { mode: "no-cors" }).catch(() => 0),
        asked("img", address),
        asked("script", address),
      ]),
      new Promise((resolve) => setTimeout(resolve, 2000)),
    ])
  }
}
"""


class Heard(http.server.BaseHTTPRequestHandler):
    """Keeps what a browser sends."""

    heads: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        if self.path.startswith("/status"):
            self.heads.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Everywhere(http.server.ThreadingHTTPServer):
    """On every address of this machine, of both kinds."""

    address_family = socket.AF_INET6
    daemon_threads = True


def test_without_a_token_no_page_from_elsewhere_gets_in(cli: Cli, browser: Browser, road: Network) -> None:
    """What the browser sends of a page of another site, under each name, is sent to a daemon."""
    with Everywhere(("::", 0), Heard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        road.lead_to(port)
        with visiting(browser) as context, context.new_page() as page:
            page.goto("http://evil.example/")
            page.evaluate(ASK_ALL, [f"http://{name}:{port}/status" for name in SPELLINGS])
            others = Heard.heads.copy()
            Heard.heads.clear()
            page.goto(f"http://localhost:{port}/status")
            (own,) = (head for head in Heard.heads if head.get("sec-fetch-dest") == "document")
        server.shutdown()
    assert len(others) > 2 * len(SPELLINGS)
    with cli.started("daemon", "run", "--listen", "127.0.0.1:0", "--no-token"):
        until(lambda: os.path.exists(cli.home.socket))
        url = json.loads(cli.out("daemon", "status", "--json"))["listen"]
        ours = url.rpartition(":")[2]

        def answered(head: dict[str, str]) -> int:
            with httpx.Client() as client:  # with none of its own headers
                host = {"host": head["host"].replace(str(port), ours)}
                return client.send(httpx.Request("GET", f"{url}/status", headers=head | host)).status_code

        assert {answered(head) for head in others} == {403}
        assert answered(own) == 200
        stop_daemon(cli.home)
