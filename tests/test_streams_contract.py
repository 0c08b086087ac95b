"""What `streams_protocol.Streams` says, held against each implementation: here, and there by each way that leads there.

One home and one daemon for all of them; a scripted endpoint is its model. Another engine, or another way, is one more
line in WAYS.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import anyio
import httpx
import pytest

from ptstream.cli.at_once import AtOnce, result_of
from ptstream.client import https, ssh
from ptstream.client.caller import own_context
from ptstream.client.launch import connect_or_start
from ptstream.client.there import There
from ptstream.errors import (
    AmbiguousId,
    ConfigurationError,
    ModelNotFound,
    NameTaken,
    NotAllowed,
    NotAuthenticated,
    NotFinished,
    OffsetBeyondEnd,
    RequestDiffers,
    StreamNotFound,
    UsageError,
)
from ptstream.here import Here
from ptstream.streams import GenerationRequest, Status, Stream, TerminalSize
from ptstream.streams_protocol import Streams
from tests.conftest import LIMIT, Face, forked_command, hear_nothing, listening
from tests.endpoint import PIECES
from tests.preloaded import FORWARDED, forwarding

pytestmark = pytest.mark.anyio

TEXT = "".join(PIECES).encode()

ASKED = GenerationRequest(prompt="Why?", model="mine/ok")

STALLED = GenerationRequest(prompt="Why?", model="mine/stall")
"""Says a part of its text, and no more."""

Say = Callable[[str], None]
Way = Callable[[Face, Say], AbstractAsyncContextManager[Streams]]


def here(face: Face, say: Say) -> AbstractAsyncContextManager[Streams]:
    return Here.opened(face.cli.home, say)


@contextlib.asynccontextmanager
async def by_socket(face: Face, say: Say) -> AsyncIterator[Streams]:
    async def asker() -> dict[str, object]:
        return {**own_context()}

    async with connect_or_start(face.cli.home) as client:
        yield There(client, asker, say)


@contextlib.asynccontextmanager
async def by_ssh(face: Face, say: Say) -> AsyncIterator[Streams]:
    """An ssh that runs what it is to run, here; `test_ssh` has a real one."""
    line = [*FORWARDED, asked(face), "--home", face.cli.home.path, "dial-stdio"]
    program = shlex.join(["sh", "-c", f"exec {shlex.join(line)}"])
    async with ssh.connect(ssh.host_named("ssh://box", {"PTSTREAM_SSH": program}), hear_nothing) as (client, asker):
        yield There(client, asker, say)


@contextlib.asynccontextmanager
async def by_https(face: Face, say: Say) -> AsyncIterator[Streams]:
    """Without the s: on loopback. `test_https` has TLS."""
    async with https.connect(https.address_named(face.url, {"PTSTREAM_TOKEN": face.token})) as client:
        yield There(client, nobody, say)


async def nobody() -> dict[str, object]:
    """Who asks over the network: there is only the token."""
    return {}


WAYS: dict[str, Way] = {"here": here, "socket": by_socket, "ssh": by_ssh, "https": by_https}


@pytest.fixture(scope="module")
def face(endpoint: str) -> Iterator[Face]:
    config = f'[endpoints.mine]\nbase_url = "{endpoint}"\n'
    with listening(config) as running, forwarding(asked(running), forked_command):
        yield running


def asked(face: Face) -> str:
    """Where the command is asked for, beside the home."""
    return f"{os.path.dirname(face.cli.home.path)}/asked"


@pytest.fixture
def said() -> list[str]:
    """What a person was told."""
    return []


@pytest.fixture(params=WAYS)
async def streams(request: pytest.FixtureRequest, face: Face, said: list[str]) -> AsyncIterator[Streams]:
    async with WAYS[request.param](face, said.append) as opened:
        yield opened


async def joined(runs: AsyncIterable[bytes]) -> bytes:
    return b"".join([data async for data in runs])


async def driven(streams: Streams, words: GenerationRequest = ASKED) -> Stream:
    """A stream that has ended."""
    stream = await streams.create(words)
    await streams.drive(stream.id)
    return await streams.wait(stream.id)


# --- what there is


async def test_a_list_has_the_details_of_each(streams: Streams) -> None:
    """But of their prompts the openings alone."""
    made = [await streams.create(ASKED), await driven(streams), await driven(streams, ASKED._replace(prompt="x" * 999))]
    listing = await streams.list_details(3)
    assert listing.complete
    each = [await streams.details(stream.id) for stream in reversed(made)]
    assert [details.stream.id for details in listing.details] == [details.stream.id for details in each]
    assert [details[1:] for details in listing.details] == [details[1:] for details in each]
    assert len(listing.details[0].stream.prompt or "") < 999 == len(each[0].stream.prompt or "")
    assert (await streams.list_details(1, (Status.DONE,))).details == listing.details[:1]
    assert (await streams.list_details(None, (), time.time() + 60)).details == []


async def test_a_list_with_details_is_one_request(face: Face) -> None:
    asked: list[str] = []

    async def ask(request: httpx.Request) -> None:
        asked.append(request.url.path)

    async with https.connect(https.address_named(face.url, {"PTSTREAM_TOKEN": face.token})) as client:
        there = There(client, nobody, print)
        made = [(await there.create(ASKED)).id for _ in range(5)]
        client.http.event_hooks["request"].append(ask)
        assert [details.stream.id for details in (await there.list_details(5)).details] == made[::-1]
    assert asked == ["/streams"]


async def test_a_stream_is_found_by_its_id_its_name_its_beginning_and_as_the_newest(streams: Streams) -> None:
    name = f"n{time.monotonic_ns()}"
    made = await streams.create(ASKED, name=name, title="of a kind")
    assert (made.name, made.title, made.status, made.bytes) == (name, "of a kind", Status.PENDING, 0)
    for reference in (made.id, made.id[:9], name, "@last"):
        assert (await streams.find(reference)).id == made.id
    assert (await streams.get(made.id)).prompt == "Why?"


async def test_what_is_not_there(streams: Streams) -> None:
    with pytest.raises(StreamNotFound):
        await streams.find("zzzzzzzzzzzz")
    with pytest.raises(StreamNotFound):
        await streams.get("zzzzzzzzzzzz")
    with pytest.raises(StreamNotFound):
        await joined(streams.read("zzzzzzzzzzzz"))
    with pytest.raises(StreamNotFound):
        await joined(streams.follow("zzzzzzzzzzzz"))
    with pytest.raises(StreamNotFound):
        await streams.cancel("zzzzzzzzzzzz")
    with pytest.raises(UsageError):
        await streams.find("no reference")


async def test_a_beginning_that_several_have_is_refused(streams: Streams) -> None:
    beginnings = [(await streams.create(GenerationRequest())).id[0] for _ in range(33)]  # of 32 there are
    with pytest.raises(AmbiguousId):
        await streams.find(next(each for each in beginnings if beginnings.count(each) > 1))


async def test_streams_are_listed_newest_first(streams: Streams) -> None:
    ids = [(await streams.create(ASKED)).id for _ in range(3)]
    listing = await streams.list(3)
    assert [stream.id for stream in listing.streams] == ids[::-1]
    assert listing.complete
    assert {stream.status for stream in (await streams.list(5, (Status.PENDING,))).streams} == {Status.PENDING}
    assert (await streams.list(0)).streams == []


async def test_a_list_is_of_some_statuses_and_of_what_was_made_since(streams: Streams) -> None:
    before = await driven(streams)
    made = await streams.create(ASKED)
    some = await streams.list(2, (Status.PENDING, Status.DONE))
    assert [stream.id for stream in some.streams] == [made.id, before.id]
    assert [stream.id for stream in (await streams.list(1, (Status.DONE, Status.ERROR))).streams] == [before.id]
    assert [stream.id for stream in (await streams.list(None, (), made.created_at - 0.001)).streams] == [made.id]
    assert (await streams.list(None, (), made.created_at + 60)).streams == []


async def test_chunks_tell_when_a_text_came(streams: Streams) -> None:
    stream = await driven(streams)
    chunks, end = await streams.chunks(stream.id)
    assert end == stream.bytes == chunks[-1].stop
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])]
    assert stream.created_at - 1 <= chunks[0].at <= chunks[-1].at <= time.time() + 1
    assert await streams.chunks(stream.id, 1) == (chunks, end)
    assert await streams.chunks(stream.id, chunks[0].stop) == (chunks[1:], end)
    assert await streams.chunks(stream.id, end) == ([], end)
    assert (await streams.chunks(stream.id, 0, chunks[0].at - 0.001)).chunks == chunks
    assert await streams.chunks(stream.id, 0, time.time() + 60) == ([], end)
    with pytest.raises(StreamNotFound):
        await streams.chunks("zzzzzzzzzzzz")


async def test_details_tell_of_attempts(streams: Streams) -> None:
    stream = await driven(streams)
    details = await streams.details(stream.id)
    assert (details.stream.status, details.stream.prompt, details.pieces) == (Status.DONE, "Why?", len(PIECES))
    assert details.chunks >= 1
    (attempt,) = details.attempts
    assert (attempt.epoch, attempt.begin, attempt.model) == (1, 0, "ok")
    assert attempt.ended_at is not None
    assert attempt.ended_at >= attempt.started_at


# --- what is made


async def test_a_name_is_taken_once(streams: Streams) -> None:
    name = f"n{time.monotonic_ns()}"
    made = await streams.create(ASKED, name=name)
    assert (await streams.create(ASKED, name=name)).id == made.id
    with pytest.raises(NameTaken):
        await streams.create(GenerationRequest(prompt="other"), name=name)
    with pytest.raises(UsageError):
        await streams.create(ASKED, name="no name")


async def test_a_pending_stream_is_filled(streams: Streams) -> None:
    made = await streams.create(GenerationRequest())
    filled = await streams.fill(made.id, ASKED)
    assert (filled.prompt, filled.model) == ("Why?", "mine/ok")
    assert (await streams.fill(made.id, GenerationRequest())).prompt == "Why?"
    with pytest.raises(RequestDiffers):
        await streams.fill(made.id, GenerationRequest(prompt="other"))


async def test_what_goes_on_from_another_has_its_text_before_it(streams: Streams) -> None:
    before = await driven(streams)
    given = {"temperature": 0, "stop": None}
    turn = await streams.create(GenerationRequest(prompt="And?", options=given), parent=before.id)
    assert (turn.parent, turn.parent_offset, turn.seam) == (before.id, before.bytes, 0)
    assert turn.model == "mine/ok"
    assert (await streams.find(turn.id)).options == (await streams.get(turn.id)).options == given
    with pytest.raises(OffsetBeyondEnd):
        await streams.create(GenerationRequest(), parent=before.id, parent_offset=before.bytes + 1)
    with pytest.raises(NotFinished):
        await streams.create(GenerationRequest(prompt="And?"), parent=turn.id)


async def test_what_cannot_be_driven_is_known_before_it_is_made(streams: Streams) -> None:
    assert await streams.check(GenerationRequest(prompt="x", model="mine/ok")) is None
    with pytest.raises((ModelNotFound, ConfigurationError)):
        await streams.check(GenerationRequest(prompt="x", model="nosuch/model"))


# --- driving, reading


async def test_a_drive_is_followed_to_its_end(streams: Streams) -> None:
    stream = await streams.create(ASKED)
    assert not await streams.begun(stream.id)
    told = await streams.drive(stream.id)
    assert (told.attached, told.model) == (False, "ok")
    assert await streams.begun(stream.id)
    assert await joined(streams.follow(stream.id)) == TEXT
    assert await joined(streams.follow(stream.id, live=False)) == TEXT
    ended = await streams.wait(stream.id)
    assert (ended.status, ended.bytes, ended.error) == (Status.DONE, len(TEXT), None)
    assert (await streams.drive(stream.id)).attached


async def test_a_drive_that_cannot_begin_leaves_its_stream_pending(streams: Streams) -> None:
    stream = await streams.create(GenerationRequest(prompt="x", model="nosuch/model"))
    with pytest.raises(ConfigurationError):
        await streams.drive(stream.id)
    assert not await streams.begun(stream.id)
    assert (await streams.get(stream.id)).status is Status.PENDING


@pytest.mark.parametrize("live", [True, False])
async def test_text_is_read_from_any_offset(streams: Streams, live: bool) -> None:
    stream = await driven(streams)
    for offset in (0, 1, len(TEXT) - 1, len(TEXT)):
        assert await joined(streams.follow(stream.id, offset, live=live)) == TEXT[offset:]
        assert await joined(streams.read(stream.id, offset)) == TEXT[offset:]
    with pytest.raises(OffsetBeyondEnd):
        await joined(streams.follow(stream.id, len(TEXT) + 1, live=live))
    with pytest.raises(OffsetBeyondEnd):
        await joined(streams.read(stream.id, len(TEXT) + 1))


async def test_a_running_stream_is_read_as_far_as_it_is(streams: Streams) -> None:
    stream = await streams.create(STALLED)
    await streams.drive(stream.id)
    begun = "".join(PIECES[:3]).encode()
    async with aclosing(streams.follow(stream.id)) as runs:
        got = b""
        async for data in runs:
            got += data
            if got == begun:
                break
    assert await joined(streams.read(stream.id)) == begun
    assert (await streams.find(stream.id)).bytes == len(begun)
    assert (await streams.find(stream.id)).status is Status.STREAMING
    ended = await streams.cancel(stream.id)
    assert (ended.status, ended.bytes) == (Status.CANCELLED, len(begun))
    assert await joined(streams.follow(stream.id)) == begun


async def test_leaving_is_not_cancelling(streams: Streams) -> None:
    stream = await streams.create(STALLED)
    await streams.drive(stream.id)
    async with aclosing(streams.follow(stream.id)) as runs:
        await anext(runs)
    assert (await streams.get(stream.id)).status is Status.STREAMING
    await streams.cancel(stream.id)


async def test_what_is_said_beside_the_text(streams: Streams) -> None:
    stream = await streams.create(GenerationRequest(prompt="x", model="mine/reasoning"))
    await streams.drive(stream.id)
    async with aclosing(streams.remarks(stream.id)) as entries:
        first = [entry async for entry in entries]
    assert "reasoning" in {entry.kind for entry in first}
    assert [entry.number for entry in first] == list(range(1, len(first) + 1))
    async with aclosing(streams.remarks(stream.id, first[-1].number)) as entries:
        assert [entry async for entry in entries] == []


async def test_an_end_is_waited_for(streams: Streams) -> None:
    stream = await streams.create(STALLED)
    await streams.drive(stream.id)
    ends: list[Stream] = []

    async def wait() -> None:
        ends.append(await streams.wait(stream.id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        assert not ends
        await streams.cancel(stream.id)
    assert ends[0].status is Status.CANCELLED


# --- the end


async def test_a_pending_stream_is_cancelled_and_what_has_ended_is_left(streams: Streams) -> None:
    pending = await streams.create(ASKED)
    assert (await streams.cancel(pending.id)).status is Status.CANCELLED
    done = await driven(streams)
    assert (await streams.cancel(done.id)).status is Status.DONE


async def test_streams_are_deleted_each_for_itself(streams: Streams) -> None:
    running = await streams.create(STALLED)
    await streams.drive(running.id)
    pending = await streams.create(ASKED)
    (failure,) = await streams.delete([running.id, "zzzzzzzzzzzz", pending.id])
    assert isinstance(failure, StreamNotFound)
    for id in (running.id, pending.id):
        with pytest.raises(StreamNotFound):
            await streams.get(id)


async def test_what_is_idle_is_known_by_its_age(streams: Streams) -> None:
    old, new = await driven(streams), await streams.create(ASKED)
    found = [stream.id for stream in await streams.idle_since(time.time() + 1)]
    assert found[-2:] == [old.id, new.id]
    assert new.id not in [stream.id for stream in await streams.idle_since(time.time() + 1, keep=1)]
    done = await streams.idle_since(time.time() + 1, status=Status.DONE)
    assert {stream.status for stream in done} == {Status.DONE}
    assert await streams.idle_since(0) == []
    assert await streams.idle_since(-1.5) == [], "before 1970, so far back as a person may say"


async def test_a_text_is_found(streams: Streams) -> None:
    stream = await driven(streams)
    word = PIECES[0].strip()
    async with aclosing(streams.search(word, 1)) as hits:
        (hit,) = [hit async for hit in hits]
    assert (hit.id, hit.title) == (stream.id, "Why?")
    assert TEXT[hit.offset :].decode().startswith(word)
    with pytest.raises(UsageError):
        async with aclosing(streams.search("x" * 1001)) as hits:
            [hit async for hit in hits]


async def test_what_was_asked_is_found_and_what_a_stream_is_called(streams: Streams) -> None:
    word = os.urandom(6).hex()
    long = "é" * 300 + f"\nand {word} \0\nend"
    asked = await streams.create(GenerationRequest(prompt=long))
    called = await streams.create(GenerationRequest(prompt="x"), name=f"the-{word}", title=f"My {word.upper()}")
    hits = [hit async for hit in streams.search(word)]
    assert [(hit.id, hit.where, hit.offset, hit.line) for hit in hits] == [
        (called.id, "name", 4, f"the-{word}"),
        (called.id, "title", 3, f"My {word.upper()}"),
        (asked.id, "prompt", 605, f"and {word} \0".strip()),
    ]


async def test_the_daemons_are_known(streams: Streams, face: Face) -> None:
    pid = face.http.get("/status").json()["pid"]
    with anyio.fail_after(LIMIT):
        while not (found := await streams.daemons()):
            await anyio.sleep(0.01)
    assert [(daemon.pid, daemon.listen) for daemon in found] == [(pid, face.url)]


# --- of one implementation alone


def test_here_what_asks_alone_needs_no_event_loop(face: Face) -> None:
    """So that `show` and `ls` need not load one."""
    with AtOnce.opened(face.cli.home) as streams:

        async def work() -> str:
            made = await streams.create(GenerationRequest())
            assert (await streams.find(made.id)).id == (await streams.details(made.id)).stream.id
            assert (await streams.list(1)).streams[0].id == made.id
            assert await joined(streams.read(made.id)) == b""
            return made.id

        assert result_of(work())


async def test_over_the_network_nothing_but_models_is_driven(face: Face) -> None:
    command = GenerationRequest(command=("true",))
    async with by_https(face, print) as streams:
        with pytest.raises(UsageError):
            await streams.create(command)
        with pytest.raises(NotAllowed, match="only models"):
            await streams.check(command)
        pending = await streams.create(GenerationRequest())
        with pytest.raises(NotAllowed, match="only models"):
            await streams.fill(pending.id, command)


async def test_a_commands_terminal_is_as_large_as_it_is_said(request: pytest.FixtureRequest, streams: Streams) -> None:
    """But over the network, where no command is driven."""
    if "https" in request.node.callspec.id:
        return
    sizes = GenerationRequest(command=("sh", "-c", "stty size <&1"), options={"tty": True})
    for size, said in ((TerminalSize(132, 50), b"50 132\n"), (None, b"24 80\n")):
        made = await streams.create(sizes)
        await streams.drive(made.id, terminal=size)
        assert await joined(streams.follow(made.id)) == said
    line = "trap 'stty size <&1; exit' WINCH; stty size <&1; while :; do sleep 0.05; done"
    made = await streams.create(sizes._replace(command=("sh", "-c", line)))
    await streams.drive(made.id)
    async with aclosing(streams.follow(made.id)) as runs:
        assert await anext(runs) == b"24 80\n"
        await streams.resize(made.id, TerminalSize(57, 13))
        assert await joined(runs) == b"13 57\n"
    await streams.resize(made.id, TerminalSize(58, 14))  # which has ended
    with pytest.raises(StreamNotFound):
        await streams.resize("nosuch", TerminalSize())


async def test_over_the_network_the_token_lets_in(face: Face) -> None:
    for environment in ({}, {"PTSTREAM_TOKEN": "x" * 43}):
        async with https.connect(https.address_named(face.url, environment)) as client:
            with pytest.raises(NotAuthenticated, match="ptstream daemon token"):
                await client.ask("GET", "/streams")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://box", "reads the token"),
        ("https://user@box", "no user"),
        ("https://box/?q", "no query"),
        ("https://", "https:// and a host"),
        ("https://0.0.0.0", "https:// and a host"),
    ],
)
def test_an_address_that_is_none(url: str, why: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=why):
        https.address_named(url, {})
