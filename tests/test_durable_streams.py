"""Reading over HTTP as the Durable Streams protocol has it, by hand and by its official client, unchanged."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from durable_streams import stream

from ptstream import wire
from ptstream.http.read_response import ANSWER_SIZE, EVENT_SIZE
from tests.conftest import FIRST, SECOND, Cli, Face, Gate, detached, kept, listening, needs, until

ALL = FIRST + SECOND

JAVASCRIPT_CLIENT = "@durable-streams/client@0.2.7"

FOLLOW = """
import { stream } from "@durable-streams/client"
const [url, live, token] = process.argv.slice(2)
const answer = await stream({ url, live, offset: "-1", headers: { Authorization: `Bearer ${token}` } })
for await (const text of answer.textStream()) process.stdout.write(text)
"""

SSE = {"live": "sse", "encoding": "base64"}


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    """A daemon on TCP."""
    with listening() as made:
        yield made


@pytest.fixture(scope="module")
def served(face: Face) -> Cli:
    """The command for its home."""
    return face.cli


@pytest.fixture
def http(face: Face) -> httpx.Client:
    """A plain client."""
    return face.http


def path_of(id: str) -> str:
    """Where the text of a stream is."""
    return wire.TEXT.format(id=id)


def word(offset: int) -> str:
    """An offset on the wire."""
    return f"{offset:016d}"


def events_of(text: str) -> list[tuple[str, Any]]:
    """Server-sent events in base64: bytes of data, tables of control."""
    found: list[tuple[str, Any]] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields.get("event") == "data":
            found.append(("data", base64.b64decode(fields["data"])))
        elif fields:
            control = json.loads(fields["data"])
            end = int(control["streamNextOffset"])
            assert fields["id"] == (str(end) if "streamClosed" in control else word(end))
            found.append(("control", control))
    return found


def test_catching_up(served: Cli, gate: Gate, http: httpx.Client) -> None:
    id = detached(served, *gate.command)
    path, size = path_of(id), len(FIRST)
    begun = http.get(path)
    assert (begun.text, begun.headers["stream-next-offset"]) == (FIRST, word(size))
    assert begun.headers["stream-up-to-date"] == "true"
    assert "stream-closed" not in begun.headers
    again = http.get(path, params={"offset": word(4)})
    assert again.text == FIRST[4:]
    now = http.get(path, params={"offset": "now"})
    assert (now.content, now.headers["stream-next-offset"], "etag" in now.headers) == (b"", word(size), False)
    assert http.head(path).headers["stream-next-offset"] == word(size)
    tag = {"if-none-match": begun.headers["etag"]}
    assert http.get(path, headers=tag).status_code == 304
    gate.open()
    served.run("wait", id)
    whole = http.get(path, headers=tag)
    assert (whole.text, whole.headers["stream-closed"], whole.headers["ptstream-status"]) == (ALL, "true", "done")
    at_end = http.get(path, params={"offset": word(len(ALL))})
    assert (at_end.content, at_end.headers["stream-closed"]) == (b"", "true")
    assert http.get(path, params={"offset": "now"}).headers["stream-closed"] == "true"
    assert http.head(path).headers["stream-closed"] == "true"
    for bad in ({"offset": "1,2"}, {"live": "2"}, {"offset": "-2"}):
        assert http.get(path, params=bad).status_code == 400


def test_an_ended_text_cannot_change_without_its_tag(served: Cli, http: httpx.Client, gate: Gate) -> None:
    id = detached(served, *gate.command)
    tag = http.get(path_of(id)).headers["etag"]
    served.run("cancel", id)
    closed = http.get(path_of(id), headers={"if-none-match": tag})
    assert (closed.status_code, closed.text, closed.headers["ptstream-status"]) == (200, FIRST, "cancelled")
    assert closed.headers["ptstream-error"] == f"cancelled at byte {len(FIRST)}"
    live = http.get(path_of(id), params={"live": "1"})
    assert (live.text, live.headers["ptstream-status"], live.headers["stream-closed"]) == (FIRST, "cancelled", "true")


def test_long_polls(served: Cli, gate: Gate, http: httpx.Client) -> None:
    id = detached(served, *gate.command)
    ask = {"live": "long-poll", "offset": "-1", "cursor": "99999999"}
    first = http.get(path_of(id), params=ask)
    assert (first.text, int(first.headers["stream-cursor"]) > 99999999) == (FIRST, True)
    ask["offset"] = first.headers["stream-next-offset"]
    timer = threading.Timer(0.2, gate.open)
    timer.start()
    second = http.get(path_of(id), params=ask)
    assert second.text == SECOND
    served.run("wait", id)
    last = http.get(path_of(id), params=ask | {"offset": second.headers["stream-next-offset"]})
    assert (last.status_code, last.headers["stream-closed"], last.headers["stream-up-to-date"]) == (204, "true", "true")


@pytest.mark.parametrize("live", ["long-poll", "sse"])
@pytest.mark.parametrize("size", [19, 4300, 5000])
def test_a_cursor_that_is_none_of_ours(served: Cli, http: httpx.Client, live: str, size: int) -> None:
    id = served.out("drive", "-d", "--", "printf", FIRST).strip()
    query = {"live": live, "offset": "0", "cursor": "9" * size}
    with http.stream("GET", path_of(id), params=query) as answer:
        assert answer.status_code == 200
        assert FIRST.strip() in answer.read().decode()


def test_server_sent_events(served: Cli, gate: Gate, http: httpx.Client) -> None:
    id = detached(served, *gate.command)
    with http.stream("GET", path_of(id), params=SSE | {"offset": "now"}) as answer:
        assert answer.headers["stream-sse-data-encoding"] == "base64"
        text = answer.iter_text()
        (kind, control), *_ = events_of(next(text))
        assert (kind, control["streamNextOffset"], control["upToDate"]) == ("control", word(len(FIRST)), True)
        gate.open()
        *events, (_, last) = events_of("".join(text))
    assert b"".join(data for kind, data in events if kind == "data") == SECOND.encode()
    end = {"streamNextOffset": word(len(ALL)), "upToDate": True, "streamClosed": True}
    assert last == end | {"status": "done", "error": None, "note": None}
    resumed = http.get(path_of(id), params=SSE, headers={"last-event-id": word(len(FIRST))}).text
    assert [data for kind, data in events_of(resumed) if kind == "data"] == [SECOND.encode()]
    assert events_of(http.get(path_of(id), params=SSE | {"offset": "now"}).text) == [("control", last)]


def test_whoever_reads_events_on_is_told_that_there_is_no_more(served: Cli, gate: Gate, http: httpx.Client) -> None:
    """As a browser's EventSource does, which comes back after every end but this one."""
    id = detached(served, *gate.command)

    def again(last: str, **query: str) -> httpx.Response:
        return http.get(path_of(id), params=SSE | query, headers={"last-event-id": last})

    with http.stream("GET", path_of(id), params=SSE, headers={"last-event-id": word(len(FIRST))}) as answer:
        assert answer.status_code == 200  # it is not over
        gate.open()
        *_, (_, last) = events_of(answer.read().decode())
    # All the text, but not its end: the connection was gone in between.
    assert events_of(again(last["streamNextOffset"]).text) == [("control", last)]
    for query in ({}, {"offset": "-1"}):
        ended = again(str(len(ALL)), **query)
        assert (ended.status_code, ended.content, ended.headers["ptstream-status"]) == (204, b"", "done")
    assert again(word(len(ALL) - 1)).status_code == 200
    assert again("", offset="3").status_code == 200
    assert http.get(path_of(id), params=SSE | {"offset": word(len(ALL))}).status_code == 200  # others do not come back


def test_nobody_on_the_way_may_collect(served: Cli, gate: Gate, http: httpx.Client) -> None:
    id = detached(served, *gate.command)
    ways = [{"live": live} for live in ("1", "sse", "long-poll")]
    for path, query in [*((path_of(id), way) for way in ways), (wire.REMARKS.format(id=id), {})]:
        with http.stream("GET", path, params=query) as answer:
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store, no-transform")


def test_events_hold_little_each(served: Cli, http: httpx.Client) -> None:
    text = "数据a" * 9000
    id = served.run("tee", input=text).stderr.decode().split()[0]
    for ways in (SSE, SSE | {"offset": "7"}):
        begin = int(ways.get("offset", "0"))
        end = begin
        *events, (_, last) = events_of(http.get(path_of(id), params=ways).text)
        for (_, data), (_, control) in zip(events[::2], events[1::2], strict=True):
            assert 0 < len(data) <= EVENT_SIZE
            assert data.decode()  # whole characters
            end += len(data)
            assert int(control["streamNextOffset"]) == end
        assert b"".join(data for _, data in events[::2]) == text.encode()[begin:]
        assert last["streamClosed"]
    plain = http.get(path_of(id), params={"live": "sse"}).text
    assert "".join(line[6:] for line in plain.splitlines() if line.startswith("data: ") and "{" not in line) == text


def test_what_is_stored_and_no_more(served: Cli, gate: Gate, http: httpx.Client) -> None:
    """Whole lines out of the database, while a live reader has the half of one as well."""
    shell, option, script = gate.command
    id = detached(served, shell, option, script.replace("echo one two.", "printf 'one two.\\nthree'"))
    until(lambda: kept(served, id) == FIRST + "three")
    stored = {"stored": "1"}
    until(lambda: http.get(path_of(id), params=stored).text)  # its commit comes after the tail
    now = http.get(path_of(id), params=stored)
    assert (now.text, now.headers["stream-next-offset"]) == (FIRST, word(len(FIRST)))
    assert now.headers["stream-up-to-date"] == "true"
    assert http.head(path_of(id), params=stored).headers["stream-next-offset"] == word(len(FIRST))
    assert http.get(path_of(id)).text == FIRST + "three"
    with (
        http.stream("GET", path_of(id), params=SSE | stored) as events,
        http.stream("GET", path_of(id), params=stored | {"live": "1"}) as text,
    ):
        runs, lines = events.iter_text(), text.iter_text()
        (kind, data), (_, control), *_ = events_of(next(runs))
        assert (kind, data, control["upToDate"]) == ("data", FIRST.encode(), True)
        assert next(lines) == FIRST
        gate.open()
        assert "".join(lines) == "threethree four.\n"
        *more, (_, last) = events_of("".join(runs))
    assert b"".join(data for kind, data in more if kind == "data") == b"threethree four.\n"
    assert (last["streamClosed"], last["status"]) == (True, "done")
    assert http.get(path_of(id), params={"stored": "yes"}).status_code == 400
    assert http.get(wire.STREAM.format(id=id)).json()["chunks"] == 2


def test_much_comes_in_parts(served: Cli, http: httpx.Client) -> None:
    id = served.run("drive", "--", "seq", "300000").stderr.decode().split()[0]
    text, offset, parts = b"", "-1", 0
    while True:
        answer = http.get(path_of(id), params={"offset": offset})
        text, offset, parts = text + answer.content, answer.headers["stream-next-offset"], parts + 1
        if answer.headers.get("stream-closed"):
            break
        assert "stream-up-to-date" not in answer.headers
    assert text.decode() == kept(served, id)
    assert parts > len(text) // (2 * ANSWER_SIZE)


def test_the_official_client_follows_to_the_end(served: Cli, folder: Path, face: Face) -> None:
    """By events: its long-polling (0.1.0) knows no end, of no server's."""
    text = "One. \n\nTwo: 数据库里只有完整的句子。👩‍👩‍👧\x00\ufeff\u2028Three.\n" * 40
    (folder / "text").write_bytes(text.encode())
    id = served.out("drive", "--detach", "-p", "x", "-m", f"replay:{folder}/text?rate=800&size=3").strip()
    with stream(face.url + path_of(id), headers={**face.headers}, offset="-1", live="sse") as answer:
        assert "".join(answer.iter_text()) == text
    for live in ("sse", False):
        way = {"headers": face.headers, "offset": word(5), "live": live}
        with stream(face.url + path_of(id), **way) as answer:  # type: ignore[arg-type]
            assert "".join(answer.iter_text()) == text[5:]


@needs("npm")
def test_the_official_javascript_client_follows_to_the_end(served: Cli, folder: Path, face: Face) -> None:
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", JAVASCRIPT_CLIENT], cwd=folder, check=True)
    (folder / "follow.mjs").write_text(FOLLOW)
    for live in ("sse", "long-poll"):
        id = served.out("drive", "--detach", "--", "sh", "-c", "for n in $(seq 50); do echo line $n 数据; done").strip()
        words = ["node", "follow.mjs", face.url + path_of(id), live, face.token]
        done = subprocess.run(words, cwd=folder, capture_output=True)
        assert done.stdout.decode() == "".join(f"line {n} 数据\n" for n in range(1, 51)), done.stderr


def test_carriage_returns(served: Cli, http: httpx.Client) -> None:
    id = served.run("tee", input=b"a\r\nb\rc\n").stderr.decode().split()[0]
    assert http.get(path_of(id)).content == b"a\r\nb\rc\n"
    exact = events_of(http.get(path_of(id), params=SSE).text)
    assert b"".join(data for kind, data in exact if kind == "data") == b"a\r\nb\rc\n"
    plain = http.get(path_of(id), params={"live": "sse"})
    assert "stream-sse-data-encoding" not in plain.headers
    assert plain.text.startswith("event: data\ndata: a\ndata: b\ndata: c\ndata: \n\nevent: control\n")
