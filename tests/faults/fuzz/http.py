"""Bytes to the daemon's ports, whoever sends them: nothing private comes out, nothing breaks, and it goes on.

On TCP without the token, on TCP with it, and on the socket. Only one thing is never asked: to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import httpx
from hypothesis import strategies as st

import ptstream
from ptstream import wire
from ptstream.streams import GenerationRequest
from tests.faults.ears import LIMIT
from tests.faults.fuzz.grammar import CUTS, broken, one_of, pieces
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.ground import Actor, Ground, ground
from tests.faults.runs import Run
from tests.faults.tally import Tally

PROMPT, TEXT = "a-prompt-of-the-harness", "a-text-of-the-harness"

CONFIG = """\
listen = "127.0.0.1:0"
model = "nowhere/x"
[endpoints.nowhere]
base_url = "http://127.0.0.1:1/v1"
tries = 1
"""

LOG = 64 * 1024
"""Bytes that the daemon may write to its log, whatever it is sent in a minute."""

GROWTH = 64 * 1024
"""Kilobytes that it may have more in memory at the end."""

PATIENCE = 0.2
"""Seconds for the answers to what may be no whole request; what is one is answered by then, or was heard of."""

LAST = b"HEAD /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
"""What is asked at the end of each connection: when it is answered, all is."""

METHODS = one_of(
    (
        "GET",
        "GET",
        "GET",
        "POST",
        "POST",
        "HEAD",
        "DELETE",
        "PUT",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "get",
        "PRI",
        "X" * 3000,
    )
)

PLACES = (
    *(wire.STATUS, wire.STREAMS, wire.SEARCH, wire.MODELS, wire.OPENAPI, wire.ENTER, wire.CALLERS, wire.COMPLETIONS),
    *(wire.COMPLETION_MODELS, "/v1/models/x", "/", "/web/", "/web/page.js", "/web", "*", "//", "/x"),
    *("http://[", "http://evil.example/status"),
    *(wire.STREAM, wire.DRIVE, wire.CANCEL, wire.TEXT, wire.REMARKS, "{room}/status", "{room}/streams"),
    *("{room}/", "/web/../../token"),
    *("/web/%2e%2e/%2e%2e/token", "/web//etc/passwd", "/web/\0", "/openapi.json/../status", "/;/status"),
    *("/web/..;/status", "/ENTER", "/%73tatus"),
)

IDS = ("{id}", "{id}", "@last", "nosuch", "..", "%00", "%2e%2e", "a%2Fb", "%ff", "%zz", "x" * 3000, "")

QUERIES = one_of(
    (
        *("", "", "", "?offset=0", "?offset=-1", "?offset=1e9", "?live=1", "?live=sse", "?offset=-1&live=1"),
        *("?limit=9", "?limit=0", "?q=a", "?q=", "?key=x", "?key=", "?idle=1", "?q=%00", "?q=" + "a" * 3000, "?%"),
        *("?offset=%zz", "?a=b&a=b", "?\xff", "?token=x", "?limit=" + "9" * 3000),
    )
)

FIELDS = one_of(
    (
        *("Host: 127.0.0.1:{port}", "Host: localhost", "Host: evil.example", "Host: 0.0.0.0:{port}", "Host:"),
        *("Host: [::1]", "Host: 127.1", "Host: a@127.0.0.1", "Origin: http://127.0.0.1:{port}"),
        *("Origin: http://evil.example", "Origin: null", "Origin: http://localhost:5173", "Origin:"),
        *("Origin: [", "Origin: http://0.0.0.0:{port}", "Sec-Fetch-Site: cross-site"),
        *("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
        *("Access-Control-Request-Method: GET", "Access-Control-Request-Private-Network: true"),
        *("Cookie: ptstream-{port}=x", "Cookie: ptstream-{port}=", "Cookie: " + "a=b;" * 3000),
        *("Cookie: =;;=\x00", "Authorization: Bearer x", "Authorization: Bearer", "Authorization: Basic eDp5"),
        *("Authorization: Bearer \xff", "Authorization: bearer  " + "x" * 3000),
        *("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 127.0.0.1"),
        *('Forwarded: host="a,b";proto=https', "Forwarded: " + '"' * 3000, "Upgrade: websocket"),
        *("Upgrade: h2c", "Connection: upgrade", "Connection: close", "Connection: keep-alive"),
        *("HTTP2-Settings: AAMAAABkAAQAAP__", "Sec-WebSocket-Key: x", "Transfer-Encoding: chunked"),
        *("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: x"),
        *("Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999"),
        *("Content-Length: 0x5", "Content-Length: ٣", "Expect: 100-continue", "Range: bytes=0-5"),
        *("Range: bytes=5-1", "Range: x", "Accept: text/event-stream", "If-None-Match: *"),
        *("Last-Event-ID: 99999999999999999999", "Last-Event-ID: x", "Content-Type: text/plain"),
        *("If-Modified-Since: x", " folded: x", "no colon", ": x", "X\x00: y", "X: \x00", "X: " + "y" * 3000),
        *("If-Range: x", "Accept: " + "*/*," * 3000, "Accept-Encoding: gzip;q=x"),
    )
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(("nowhere/x", "{id}", "user")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *(
                        "prompt",
                        "model",
                        "name",
                        "title",
                        "ttl",
                        "parent",
                        "parent_offset",
                        "messages",
                        "role",
                        "content",
                    ),
                    *("stream", "caller", "drain", "system", "flush", "n", "stop"),
                )
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
).map(lambda value: wire.dumps(value).decode())

BODIES = st.one_of(
    JSON,
    one_of(
        (
            *("", "{}", "[" * 3000, '{"a":' * 3000, "9" * 5000, '"\\ud800"', "\xff", "NaN"),
            *('{"prompt":"x","model":"nowhere/x"}', '{"name":"x"}'),
        )
    ),
    st.just('{"model":"nowhere/x","messages":[{"role":"user","content":"x"}],"stream":true}'),
)


class Request(NamedTuple):
    """One request, not filled in yet."""

    method: str
    place: str
    query: str
    fields: tuple[str, ...]
    body: str
    framing: str


REQUESTS = st.builds(
    Request,
    METHODS,
    st.builds(lambda place, id: place.replace("{id}", id), one_of(PLACES), one_of(IDS)),
    QUERIES,
    st.lists(FIELDS, max_size=5).map(tuple),
    BODIES,
    st.sampled_from(("length", "chunked", "none", "wrong")),
)

CONNECTIONS = st.lists(REQUESTS, min_size=1, max_size=3)

DOORS = ("stranger", "stranger", "token", "socket")


class Target(NamedTuple):
    """The daemon, and what of it is nobody's to see."""

    here: Ground
    daemon: list[Actor]
    port: int
    token: str
    room: str
    cookie: str
    private: str
    other: str
    public: tuple[bytes, ...]


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    with run.case(tally, -1) as chance, ground(chance) as here:
        target = _target(here)
        looks: list[Look[Any]] = [_look(target, door) for door in DOORS]
        before = _memory(target)
        search(run, tally, looks)
        tally.check(_memory(target) - before < GROWTH, f"the daemon has grown by {_memory(target) - before:,} kB")
        tally.check(_logged(target) < LOG, f"the daemon has logged {_logged(target):,} bytes")
        tally.notes.append(f"it has grown by {_memory(target) - before:,} kB, and logged {_logged(target):,} bytes")


def _look(target: Target, door: str) -> Look[Any]:
    raw = broken(CONNECTIONS.map(lambda asked: b"".join(_bytes(each, target, door) for each in asked)), 3)
    return Look(st.tuples(raw, CUTS), lambda made: _ask(target, door, *made), 30)


def _target(here: Ground) -> Target:
    here.home.make()
    Path(here.home.config).write_text(CONFIG)
    with here.store() as store:
        private = store.create(GenerationRequest(command=("echo", TEXT), prompt=PROMPT), title=PROMPT).id
        other = store.create(GenerationRequest(command=("true",))).id
    daemon = [here.daemon()]
    here.drive(private)
    port = int(json.loads(here.request("GET", wire.STATUS))["listen"].rpartition(":")[2])
    token = Path(here.home.token).read_text().strip()
    room, cookie = _entered(json.loads(here.request("POST", wire.ENTER))["url"])
    web = Path(ptstream.__file__).parent / "web"
    public = [path.read_bytes() for path in web.rglob("*") if path.is_file()]
    public.append(here.request("GET", wire.OPENAPI))
    # The page shows nothing by itself.
    public.append(httpx.get(f"http://127.0.0.1:{port}/", timeout=LIMIT).content)
    public.append(b"OK")  # to a preflight
    return Target(here, daemon, port, token, room, cookie, private, other, tuple(public))


def _entered(link: str) -> tuple[str, str]:
    """Where a browser is led by a link for one use, and the value of the cookie that it is given."""
    answer = httpx.get(link, timeout=LIMIT)
    room, cookie = answer.headers.get("location", ""), next(iter(answer.cookies.values()), "")
    if room and cookie:
        return room.rstrip("/"), cookie
    raise Wrong("no browser is let in", answer.text)


def _bytes(asked: Request, target: Target, door: str) -> bytes:
    """The request as it is sent. A stranger knows of the page's room only that there is one."""
    room = "/" + "0" * 32 if door == "stranger" else target.room
    id = target.private if door == "stranger" else target.other
    head = f"{asked.method} {asked.place}{asked.query} HTTP/1.1\r\n"
    fields = [f"{field}\r\n" for field in asked.fields]
    if not any(field.startswith("Host") for field in asked.fields):
        fields.append("Host: 127.0.0.1\r\n")
    if door == "token":
        fields.append(f"Authorization: Bearer {target.token}\r\n")
    body = asked.body.encode("latin-1", "replace")
    match asked.framing:
        case "length":
            fields.append(f"Content-Length: {len(body)}\r\n")
        case "chunked":
            fields.append("Transfer-Encoding: chunked\r\n")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        case "wrong":
            fields.append(f"Content-Length: {len(body) + 1}\r\n")
        case _:
            body = b""
    whole = "".join([head, *fields, "\r\n"])
    for name, value in (("{room}", room), ("{id}", id), ("{port}", str(target.port))):
        whole = whole.replace(name, value)
    return whole.encode("latin-1", "replace") + body.replace(b"{id}", id.encode())


def _ask(target: Target, door: str, asked: bytes, cuts: Sequence[int] | None) -> None:
    if re.search(rb"(?i)stop", unquote_to_bytes(asked)):
        return
    before = _listed(target)
    said = _said(target, door, pieces(asked, cuts if cuts is not None else range(0, len(asked), 97)))
    answers = list(_answers(said))
    for status, head, body in answers:
        if status == 500 or (status > 500 and b'"code"' not in body and b"too many" not in body):
            raise Wrong(f"{status} to a {door}", body[:300])
        if status == 101:
            raise Wrong("it became something else", head)
    if door == "stranger":
        _check_stranger(target, said, answers)
        if _listed(target) != before:
            raise Wrong("a stranger changed something")
    _check_alive(target)


def _check_stranger(target: Target, said: bytes, answers: Sequence[tuple[int, bytes, bytes]]) -> None:
    for secret in (PROMPT, TEXT, target.token, target.room, target.cookie):
        if secret.encode() in said:
            raise Wrong("a stranger reads what is private", secret)
    for status, head, body in answers:
        if b"set-cookie" in head.lower():
            raise Wrong("a stranger is let in", head)
        if 200 <= status < 300 and status != 206 and not any(public.startswith(body) for public in target.public):
            raise Wrong("a stranger is told what is not for all", body[:300])


def _check_alive(target: Target) -> None:
    if target.daemon[-1].gone:
        said = target.daemon[-1].said
        target.daemon.append(target.here.daemon())
        raise Wrong("the daemon is gone", said[-1000:])
    if "Traceback" in (said := target.daemon[-1].said):
        target.daemon[-1].err.data.clear()
        raise Wrong("the daemon took it for a fault", said[-1000:])
    request = f"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.token}\r\nConnection: close\r\n\r\n"
    for door in ("token", "socket"):
        answer = _said(target, door, [request.encode()], last=b"")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Wrong(f"afterwards a {door} is not answered", answer[:300])


def _listed(target: Target) -> bytes:
    return target.here.request("GET", f"{wire.STREAMS}?limit=1000")


def _said(target: Target, door: str, parts: Sequence[bytes], last: bytes = LAST) -> bytes:
    """All that is answered on one connection."""
    with _connection(target, door) as connection:
        said = bytearray()
        with contextlib.suppress(ConnectionError):  # it had enough, and may have said so
            for part in filter(None, (*parts, last)):
                connection.sendall(part)
        with contextlib.suppress(ConnectionError):
            with contextlib.suppress(TimeoutError):  # it waits for more of a body
                _hear(connection, said)
                return bytes(said)
            connection.settimeout(LIMIT)
            if not last:
                _hear(connection, said)
            connection.shutdown(socket.SHUT_WR)
            _hear(connection, said)
        return bytes(said)


def _connection(target: Target, door: str) -> socket.socket:
    if door == "socket":
        connection = target.here.connect()
    else:
        connection = socket.create_connection(("127.0.0.1", target.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(PATIENCE)
    return connection


def _hear(connection: socket.socket, said: bytearray) -> None:
    while data := connection.recv(65536):
        said += data


def _answers(said: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Status, head and body of each answer."""
    for part in re.split(rb"(?=HTTP/1\.[01] \d{3} [^\r\n]*\r\n)", said):
        if found := re.match(rb"HTTP/1\.[01] (\d{3})", part):
            head, _, body = part.partition(b"\r\n\r\n")
            yield int(found[1]), head, body


def _memory(target: Target) -> int:
    """Kilobytes of the daemon's that are in memory."""
    status = Path(f"/proc/{target.daemon[-1].process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) if found else 0


def _logged(target: Target) -> int:
    folder = os.path.dirname(target.here.home.log)
    kept = sum(entry.stat().st_size for entry in os.scandir(folder)) if os.path.isdir(folder) else 0
    return kept + sum(len(actor.err.drain()) for actor in target.daemon)
