"""The daemon on TCP: who is let in, what may be asked for there, and that it is what its OpenAPI document says."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import socket
import stat
import struct
import subprocess
import tempfile
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from ptstream import wire
from ptstream.daemon.keys import Keys, token_of
from ptstream.daemon.listen_address import ListenAddress, address_of
from ptstream.daemon.request_limits import MAX_BODIES
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ConfigurationError
from ptstream.http.server import KEPT
from ptstream.http.uvicorn_protocol import PIPELINED
from ptstream.rate_limit import RateLimit
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Parent
from ptstream.text_search import LONGEST_QUERY
from ptstream.wire import MAX_BODY
from tests.conftest import (
    FIRST,
    LIMIT,
    SECOND,
    Cli,
    Face,
    Gate,
    daemon_status,
    detached,
    ended,
    kept,
    let_in,
    listening,
    made_home,
    needs,
    read_exactly,
    remount,
    sqlite_itself,
    started,
    stop_daemon,
    told,
    too_many,
    until,
)
from tests.endpoint import TEXT
from tests.preloaded import CODE

APP = "http://localhost:5173"


@pytest.fixture(scope="module")
def face(endpoint: str) -> Iterator[Face]:
    """One daemon for the module, with the scripted endpoint as its model."""
    config = f'model = "mine/ok"\norigins = ["{APP}"]\n[endpoints.mine]\nbase_url = "{endpoint}"'
    with listening(config) as made:
        yield made


def created(face: Face, **words: Any) -> str:
    """The id of a new stream."""
    answer = face.http.post(wire.STREAMS, json=words)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/streams/{answer.json()['id']}"
    return str(answer.json()["id"])


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """It was, with this status and this word."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


# --- the life of a stream


def test_a_streams_life(face: Face) -> None:
    id = created(face, prompt="Why?", title="A question", name="life")
    assert face.http.get(f"/streams/{id}").json()["status"] == "pending"
    with face.http.stream("POST", f"/streams/{id}/drive?live=1") as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.read().decode() == TEXT
    shown = face.http.get("/streams/life").json()
    assert (shown["id"], shown["status"], shown["bytes"], shown["prompt"]) == (id, "done", len(TEXT), "Why?")
    assert shown["attempts"][0]["usage"]["prompt_tokens"] == 7
    assert face.http.get(f"/streams/{id}/text?offset=7").text == TEXT[7:]
    assert kept(face.cli, id) == TEXT
    assert face.http.post(f"/streams/{id}/drive", json={}).json()["attached"] is True
    assert id in [stream["id"] for stream in face.http.get("/streams?status=done&limit=5").json()["streams"]]
    assert face.http.post(f"/streams/{id}/cancel").json()["status"] == "done"
    assert face.http.delete(f"/streams/{id}").status_code == 204
    refused(face.http.get(f"/streams/{id}"), 404, "not-found")
    refused(face.http.delete(f"/streams/{id}"), 404, "not-found")


def test_the_next_turn(face: Face) -> None:
    id = created(face, prompt="One?")
    face.http.post(f"/streams/{id}/drive", params={"live": "1"})
    turn = created(face, prompt="And two?", parent=id)
    shown = face.http.get(f"/streams/{turn}").json()
    assert (shown["parent"], shown["parent_offset"], shown["seam"]) == (id, len(TEXT), 0)
    rest = created(face, parent=id, parent_offset=9)
    assert face.http.get(f"/streams/{rest}").json()["parent_offset"] == 9
    refused(face.http.post(wire.STREAMS, json={"parent_offset": 9}), 400, "usage")
    refused(face.http.post(wire.STREAMS, json={"parent": id, "parent_offset": 10**6}), 416, "beyond-end")
    refused(face.http.post(wire.STREAMS, json={"parent": turn}), 409, "not-finished")


def test_numbers_that_are_written_oddly(face: Face) -> None:
    id = created(face, prompt="One?")
    face.http.post(f"/streams/{id}/drive", params={"live": "1"})
    rest = created(face, parent=id, parent_offset=9.0)  # an integer, as JSON Schema has it
    assert face.http.get(f"/streams/{rest}").json()["parent_offset"] == 9
    for limit in ("0", "1001", "0000000001001", "000000001" + "9" * 5000):
        refused(face.http.get("/streams", params={"limit": limit}), 400, "usage")
    assert len(face.http.get("/streams", params={"limit": "0000000000001"}).json()["streams"]) == 1
    for name in ("idle_since", "keep"):
        refused(face.http.get("/streams", params={name: "-1"}), 400, "usage")


@sqlite_itself
def test_a_conversation_of_many_turns(face: Face) -> None:
    with Store(face.cli.home) as store:
        parent = None
        for _ in range(1100):  # beyond what Python calls within each other
            turn = store.create(GenerationRequest(prompt="And then?"), parent=parent)
            store.cancel(turn.id)
            parent = Parent(turn.id, 0, continued=False)
    id = created(face, prompt="And then?", parent=turn.id)
    assert face.http.post(f"/streams/{id}/drive", params={"live": "1"}).text == TEXT


def test_a_cause_that_holds_what_no_header_does(face: Face) -> None:
    id = created(face, prompt="Why?", model="mine/controls")
    face.http.post(f"/streams/{id}/drive", params={"live": "1"})
    assert face.http.get(f"/streams/{id}").json()["status"] == "error"
    cause = face.http.get(f"/streams/{id}/text").headers["ptstream-error"]
    assert cause.endswith(r"400 Odd: a\ufffdb\x1b]0;c\x07d\x7f\x9be")


def test_the_same_name_is_the_same_stream(face: Face) -> None:
    id = created(face, prompt="x", name="same")
    assert created(face, prompt="x", name="same") == id
    refused(face.http.post(wire.STREAMS, json={"prompt": "y", "name": "same"}), 409, "name-taken")


def test_cancel_and_what_a_client_sees_of_it(face: Face, gate: Gate) -> None:
    id = detached(face.cli, *gate.command)
    with face.http.stream("GET", f"/streams/{id}/text?live=1") as answer:
        runs = answer.iter_text()
        assert next(runs) == FIRST
        assert face.http.post(f"/streams/{id}/cancel").json()["status"] == "cancelled"
        assert list(runs) == []


def test_delete_cancels_first(face: Face, gate: Gate) -> None:
    id = detached(face.cli, *gate.command)
    assert face.http.delete(f"/streams/{id}").status_code == 204
    refused(face.http.get(f"/streams/{id}/text"), 404, "not-found")


def test_a_request_that_leaves_stops_nothing(face: Face, gate: Gate) -> None:
    id = detached(face.cli, *gate.command)
    with face.http.stream("GET", f"/streams/{id}/text?live=1") as answer:
        assert next(answer.iter_text()) == FIRST
    gate.open()
    face.cli.run("wait", id)
    assert kept(face.cli, id) == FIRST + SECOND


@needs("curl")
def test_curl_follows_to_the_end(face: Face, gate: Gate) -> None:
    id = detached(face.cli, *gate.command)
    header = ["-H", f"Authorization: Bearer {face.token}"]
    line = ["curl", "-sSfN", *header, f"{face.url}/streams/{id}/text?live=1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as curl:
        assert read_exactly(curl, len(FIRST)) == FIRST.encode()
        gate.open()
        assert read_exactly(curl, 99) == SECOND.encode()
        assert ended(curl) == 0


def test_connections_are_kept_for_longer_than_clients_keep_them() -> None:
    """Else a request may meet a server that is hanging up. OpenAI's client has httpx's time."""
    assert (httpx.Limits().keepalive_expiry or 0) < KEPT


def test_models_and_status(face: Face) -> None:
    models = face.http.get(wire.MODELS).json()["models"]
    assert (models[0]["name"], models[0]["default"]) == ("mine/ok", True)
    assert face.http.get(wire.STATUS).json()["listen"] == face.url


# --- search


def test_search(face: Face, gate: Gate) -> None:
    id = detached(face.cli, *gate.command, words=("--title", "searched"))
    hits = face.http.get(wire.SEARCH, params={"q": "TWO."}).json()
    assert hits == {"hits": [], "complete": True}
    hits = face.http.get(wire.SEARCH, params={"q": "two."}).json()["hits"]
    assert {"id": id, "title": "searched", "offset": 4, "line": "one two.", "where": "text"} in hits
    assert len(face.http.get(wire.SEARCH, params={"q": "two.", "limit": 1}).json()["hits"]) == 1
    refused(face.http.get(wire.SEARCH), 400, "usage")
    refused(face.http.get(wire.SEARCH, params={"q": "x" * (LONGEST_QUERY + 1)}), 400, "usage")
    face.cli.run("cancel", id)


def test_many_who_search_at_once_take_no_more_than_one(face: Face) -> None:
    face.cli.run("tee", input=b"a line of no interest\n" * 50_000)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: face.http.get(wire.SEARCH, params={"q": "nowhere"}), range(30)))
    assert {answer.status_code for answer in answers} == {200}
    pid = face.http.get(wire.STATUS).json()["pid"]
    # Each search would have a thread of its own, and the generators would wait for all of them in turn.
    assert len(os.listdir(f"/proc/{pid}/task")) < 12


# --- more than is reasonable


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"prompt":[' + b"[]," * 1_000_000 + b"[]]}", "more than 100,000 values"),
        (b'{"prompt":' + b"[" * 1_000_000, "within each other"),
        (b'{"model":"m","messages":[' + b"{}," * 1_000_000 + b"{}]}", "more than 100,000 values"),
    ],
)
def test_a_request_that_would_take_long_to_read(face: Face, body: bytes, said: str) -> None:
    for path in (wire.STREAMS, wire.COMPLETIONS):
        answer = face.http.post(path, content=body)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]


# --- who may call


@pytest.mark.parametrize("words", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}, {"cookie": "a=b"}])
def test_nobody_without_the_token(face: Face, words: dict[str, str]) -> None:
    for method, path in (
        ("GET", "/streams"),
        ("POST", "/streams"),
        ("GET", "/streams/@last/text"),
        ("GET", "/nothing"),
    ):
        answer = httpx.request(method, face.url + path, headers=words)
        refused(answer, 401, "not-authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_cookie_of_an_invitation(face: Face) -> None:
    link = face.cli.out("web", "--no-browser").strip()
    with httpx.Client(base_url=face.url) as browser:
        answer = browser.get(link)
        room = answer.headers["location"].rstrip("/")
        assert answer.status_code == 303
        flags = answer.headers["set-cookie"].lower().split("; ")[1:]
        assert {"httponly", "samesite=strict", f"path={room}/"} <= set(flags)
        assert browser.get(f"{room}/streams").status_code == 200
        assert "<title>ptstream" in browser.get(f"{room}/").text
        other = {"sec-fetch-site": "same-site"}  # a page of another port of this host, which has the cookie as well
        refused(browser.get(f"{room}/streams", headers=other), 401, "not-authenticated")
        refused(browser.get(f"{room}/streams", headers={"origin": APP}), 401, "not-authenticated")
        (name, value) = next(iter(browser.cookies.items()))
        # Anywhere else a browser does not send it: whoever does has it from elsewhere.
        refused(httpx.get(f"{face.url}/streams", headers={"cookie": f"{name}={value}"}), 401, "not-authenticated")
    refused(httpx.get(f"{face.url}{room}/streams"), 401, "not-authenticated")
    assert httpx.get(link).status_code == 403


def test_a_cookie_among_others(face: Face) -> None:
    room, cookie = let_in(face.cli, face.url)
    name = f"ptstream-{face.port}"
    # Another port's server may set one of that name, too, which for another path comes first.
    many = f'a=b; {name}=x; odd; "; {cookie}; c="d'
    address = f"{face.url}{room}/streams"
    assert httpx.get(address, headers={"cookie": many}).status_code == 200
    refused(httpx.get(address, headers={"cookie": f"{name}=x; x{cookie}"}), 401, "session-ended")


@pytest.mark.parametrize("word", ["\\", "\\0"])
def test_an_odd_cookie_keeps_nobody_waiting(face: Face, word: str) -> None:
    cookie = 'a="' + word * (60_000 // len(word)) + '"'
    refused(httpx.get(f"{face.url}/streams", headers={"cookie": cookie}, timeout=LIMIT), 401, "not-authenticated")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_a_name_that_is_not_ours(face: Face, host: str) -> None:
    headers = {"host": host.format(port=face.port)}
    for path in ("/streams", "/", wire.ENTER):
        answer = httpx.get(face.url + path, headers=headers)
        refused(answer, 403, "not-allowed")
        assert all(word in answer.text for word in ("public_url", "origins", "listen", "config.toml"))
    assert face.http.get("/streams", headers=headers).status_code == 200  # a rebound name brings no token


@pytest.mark.parametrize("host", ["localhost", "localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_names_that_are_ours(face: Face, host: str) -> None:
    assert face.http.get("/streams", headers={"host": host.format(port=face.port)}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://localhost:9"])
def test_the_page_of_somebody_else(face: Face, origin: str) -> None:
    headers = {"origin": origin.format(port=face.port)}
    refused(face.http.post("/streams", json={}, headers=headers), 403, "not-allowed")
    assert "access-control-allow-origin" not in face.http.options("/streams", headers=headers).headers


def test_the_page_of_an_app_that_is_allowed(face: Face) -> None:
    asks = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    before = httpx.options(face.url + "/streams", headers=asks)
    assert before.headers["access-control-allow-origin"] == APP
    answer = face.http.get("/streams", headers={"origin": APP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
    assert "stream-next-offset" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_neither_commands_nor_files(face: Face, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for model in (f"replay:{secret}", f"gguf:{secret}"):
        refused(face.http.post("/streams", json={"prompt": "x", "model": model}), 403, "not-allowed")
    for more in ({"command": ["touch", "x"]}, {"generator": "x.py:f"}):
        refused(face.http.post("/streams", json={"prompt": "x", **more}), 400, "usage")
    made = [face.cli.out("create", "-m", f"replay:{secret}", "x").strip()]
    with httpx.Client(transport=httpx.HTTPTransport(uds=face.cli.home.socket), base_url=wire.BASE_URL) as socket_client:
        made.append(socket_client.post("/streams", json={"command": ["touch", "x"]}).json()["id"])
    for id in made:
        refused(face.http.post(f"/streams/{id}/drive"), 403, "not-allowed")
        assert told(face.cli, id)["status"] == "pending"
        refused(face.http.post("/streams", json={"parent": id}), 409, "not-finished")
    done = face.cli.out("drive", "-d", "--", "echo", "x").strip()
    face.cli.run("wait", done)
    refused(face.http.post("/streams", json={"parent": done}), 403, "not-allowed")


def test_what_is_the_sockets_alone(face: Face) -> None:
    assert face.http.post(wire.STOP).status_code == 404
    assert face.http.post(wire.ENTER).status_code == 403
    assert face.http.post(wire.LOCK).status_code == 404


def test_a_request_that_is_too_large(face: Face) -> None:
    refused(face.http.post("/streams", content=b" " * (MAX_BODY + 1)), 413, "too-large")

    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    refused(face.http.post("/streams", content=endless()), 413, "too-large")


LIMITED = """
import os, sys
from ptstream.daemon import process, request_limits
from ptstream.http import uvicorn_protocol
from ptstream.settings import Home, store_of
if sys.argv[2] == "impatient":
    for name in ("HEAD_TIME", "BODY_TIME", "STALL_TIME"):
        setattr(uvicorn_protocol, name, 0.2)
else:
    request_limits.RATE, request_limits.BURST = 0.001, 50
process.run(Home(sys.argv[1], store_of(os.environ)), listen="127.0.0.1:0", token=False)
"""
"""A daemon that waits for nobody, or one that answers few."""


@contextlib.contextmanager
def limited(cli: Cli, how: str) -> Iterator[int]:
    """Its port."""
    with started([LIMITED, cli.home.path, how], cli.environment, module=CODE) as process:
        try:
            until(lambda: os.path.exists(cli.home.socket))
            yield port_of(daemon_status(cli.home)["listen"])
            process.terminate()
            assert process.wait(timeout=LIMIT) == 0
        finally:
            process.kill()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class Impatient(NamedTuple):
    """The one that waits for nobody, and a stream that is more than all that lies between two sockets."""

    port: int
    id: str
    text: bytes


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Impatient]:
    """One for the module: whom it drops, it has forgotten."""
    path = tmp_path_factory.mktemp("text") / "text"
    path.write_bytes(random.Random(1).randbytes(8 * 1024 * 1024).hex().encode())
    with tempfile.TemporaryDirectory(prefix="pts-") as folder, made_home(f"{folder}/home") as home:
        cli = Cli(home)
        with limited(cli, "impatient") as port:
            id = cli.out("drive", "-d", "-p", "x", "-m", f"replay:{path}?rate=0&size=60000").strip()
            cli.run("wait", id)
            yield Impatient(port, id, path.read_bytes())


def heard(port: int, request: bytes) -> socket.socket:
    """A connection on which the request was sent in time, however busy the machine: its answer has begun."""
    while True:
        client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
            if client.recv(1):
                return client
        client.close()


BEGUN = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"POST /streams HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize("begun", [*BEGUN, BEGUN[-1] + b"Content-Length: 9\r\n\r\n{"])
def test_who_does_not_finish_a_request_is_dropped(impatient: Impatient, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=LIMIT) as client:
        client.sendall(begun)
        assert received(client) == b""


@pytest.mark.parametrize("next_", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_who_takes_nothing_is_dropped_and_may_come_back(impatient: Impatient, next_: bytes) -> None:
    port, id, text = impatient
    asks = f"GET /streams/{id}/text?live=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with heard(port, asks + next_) as client:
        until(lambda: not connections(port))
        assert len(received(client)) < len(text)
    got = bytearray(text[:1000])
    while len(got) < len(text):  # on a busy machine, it may be dropped for what it takes too late
        params = {"offset": str(len(got)), "live": "1"}
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.stream("GET", f"http://127.0.0.1:{port}/streams/{id}/text", params=params) as again,
        ):
            assert again.status_code == 200
            for data in again.iter_raw():
                got += data
    assert got == text


DONE_WITH = (
    b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n",  # answered before its body is there
)


@pytest.mark.parametrize("request_", DONE_WITH)
def test_who_asks_nothing_more_is_dropped(impatient: Impatient, request_: bytes) -> None:
    with heard(impatient.port, request_) as client:
        with contextlib.suppress(ConnectionError):  # it may be dropped by now
            client.sendall(b"\r\n")  # which no request begins with, and uvicorn takes for one
        received(client)


ENDLESS = (
    (b"GET /", b"x" * 65536),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nx: ", b"x" * 65536),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n" * 10_000),
    (b"POST /streams HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 10_000),
)


def by_tcp(face: Face) -> socket.socket:
    return socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT)


def by_socket(face: Face) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LIMIT)
    client.connect(face.cli.home.socket)
    return client


either_way = pytest.mark.parametrize("connected", [by_tcp, by_socket])
"""One class serves connections of both kinds."""


@either_way
@pytest.mark.parametrize(("begin", "more"), ENDLESS)
def test_a_head_that_has_no_end(
    face: Face, begin: bytes, more: bytes, connected: Callable[[Face], socket.socket]
) -> None:
    with connected(face) as client:
        client.sendall(begin)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                client.sendall(more)


OFFERS = ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "")
"""As Java's client begins, whatever it asks; and as others do."""


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize(("connected", "parts"), [(by_tcp, 1), (by_tcp, 2), (by_socket, 1)])
def test_a_body_is_a_body_whatever_else_is_offered(
    face: Face, offer: str, framing: str, parts: int, connected: Callable[[Face], socket.socket]
) -> None:
    body = json.dumps({"title": "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"})
    framed = f"Content-Length: {len(body)}\r\n\r\n", body
    if framing == "chunks":
        framed = "Transfer-Encoding: chunked\r\n\r\n", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    head = f"Host: localhost\r\nAuthorization: Bearer {face.token}\r\n"
    asks = f"POST /streams HTTP/1.1\r\n{head}{offer}{framed[0]}", framed[1]
    last = f"GET /none HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    with connected(face) as client:
        if parts == 1:
            client.sendall("".join((*asks, last)).encode())
        else:
            client.sendall(asks[0].encode())
            until(partial(taken, client))
            client.sendall((asks[1] + last).encode())
        said = received(client).decode()
    assert re.findall("HTTP/1.1 ([0-9]+)", said.replace("GET /status HTTP/1.1", "")) == ["201", "404"]
    assert "GET /status" in said


def test_what_comes_after_a_body_lets_nobody_in(face: Face) -> None:
    """Trailer fields are no part of the head (RFC 9110, 6.5.1)."""
    ask = "POST /streams HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ask += f"2\r\n{{}}\r\n0\r\nAuthorization: Bearer {face.token}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT) as client:
        client.sendall(ask.encode())
        assert received(client).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", [wire.ENTER, wire.SESSION, wire.STREAMS, "/web/page.js"])
def test_a_body_that_breaks_off_is_no_fault(face: Face, path: str) -> None:
    """Strangers would fill the log with it, and hide what is one."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    for more in ("", f"Authorization: Bearer {face.token}\r\n"):
        with socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT) as client:
            client.sendall(f"{head}{more}\r\nkey=".encode())
            client.shutdown(socket.SHUT_WR)
            received(client)
    assert face.http.get("/").status_code == 200
    assert "Traceback" not in Path(face.cli.home.log).read_text()


@either_way
def test_who_asks_on_without_waiting_is_dropped(face: Face, connected: Callable[[Face], socket.socket]) -> None:
    head = f"GET /streams HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {face.token}\r\n\r\n"
    with connected(face) as client:
        client.sendall(head.encode() * (PIPELINED + 1))  # the first one is not waiting
        said = ""
        while said.count("HTTP/1.1 200 ") <= PIPELINED:
            said += client.recv(65536).decode()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 5000)
        assert received(client).count(b"HTTP/1.1 ") <= PIPELINED + 2  # one answered, some waiting, and the refusal
    assert face.http.get("/streams").status_code == 200


def test_more_bodies_at_once_than_there_is_room_for(face: Face) -> None:
    head = f"POST /streams HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {face.token}\r\n"
    head += f"Content-Length: {MAX_BODY}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_BODIES // MAX_BODY):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT))
            client.sendall(head.encode() + b" " * (MAX_BODY - 1))
            until(partial(taken, client))
        until(lambda: face.http.post("/streams", content=b" " * MAX_BODY).status_code == 429)
        assert face.http.get("/streams").status_code == 200
    until(lambda: face.http.post("/streams", content=b" " * MAX_BODY).status_code == 400)  # no JSON, but heard


def test_who_is_not_let_in_takes_nobodys_turn() -> None:
    with listening() as face, socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT) as stranger:
        too_many(stranger)
        assert face.http.get("/streams").status_code == 200


def test_more_requests_than_are_answered(cli: Cli) -> None:
    with limited(cli, "few") as port:
        answers = [httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=LIMIT) for _ in range(52)]
    assert {answer.status_code for answer in answers[:50]} == {200}
    refused(answers[-1], 429, "too-many")
    assert answers[-1].headers["retry-after"] == "1"


def test_stopping_ends_who_reads(cli: Cli, gate: Gate) -> None:
    with cli.started("daemon", "run", "--listen", "127.0.0.1:0", "--no-token") as process:
        until(lambda: os.path.exists(cli.home.socket))
        url = daemon_status(cli.home)["listen"]
        id = detached(cli, *gate.command)
        with httpx.stream("GET", f"{url}/streams/{id}/text", params={"live": "sse"}, timeout=LIMIT) as answer:
            lines = answer.iter_lines()
            assert FIRST.strip() in next(line for line in lines if line.startswith("data: one"))
            process.terminate()
            assert '"status":"error","error":"the daemon was stopped at byte 9"' in list(lines)[-2]
        assert ended(process) == 0


def received(client: socket.socket) -> bytes:
    """What comes until the connection is closed, in whatever way."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(65536):
            data += more
    return data


def connections(port: int) -> list[str]:
    """The server's ends of connections that it still has, as Linux tells."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01"]


def taken(client: socket.socket) -> bool:
    """Whether the daemon has read all that was sent: nothing waits on this side, nor on the daemon's (Linux)."""
    waiting = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]
    mine, port = f":{client.getsockname()[1]:04X}", client.getpeername()[1]
    queues = [line.split()[4] for line in connections(port) if line.split()[2].endswith(mine)]
    return not waiting and queues == ["00000000:00000000"]


# --- its parts


def test_rate() -> None:
    rate = RateLimit(8, 3)
    assert [rate.take(0.0) for _ in range(5)] == [0, 0, 0, 1 / 8, 1 / 8]
    assert [rate.take(1 / 8), rate.take(1 / 8)] == [0, 1 / 8]
    assert [rate.take(9.0) for _ in range(4)] == [0, 0, 0, 1 / 8]


def test_the_token_is_made_once_and_is_ours_alone(home: Home) -> None:
    home.make()
    token = token_of(home)
    assert len(token) >= 43
    assert token_of(home) == token
    assert stat.S_IMODE(os.stat(home.token).st_mode) == 0o600
    os.chmod(home.token, 0o644)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        token_of(home)
    os.unlink(home.token)
    os.symlink("/dev/null", home.token)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        token_of(home)


def test_a_token_that_cannot_be_made(small: Cli) -> None:
    small.home.make()
    remount(small.home, "ro")
    with pytest.raises(ConfigurationError, match="cannot be made: Read-only"):
        token_of(small.home)


def test_an_invitation_is_good_once_and_not_for_long(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.make()
    keys = Keys(home)
    word = keys.invitation()
    assert keys.redeem(word)
    assert not keys.redeem(word)
    monkeypatch.setattr("ptstream.daemon.keys.INVITATION_TIME", -1.0)
    assert not keys.redeem(keys.invitation())
    assert not keys.redeem("")


@pytest.mark.parametrize(
    "word", ["", "7878", "127.0.0.1", "host:", "a b:1", "user@host:1", "host:99999", "[::1:3", "h:1/x"]
)
def test_no_address(word: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address"):
        address_of(word)


def test_addresses() -> None:
    assert address_of("127.0.0.1:80") == ListenAddress("127.0.0.1", 80)
    assert str(address_of("[::1]:80")) == "[::1]:80"
    hosts = ("127.9.9.9", "::1", "localhost", "0.0.0.0", "box")
    assert [ListenAddress(host, 1).loopback for host in hosts] == [True] * 3 + [False] * 2


def test_no_token_is_for_this_machine_alone(cli: Cli) -> None:
    done = cli.run("daemon", "run", "--listen", "0.0.0.0:0", "--no-token", code=4)
    assert b"without a token the daemon listens on this machine alone" in done.stderr
    cli.run("daemon", "run", "--no-token", code=2)
    with cli.started("daemon", "run", "--listen", "127.0.0.1:0", "--no-token") as process:
        until(lambda: os.path.exists(cli.home.socket))
        url = daemon_status(cli.home)["listen"]
        assert httpx.get(f"{url}/streams").status_code == 200
        refused(httpx.get(f"{url}/streams", headers={"origin": "http://evil.example"}), 403, "not-allowed")
        refused(httpx.get(f"{url}/streams", headers={"host": "evil.example"}), 403, "not-allowed")
        for site in ("cross-site", "same-site"):  # a script, an image or a frame of another page, without an origin
            refused(httpx.get(f"{url}/search?q=x", headers={"sec-fetch-site": site}), 403, "not-allowed")
        assert httpx.get(f"{url}/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link to the page
        process.terminate()
        assert process.stderr is not None
        assert b"everybody on this machine can read, write and delete your streams" in process.stderr.read()
        assert ended(process) == 0


def test_an_address_that_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli.run("daemon", "run", "--listen", f"127.0.0.1:{port}", code=4)
        assert b"cannot be listened on" in done.stderr
        Path(cli.home.config).write_text(f'listen = "127.0.0.1:{port}"')
        cli.run("drive", "--", "true")  # what the config file asks for keeps no stream from running
        status = daemon_status(cli.home)
    assert (status["listen"], "cannot be listened on" in status["trouble"]) == (None, True)
    stop_daemon(cli.home)
