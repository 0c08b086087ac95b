"""What answers over ssh may be anything: what no daemon says is an error in plain words, and every call ends."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptstream import wire
from ptstream.client import BadAnswer
from ptstream.errors import DaemonUnreachable
from ptstream.remote import Remote, connect_to
from ptstream.ssh import SshFailed, host_named
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


async def show(remote: Remote) -> object:
    return await remote.show("x")


async def asides(remote: Remote) -> object:
    return [each async for each in remote.asides("x")]


CALLS: dict[str, Callable[[Remote], Any]] = {
    "show": show,
    "streams": lambda remote: remote.streams(5, None),
    "create": lambda remote: remote.create({}),
    "fill": lambda remote: remote.fill("x", {}),
    "cancel": lambda remote: remote.cancel("x"),
    "search": lambda remote: remote.search("x", 5),
    "drive": lambda remote: remote.drive_there("x"),
    "asides": asides,
}


@pytest.mark.parametrize("answer", ["no", "", "null", "[]", "[" * 3000, "9" * 5000, "{}", '{"streams": [1]}'])
@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("asides", "drive")])
async def test_what_no_daemon_answers_is_said_to_be_that(folder: Path, call: str, answer: str) -> None:
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, answer)})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(BadAnswer, match="box"):
            await CALLS[call](remote)


@pytest.mark.parametrize(
    "odd",
    [
        {"name": 5},
        {"title": None},
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
        {"more": [1]},
    ],
    ids=str,
)
async def test_a_stream_with_one_thing_odd_is_none(folder: Path, odd: dict[str, Any]) -> None:
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, stream(**odd))})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(BadAnswer, match="no daemon of this version"):
            await remote.show("x")


async def test_a_stream_that_is_one_is_shown(folder: Path) -> None:
    attempts = [{"epoch": 1, "usage": {"total_tokens": 3}, "place": None}]
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, stream(attempts=attempts))})
    async with connect_to(host, hear_nothing) as remote:
        assert (await remote.show("x"))["attempts"] == attempts


@pytest.mark.parametrize("data", ["no", "[", "5", "null", "9" * 5000])
async def test_an_aside_that_is_none(folder: Path, data: str) -> None:
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, f"event: note\nid: 1\ndata: {data}\n\n")})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(BadAnswer, match="none of its events"):
            await asides(remote)


@pytest.mark.parametrize(
    "greeting", [b"[" * 70_000, b"9" * 5000 + b"\n", b"null\n", b"[]\n", b'{"ptstream": "0.1.0"}\n']
)
async def test_a_greeting_that_is_none(folder: Path, greeting: bytes) -> None:
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, "", greeting)})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(DaemonUnreachable, match="must print nothing"):
            await remote.show("x")


async def test_what_is_no_http_is_not_repeated_at_length(folder: Path) -> None:
    greeting = b'{"ptstream": "0.1.0", "caller": "a-caller"}\nHTTP/1.1 10' + b"1" * 3000 + b" OK\r\n\r\n"
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, "", greeting)})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(DaemonUnreachable) as caught:
            await remote.show("x")
    assert len(str(caught.value)) < 400


async def test_a_side_that_says_nothing_more_and_stays_is_left(folder: Path) -> None:
    host = host_named("ssh://box", {"PTSTREAM_SSH": ssh(folder, "", greeting=b"no line")})
    async with connect_to(host, hear_nothing) as remote:
        with pytest.raises(SshFailed, match="closed its output, after it had printed b'no line'"):
            await remote.show("x")


def test_the_command_says_so_in_one_line(cli: Cli, folder: Path) -> None:
    far_there = {
        "PTSTREAM_HOST": "ssh://box",
        "PTSTREAM_SSH": ssh(folder, '{"streams": [{"id": "\\u001b]0;t\\u0007"}]}'),
    }
    said = cli.run("ls", code=1, env=far_there).stderr.decode()
    assert said.count("\n") == 1
    assert "what answers at box is no daemon of this version" in said
    assert "\x1b" not in said
