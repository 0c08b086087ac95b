"""What answers over ssh may be anything: what no daemon says is an error in plain words, and every call ends."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ptstream import wire
from ptstream.client.ssh import connect, host_named
from ptstream.client.there import There
from ptstream.errors import BadAnswer, DaemonUnreachable, SshFailed
from ptstream.streams import GenerationRequest
from tests.conftest import Cli, hear_nothing
from tests.faults.fuzz import far
from tests.faults.fuzz.ssh import FIELDS

pytestmark = pytest.mark.anyio


def ssh(folder: Path, answer: str, greeting: bytes = wire.greeting("a-caller")) -> str:
    """What plays ssh, and what answers behind it: one answer with this body."""
    said = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{answer}"
    (folder / "says.json").write_text(json.dumps([[greeting.decode()], [said]]))
    return shlex.join([sys.executable, "-I", "-S", far.__file__, str(folder)])


def stream(**odd: Any) -> str:
    return json.dumps(FIELDS | odd)


@asynccontextmanager
async def reached(program: str) -> AsyncIterator[There]:
    host = host_named("ssh://box", {"PTSTREAM_SSH": program})
    async with connect(host, hear_nothing) as (client, asker):
        yield There(client, asker, lambda _: None, pauses=())


async def every(entries: AsyncIterable[Any]) -> list[Any]:
    return [each async for each in entries]


CALLS: dict[str, Callable[[There], Any]] = {
    "find": lambda there: there.find("x"),
    "details": lambda there: there.details("x"),
    "list": lambda there: there.list(5),
    "list_details": lambda there: there.list_details(5),
    "create": lambda there: there.create(GenerationRequest(prompt="x")),
    "fill": lambda there: there.fill("x", GenerationRequest(prompt="x")),
    "check": lambda there: there.check(GenerationRequest(prompt="x")),
    "cancel": lambda there: there.cancel("x"),
    "search": lambda there: every(there.search("x", 5)),
    "drive": lambda there: there.drive("x"),
}


@pytest.mark.parametrize(
    "answer", ["no", "", "null", "[]", "[" * 3000, "9" * 5000, "{}", '{"streams": [1]}', '"\\ud800"']
)
@pytest.mark.parametrize("call", CALLS)
async def test_what_no_daemon_answers_is_said_to_be_that(folder: Path, call: str, answer: str) -> None:
    async with reached(ssh(folder, answer)) as there:
        with pytest.raises(BadAnswer, match="box"):
            await CALLS[call](there)


@pytest.mark.parametrize(
    "odd",
    [
        {"name": 5},
        {"title": None},
        {"status": "\ud800"},
        {"status": "nosuch"},
        {"bytes": "3"},
        {"bytes": -1},
        {"command": [1]},
        {"command": "rm"},
        {"created_at": "yesterday"},
        {"created_at": "2026-02-31T00:00:00.000Z"},
        {"ended_at": 0},
        {"error": ["x"]},
        {"attempts": [[1]]},
    ],
    ids=str,
)
async def test_a_stream_with_one_thing_odd_is_none(folder: Path, odd: dict[str, Any]) -> None:
    async with reached(ssh(folder, stream(**odd))) as there:
        with pytest.raises(BadAnswer, match="no daemon of this version"):
            await there.details("x")


async def test_a_stream_that_is_one_is_shown(folder: Path) -> None:
    attempt = {"epoch": 1, "owner": "o", "begin": 0, "started_at": FIELDS["created_at"], "ended_at": None, "pieces": 2}
    attempts = [attempt | {"cause": None, "usage": {"total_tokens": 3}, "model": "m", "place": None}]
    async with reached(ssh(folder, stream(attempts=attempts))) as there:
        (found,) = (await there.details("x")).attempts
    assert (found.usage, found.pieces, found.place) == ({"total_tokens": 3}, 2, None)


@pytest.mark.parametrize("data", ["no", "[", "5", "null", "9" * 5000])
async def test_an_aside_that_is_none(folder: Path, data: str) -> None:
    async with reached(ssh(folder, f"event: note\nid: 1\ndata: {data}\n\n")) as there:
        with pytest.raises(BadAnswer, match="none of its events"):
            await every(there.remarks("x"))


@pytest.mark.parametrize(
    "greeting", [b"[" * 70_000, b"9" * 5000 + b"\n", b"null\n", b"[]\n", b'{"ptstream": "0.1.0"}\n']
)
async def test_a_greeting_that_is_none(folder: Path, greeting: bytes) -> None:
    async with reached(ssh(folder, "", greeting)) as there:
        with pytest.raises(DaemonUnreachable, match="must print nothing"):
            await there.details("x")


async def test_what_is_no_http_is_not_repeated_at_length(folder: Path) -> None:
    greeting = b'{"ptstream": "0.1.0", "caller": "a-caller"}\nHTTP/1.1 10' + b"1" * 3000 + b" OK\r\n\r\n"
    async with reached(ssh(folder, "", greeting)) as there:
        with pytest.raises(DaemonUnreachable) as caught:
            await there.details("x")
    assert len(str(caught.value)) < 400


async def test_a_side_that_says_nothing_more_and_stays_is_left(folder: Path) -> None:
    async with reached(ssh(folder, "", greeting=b"no line")) as there:
        with pytest.raises(SshFailed, match="closed its output, after it had printed b'no line'"):
            await there.details("x")


def test_the_command_says_so_in_one_line(cli: Cli, folder: Path) -> None:
    far_there = {
        "PTSTREAM_HOST": "ssh://box",
        "PTSTREAM_SSH": ssh(folder, '{"streams": [{"id": "\\u001b]0;t\\u0007"}]}'),
    }
    said = cli.run("ls", code=1, env=far_there).stderr.decode()
    assert said.count("\n") == 1
    assert "what answers at box is no daemon of this version" in said
    assert "\x1b" not in said
