"""Whatever comes in at the daemon's socket is answered, never with a fault, and the daemon goes on.

The fuzzing is done to a real process. Only one thing is left out: asking it to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptstream import wire
from ptstream.engine.sqlite.store import Store
from ptstream.errors import PtstreamError
from ptstream.streams import GenerationRequest, Status
from tests.conftest import FIRST, LIMIT, ON_POSTGRES, Cli, Gate, detached, kept, until

fuzzed = settings(
    max_examples=120,
    deadline=None,
    print_blob=True,
    # The daemon and the streams in it are meant to go through all examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Target(NamedTuple):
    """The daemon, a client of it, its process, and the ids of streams of every kind."""

    cli: Cli
    http: httpx.Client
    store: Store
    pid: int
    ids: tuple[str, ...]


@pytest.fixture(scope="module")
def target(served: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The same daemon is there before and afterwards, drives a stream, and has nothing to complain of in its log.

    What is asked of it is in its store, as no client has it made there.
    """
    if ON_POSTGRES:
        pytest.skip("tests SQLite itself")
    gate = Gate(tmp_path_factory.mktemp("gate"))
    with client(served) as http, Store(served.home) as store, contextlib.closing(gate):
        pid = http.get(wire.STATUS).json()["pid"]
        running = detached(served, *gate.command)
        done = served.out("drive", "-d", "--", "echo", "one").strip()
        cancelled, pending = store.create().id, store.create(GenerationRequest(command=("true",))).id
        store.cancel(cancelled)
        yield Target(served, http, store, pid, (running, done, cancelled, pending))
        assert http.get(wire.STATUS).json()["pid"] == pid
        assert served.out("drive", "--", "echo", "hi") == "hi\n"
        assert kept(served, running) == FIRST
        assert "Traceback" not in Path(served.home.log).read_text(errors="replace")


def client(cli: Cli) -> httpx.Client:
    """A client that knows HTTP and nothing else."""
    transport = httpx.HTTPTransport(uds=cli.home.socket)
    return httpx.Client(transport=transport, base_url=wire.BASE_URL, timeout=LIMIT)


def is_no_fault(code: int) -> None:
    assert 200 <= code < 500, code


# --- requests

ODD_IDS = st.sampled_from(("@last", "..", "%2e%2e", "%00", "a%2Fb", "%ff", "%", "%zz", "世界", "\u0661", "x" * 9000))

OFFSETS = st.sampled_from(("-1", "1e3", "0.5", "", "NaN", "inf", "0x1", "\u0663", "²", "1_0", " 1", "9" * 5000, "\0"))

NAMES = st.sampled_from(("accept", "content-type", "host", "range", "expect", "upgrade", "connection", "cookie", "x"))

VALUES = st.text(st.characters(max_codepoint=255), max_size=20).map(lambda text: text.encode("latin-1"))

KNOWN_VALUES = st.sampled_from((b"[", b"websocket", b"upgrade", b"100-continue", b"bytes=5-1", b"\xff", b"x" * 9000))

METHODS = st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "FOO"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

DEEP = st.sampled_from((b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b'"\\ud800"', b"\xef\xbb\xbf{}", b"NaN", b""))

BODIES = st.binary(max_size=50) | JSON.map(wire.dumps) | DEEP


def paths(ids: tuple[str, ...]) -> st.SearchStrategy[str]:
    """The real routes with real and odd ids, and what is no route; never the one that stops the daemon."""
    routes = st.sampled_from((wire.DRIVE, wire.TEXT, wire.REMARKS, wire.TEXT + "/", wire.STREAM))
    any_id = st.sampled_from(ids) | ODD_IDS | st.text(max_size=5)
    real = st.builds(lambda route, id: route.format(id=id), routes, any_id)
    odd = st.sampled_from(
        (wire.STATUS, wire.STATUS + "/", wire.STREAMS, wire.SEARCH, wire.OPENAPI, "//", "/stop/it", "/" + "x" * 9000)
    ) | st.text(max_size=9)
    return (real | odd.map(lambda path: f"/{path.lstrip('/')}")).filter(lambda path: "stop" not in path.casefold())


@given(st.data())
@fuzzed
def test_any_request_is_answered_without_a_fault(target: Target, data: st.DataObject) -> None:
    method, body = data.draw(METHODS), data.draw(st.none() | BODIES)
    path = data.draw(paths(target.ids if method != "DELETE" else ("gone",)))
    query = data.draw(st.lists(st.tuples(st.just("offset") | st.text(max_size=3), OFFSETS | st.integers().map(str))))
    headers = data.draw(st.lists(st.tuples(NAMES.map(str.encode), VALUES | KNOWN_VALUES), max_size=3))
    with (
        contextlib.suppress(httpx.InvalidURL, httpx.LocalProtocolError),  # what no client can send
        target.http.stream(method, path, params=tuple(query), headers=headers, content=body) as response,
    ):
        is_no_fault(response.status_code)


def test_a_head_of_a_running_text_keeps_no_connection_waiting(target: Target) -> None:
    for route in (wire.TEXT, wire.REMARKS):
        for id in target.ids:
            assert target.http.head(route.format(id=id)).status_code == 200
            assert target.http.get(wire.STATUS).status_code == 200


def test_a_lone_surrogate_is_refused_wherever_a_body_is_taken(target: Target) -> None:
    running = target.ids[0]
    for path in (wire.STREAMS, wire.DRIVE.format(id=running), wire.CHECK, wire.STREAM.format(id=running)):
        for method in ("POST", "PUT", "PATCH"):
            assert 400 <= target.http.request(method, path, content=b'"\\ud800"').status_code < 500


# --- drives

RIGHT: dict[str, Any] = {
    "directory": "/",
    "environment": {},
    "umask": 0o77,
    "python": sys.executable,
    "stderr": False,
    "on_drop": False,
}

STRINGS = st.sampled_from(("", "\0", "/nosuch", "/dev/null", "\ud800", "\udcff", "a\0b", "x" * 5000, "世界"))

VARIABLES = st.dictionaries(
    st.sampled_from(("PATH", "HOME", "PTSTREAM_MODEL", "OPENAI_BASE_URL", "a=b", "=", "", "\0", "\ud800")),
    STRINGS | JSON,
    max_size=2,
)

UMASKS = st.sampled_from((-1, 2**31, 2**70, -(2**70), 0o1000, 1.5, True, "077"))

WRONG: dict[str, st.SearchStrategy[Any]] = {
    "directory": STRINGS | JSON,
    "environment": VARIABLES | JSON,
    "umask": UMASKS | JSON,
    "python": STRINGS | JSON,
    "stderr": JSON,
    "on_drop": JSON,
}

GENERATORS = st.sampled_from(
    (
        GenerationRequest(command=("true",)),
        GenerationRequest(command=("/bin/echo", "\udcff")),
        GenerationRequest(generator=f"{os.path.abspath(__file__)}:nosuch"),
        GenerationRequest(model="replay:nosuch", prompt="x"),
        GenerationRequest(model="gguf:~\0", prompt="x"),
        GenerationRequest(model="openai/x", prompt="x"),
    )
)


REFUSED: dict[str, tuple[Any, ...]] = {
    "directory": (1, None, [], "\0", "\ud800"),
    "environment": (None, [], "", {"PATH": 1}, {"a=b": ""}, {"\0": ""}, {"a": "\ud800"}),
    "umask": (-1, 0o1000, 2**70, 1.5, True, "077", None),
    "python": (1, [], "\0", "\ud800"),
    "stderr": (0,),
    "on_drop": ("no",),
}


def test_a_drive_that_no_client_asks_for_is_refused(target: Target) -> None:
    id = target.store.create(GenerationRequest(command=("true",))).id
    bodies = [json.dumps(RIGHT | {field: value}).encode() for field, values in REFUSED.items() for value in values]
    bodies += [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"null", b"[]", b"\xff", b""]
    for body in bodies:
        assert target.http.post(wire.DRIVE.format(id=id), content=body).status_code == 400, body[:200]
    assert target.store.state(id).status is Status.PENDING


def test_an_address_or_a_file_that_cannot_be_is_refused(target: Target) -> None:
    at_endpoint, in_file = (
        GenerationRequest(model="openai/x", prompt="x"),
        GenerationRequest(model="gguf:~\0", prompt="x"),
    )
    for words, environment in ((at_endpoint, {"OPENAI_BASE_URL": "\udcff"}), (in_file, {})):
        id = target.store.create(words).id
        told = json.dumps(RIGHT | {"environment": environment}).encode()
        assert target.http.post(wire.DRIVE.format(id=id), content=told).status_code == 400


@given(words=GENERATORS, data=st.data())
@fuzzed
def test_a_drive_with_one_thing_wrong_is_refused_or_ends(
    target: Target, words: GenerationRequest, data: st.DataObject
) -> None:
    wrong = data.draw(st.sampled_from(sorted(WRONG)))
    told = RIGHT | {wrong: data.draw(WRONG[wrong])}
    if data.draw(st.integers(0, 9)) == 0:
        del told[wrong]
    id = target.store.create(words).id
    answer = target.http.post(wire.DRIVE.format(id=id), content=json.dumps(told).encode())
    is_no_fault(answer.status_code)
    if answer.status_code == 200:
        until(lambda: target.store.state(id).status.ended)
    else:
        assert type(wire.error_from(answer.content)) is not PtstreamError
        assert target.store.state(id).status is Status.PENDING


# --- not even HTTP

PARTS = st.sampled_from(
    (
        b"GET /status HTTP/1.1\r\n",
        b"POST /streams/x/drive HTTP/1.1\r\n",
        b"GET http://[/status HTTP/1.1\r\n",
        b"GET http://x HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/9.9\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
    )
)


LEFT = [b"POST /streams/x/drive HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"\r\n", b"and"]
"""A client that goes away in the middle of what it asks for."""


@given(parts=st.lists(PARTS | st.binary(max_size=20), max_size=8))
@example(LEFT)
@fuzzed
def test_bytes_that_are_no_request_end_their_connection_alone(target: Target, parts: list[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(LIMIT)
        raw.connect(target.cli.home.socket)
        answer = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it had read enough
            raw.sendall(b"".join(parts))
            raw.shutdown(socket.SHUT_WR)
            while data := raw.recv(65536):
                answer += data
    assert not any(line.startswith(b"HTTP/1.1 5") for line in answer.splitlines())
    is_no_fault(target.http.get(wire.STATUS).status_code)
