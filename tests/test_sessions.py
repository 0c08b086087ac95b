"""The sessions of browsers that were let in: when they end, what outlives the daemon, and what a link is good for."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ptstream import wire
from ptstream.daemon.keys import Keys
from ptstream.daemon.sessions import IDLE_TIME, MOST, NOTED, WHOLE_TIME, Sessions
from ptstream.errors import ConfigurationError
from ptstream.settings import Home
from tests.browser import browser, context, needs_browser, page  # noqa: F401
from tests.conftest import (
    LIMIT,
    VISIT,
    Cli,
    Entered,
    Face,
    Gate,
    detached,
    invited,
    let_in,
    listening,
    stop_daemon,
    too_many,
)
from tests.page import ROOM, Site

TOKEN = b"a token"


class Clock:
    """The time, which a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """One."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where sessions are kept."""
    return str(tmp_path / "sessions.json")


def proof(key: str, nonce: str, origin: str) -> str:
    """As the page makes it."""
    return hmac.new(bytes.fromhex(key), f"{nonce} {origin}".encode(), hashlib.sha256).hexdigest()


# --- when they end


def test_a_session_ends_without_use_and_in_any_case(path: str, clock: Clock) -> None:
    sessions = Sessions(path, TOKEN, clock)
    unused, used = sessions.begin(), sessions.begin()
    ways = [(sessions.path_prefix(each), sessions.cookie(each)) for each in (unused, used)]
    while clock.now < unused.began + IDLE_TIME:
        clock.now += IDLE_TIME / 3
        assert sessions.of_cookie(*ways[1]) is used
    clock.now += 1
    assert sessions.of_cookie(*ways[0]) is None
    while clock.now + IDLE_TIME / 3 < used.began + WHOLE_TIME:
        clock.now += IDLE_TIME / 3
        assert sessions.of_cookie(*ways[1]) is used
    clock.now = used.began + WHOLE_TIME + 1
    assert sessions.of_cookie(*ways[1]) is None
    assert json.loads(Path(path).read_text())["sessions"] == []


def test_the_next_daemon_knows_a_session_by_its_key_and_not_by_its_cookie(path: str, clock: Clock) -> None:
    before = Sessions(path, TOKEN, clock)
    session = before.begin()
    room, cookie, key = before.path_prefix(session), before.cookie(session), before.key_of(session)
    assert key is not None
    assert before.key_of(session) == key  # its page may have been closed before it was kept
    assert before.key_of(session, kept=True) is None
    assert before.key_of(session) is None
    clock.now += NOTED + 1
    assert before.of_cookie(room, cookie)
    after = Sessions(path, TOKEN, clock)
    assert after.of_cookie(room, cookie) is None
    assert after.path_prefix(session) != room
    said = proof(key, after.nonce, "http://127.0.0.1:1")
    found = after.of_proof(session.id, said, "http://127.0.0.1:1")
    assert found is not None
    assert (found.id, found.used) == (session.id, clock.now)
    assert after.key_of(found) is None
    for id, word, origin in (
        (session.id, said, "http://127.0.0.1:2"),
        (session.id, proof(key, before.nonce, "http://127.0.0.1:1"), "http://127.0.0.1:1"),
        (session.id, "", "http://127.0.0.1:1"),
        ("", said, "http://127.0.0.1:1"),
    ):
        assert after.of_proof(id, word, origin) is None
    clock.now += IDLE_TIME + 1
    assert after.of_proof(session.id, said, "http://127.0.0.1:1") is None


def test_what_is_kept_is_private_bounded_and_of_one_token(path: str, clock: Clock) -> None:
    sessions = Sessions(path, TOKEN, clock)
    first = sessions.begin()
    way = sessions.path_prefix(first), sessions.cookie(first)
    for _ in range(MOST):
        clock.now += 1
        sessions.begin()
    assert sessions.of_cookie(*way) is None
    assert len(json.loads(Path(path).read_text())["sessions"]) == MOST
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert sessions.cookie(first) not in Path(path).read_text()
    assert Sessions(path, b"another", clock).of_proof(first.id, "", "") is None
    sessions.end_all(b"another")
    assert not os.path.exists(path)


ODD = ("", "[]", "{}", "null", "{", "[" * 100_000, '{"token": 1}', '{"token": "x", "sessions": 5}', "\ud800")


@pytest.mark.parametrize("text", ODD)
def test_a_file_that_holds_no_sessions_lets_nobody_in(path: str, text: str) -> None:
    Path(path).write_bytes(text.encode("utf-8", "surrogatepass"))
    os.chmod(path, 0o600)
    sessions = Sessions(path, TOKEN)
    session = sessions.begin()
    assert sessions.of_cookie(sessions.path_prefix(session), sessions.cookie(session))


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_read(path: str, plant: Any) -> None:
    plant(path)
    session = (sessions := Sessions(path, TOKEN)).begin()
    assert sessions.of_cookie(sessions.path_prefix(session), sessions.cookie(session))  # in memory


def test_another_token_ends_them(home: Home) -> None:
    home.make()
    keys = Keys(home)
    for change in (lambda: os.unlink(home.token), lambda: Path(home.token).write_text("t" * 43)):
        link, session = keys.invitation(), keys.sessions.begin()
        way, token = (
            (keys.sessions.path_prefix(session), keys.sessions.cookie(session)),
            Path(home.token).read_text().strip(),
        )
        os.utime(home.token)
        keys.look()  # touched alone: it is the same
        assert keys.sessions.of_cookie(*way)
        assert keys.is_token(token)
        change()
        keys.look()
        assert keys.sessions.of_cookie(*way) is None
        assert keys.redeem(link) is None
        assert not keys.is_token(token)
        assert keys.is_token(Path(home.token).read_text().strip())
    session = keys.sessions.begin()
    way = keys.sessions.path_prefix(session), keys.sessions.cookie(session)
    os.chmod(home.token, 0o644)
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            keys.look()
        assert keys.sessions.of_cookie(*way) is None
        assert not keys.is_token("t" * 43)


# --- a daemon


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    """One for all tests."""
    with listening() as made:
        yield made


def asked(face: Face, entered: Entered, method: str = "GET", path: str = "/streams", **headers: str) -> httpx.Response:
    """What a page is answered."""
    return httpx.request(method, face.url + entered.room + path, headers={"cookie": entered.cookie} | headers)


def ends(face: Face, entered: Entered) -> None:
    """It has."""
    answer = asked(face, entered)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "session-ended")
    assert "ptstream web" in answer.text


def test_lock_ends_what_is_open_and_every_link(face: Face, gate: Gate) -> None:
    one, other, link = let_in(face.cli, face.url), let_in(face.cli, face.url), invited(face.cli)
    id = detached(face.cli, *gate.command)
    headers = {"cookie": one.cookie}
    with httpx.stream(
        "GET", f"{face.url}{one.room}/streams/{id}/text?live=sse", headers=headers, timeout=LIMIT
    ) as body:
        lines = body.iter_lines()
        assert any("one two." in line for line in lines)
        face.cli.run("web", "--lock")
        with contextlib.suppress(httpx.RemoteProtocolError):
            assert not any("streamClosed" in line for line in lines)
    ends(face, one)
    ends(face, other)
    assert httpx.get(link).status_code == 403
    assert face.http.get("/streams").status_code == 200
    face.cli.run("cancel", id)


def test_lock_needs_no_daemon(cli: Cli, clock: Clock) -> None:
    cli.home.make()
    Sessions(cli.home.sessions, TOKEN).begin()
    cli.run("web", "--lock")
    assert not os.path.exists(cli.home.sessions)
    cli.run("web", "--lock")
    cli.run("web", "--lock", "--no-browser", code=2)


def test_what_was_caught_while_the_daemon_was_down_is_worth_nothing() -> None:
    with listening() as face:
        Path(face.cli.home.config).write_text(f'listen = "127.0.0.1:{face.port}"\n')
        entered = let_in(face.cli, face.url)
        key = asked(face, entered, "POST", wire.SESSION).json()
        assert key["key"]
        assert asked(face, entered, "POST", wire.SESSION).json() == key
        for query in ("?kept", ""):
            assert asked(face, entered, "POST", wire.SESSION + query).json()["key"] is None
        before = httpx.get(face.url + wire.SESSION).json()["nonce"]
        old = proof(key["key"], before, face.url)
        stop_daemon(face.cli.home)
        with socket.create_server(("127.0.0.1", face.port)) as squatter:  # as another user's
            face.http.close()
            with contextlib.suppress(httpx.TransportError):
                httpx.get(face.url + entered.room + "/streams", headers={"cookie": entered.cookie}, timeout=0.2)
            with squatter.accept()[0] as connection:
                caught = connection.recv(65536).decode()
        assert entered.cookie in caught
        face.cli.run("daemon", "start")
        ends(face, entered)
        own = {"origin": face.url}
        for word in (old, proof(key["key"], httpx.get(face.url + wire.SESSION).json()["nonce"], "http://127.0.0.1:1")):
            answer = httpx.post(
                face.url + wire.SESSION, headers=own | {"authorization": f"PTStream {key['id']}:{word}"}
            )
            assert answer.status_code == 401
        nonce = httpx.get(face.url + wire.SESSION).json()["nonce"]
        # Who has the port now passes on a proof that was made for it to where the daemon is: for another port.
        relayed = proof(key["key"], nonce, "http://127.0.0.1:1")
        headers = {"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1"}
        headers["authorization"] = f"PTStream {key['id']}:{relayed}"
        assert httpx.post(face.url + wire.SESSION, headers=headers).status_code == 401
        good = f"PTStream {key['id']}:{proof(key['key'], nonce, face.url)}"
        answer = httpx.post(face.url + wire.SESSION, headers=own | {"authorization": good})
        again = Entered(answer.json()["place"].rstrip("/"), answer.headers["set-cookie"].partition(";")[0])
        assert again.room != entered.room
        assert asked(face, again).status_code == 200
        assert httpx.get(face.url + "/streams", headers={"authorization": good}).status_code == 401  # for that alone


# --- the link

AHEAD = [
    {"sec-purpose": "prefetch"},
    {"sec-purpose": "prefetch;prerender"},
    {"purpose": "prefetch"},
    {"x-moz": "prefetch"},
    {"x-purpose": "preview"},
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
]


def test_who_looks_ahead_uses_up_no_link(face: Face) -> None:
    link = invited(face.cli)
    assert httpx.head(link).status_code == 200
    assert httpx.request("OPTIONS", link).status_code in (403, 405)
    for headers in AHEAD:
        answer = httpx.get(link, headers=headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False), headers
    assert httpx.get(link).status_code == 303
    assert httpx.head(link).status_code == 403


def test_elsewhere_what_does_not_say_that_it_is_a_visit_gets_a_button() -> None:
    with listening('public_url = "https://box.example.com"') as face:
        link = invited(face.cli).replace("https://box.example.com", face.url)
        outer = {"host": "box.example.com"}
        answer = httpx.get(link, headers=outer)  # a chat that shows what a link leads to
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
        key = link.partition("key=")[2]
        assert f'value="{key}"' in answer.text
        pressed = httpx.post(
            face.url + wire.ENTER, data={"key": key}, headers=outer | {"origin": "https://box.example.com"}
        )
        assert pressed.status_code == 303
        assert "Max-Age=25919" in pressed.headers["set-cookie"] or "Max-Age=2592000" in pressed.headers["set-cookie"]
        assert httpx.post(face.url + wire.ENTER, data={"key": key}, headers=outer).status_code == 403
        link = invited(face.cli).replace("https://box.example.com", face.url)
        assert httpx.get(link, headers=outer | VISIT).status_code == 303


def test_a_link_finds_its_turn_among_strangers(face: Face) -> None:
    link = invited(face.cli)
    with socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT) as stranger:
        too_many(stranger)
        assert httpx.get(link).status_code == 303


# --- in a browser


@pytest.fixture
def own() -> Iterator[Site]:
    """A daemon that a test may stop."""
    with listening() as face:
        Path(face.cli.home.config).write_text(f'listen = "127.0.0.1:{face.port}"\n')
        yield Site(face.cli, face.url)


KEPT = """() => new Promise((resolve) => {
    const opening = indexedDB.open("ptstream", 1)
    opening.onsuccess = () => {
        const asked = opening.result.transaction("session").objectStore("session").count()
        asked.onsuccess = () => { opening.result.close(); resolve(asked.result > 0) }
    }
})"""
"""Whether the browser has a session's key."""


@needs_browser
def test_the_page_goes_on_with_the_next_daemon(own: Site, page: Page, browser: Browser) -> None:
    id = own.cli.out("create", "Before and after.").strip()
    with page.expect_response("**/session?kept"):
        own.enter(page, id)
    page.get_by_label("Prompt").fill("And then?")
    page.get_by_label("Prompt").press("Enter")  # waits for an answer
    prompts = ["Before and after.", "And then?"]
    expect(page.locator(".prompt")).to_have_text(prompts)
    assert page.evaluate(KEPT)
    cookie = page.context.cookies()[0]["value"]
    before = page.url
    stop_daemon(own.cli.home)
    own.cli.run("daemon", "start")
    page.wait_for_url(lambda url: url != before)
    expect(page.locator(".prompt")).to_have_text(prompts)
    assert page.url.endswith(f"#{id}")
    assert cookie not in {each["value"] for each in page.context.cookies(page.url)}
    page.goto(own.url)  # as a bookmark
    page.wait_for_url(ROOM)
    expect(page.locator("#list li")).to_have_count(1)
    own.cli.run("web", "--lock")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.get_by_text("session has ended")).to_be_visible()
    expect(page.locator("#list")).to_be_hidden()
    page.context.new_page().goto(own.link())
    page.bring_to_front()
    expect(page.get_by_text("session has ended")).to_be_hidden()


@needs_browser
def test_a_tab_that_is_closed_before_it_has_the_key_loses_nothing(own: Site, context: BrowserContext) -> None:
    first = context.new_page()
    first.add_init_script("IDBObjectStore.prototype.put = () => { globalThis.given = true; return {} }")  # never done
    own.enter(first)
    first.wait_for_function("() => globalThis.given")
    first.close()
    second = context.new_page()
    with second.expect_response("**/session?kept"):
        second.goto(own.room + "/")
    assert second.evaluate(KEPT)


def test_no_script_of_a_service_worker_is_the_daemons(face: Face) -> None:
    entered = let_in(face.cli, face.url)
    worker = {"service-worker": "script", "sec-fetch-dest": "serviceworker", "sec-fetch-site": "same-origin"}
    for path in ("/", "/sw.js", "/web/page.js", wire.ENTER, f"{entered.room}/web/page.js"):
        for headers in ({}, {"cookie": entered.cookie}):
            answer = httpx.get(face.url + path, headers=headers | worker)
            assert (answer.status_code, answer.headers.get("clear-site-data")) == (403, '"storage"'), path
            assert "clear-site-data" not in httpx.get(face.url + path, headers=headers).headers


@needs_browser
def test_a_link_with_a_button(own: Site, context: BrowserContext) -> None:
    link = own.link()
    page = context.new_page()
    page.set_extra_http_headers({"sec-purpose": "prefetch"})
    page.goto(link)
    page.set_extra_http_headers({})
    page.get_by_role("button", name="Enter").click()
    page.wait_for_url(ROOM)
