"""What an endpoint, or whatever listens where one might be, can send: in what form, how much, and for how long."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.abc import SocketStream

from ptstream import wire
from ptstream.client import control, ssh
from ptstream.client.ssh import host_named
from ptstream.client.unix_socket import connect
from ptstream.config import Settings
from ptstream.errors import ConfigurationError, GeneratorError, Refused
from ptstream.generators.models.default import ollama
from ptstream.generators.models.endpoints import Endpoints
from ptstream.generators.openai import answer_reader, endpoint_timeouts
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.chat_options import TRIES
from ptstream.generators.openai.http_client import LISTING_BYTES
from ptstream.generators.openai.model_list import models
from ptstream.generators.openai.upstream import Upstream
from ptstream.settings import Home
from tests import endpoint
from tests.conftest import LIMIT, Face, hear_nothing, listening
from tests.test_models import caller_in
from tests.test_openai import ask, failure

pytestmark = pytest.mark.anyio

CODINGS = ("gzip", "gzip, gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "compress", "unheard-of")


def coded(coding: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-encoding: {coding}\r\n\r\n".encode() + endpoint.packed()


# --- content codings


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("status", ["200 OK", "401 No", "404 None"])
async def test_a_compressed_answer_is_refused_whatever_its_status(
    server: endpoint.Server, coding: str, status: str
) -> None:
    server.scripts["m"] = coded(coding, status)
    text, error = await failure(server, "m")
    named = ", ".join(each for each in coding.lower().split(", ") if each != "identity")
    assert text == ""
    assert f"answered {status} with a body that is compressed ({named})" in error
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert len(server.requests) == 1


async def test_a_server_that_is_busy_and_compresses_is_asked_again(server: endpoint.Server) -> None:
    server.scripts["m"] = coded("gzip", "503 Busy\r\nretry-after: 0")
    with pytest.raises(Refused, match="answered 503 Busy with a body that is compressed"):
        await ask(server, "m")
    assert len(server.requests) == TRIES


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity"])
async def test_what_is_not_compressed_may_say_so(server: endpoint.Server, coding: str) -> None:
    body = json.dumps({"choices": [endpoint.message(content=endpoint.TEXT)]}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\ncontent-encoding: {coding}\r\n\r\n"
    server.scripts["m"] = head.encode() + body
    assert "".join(event for event in await ask(server, "m") if isinstance(event, str)) == endpoint.TEXT


async def test_a_compressed_transfer_is_no_answer(server: endpoint.Server) -> None:
    """RFC 9112, 7: a coding of the transfer that was not asked for."""
    server.scripts["m"] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n" + endpoint.packed()
    assert "gave no answer" in (await failure(server, "m"))[1]


async def test_nothing_of_a_bomb_is_unpacked(server: endpoint.Server, tmp_path: Path) -> None:
    server.listing = "bomb"
    home = Home(str(tmp_path))
    asked = Endpoints(caller_in(home, OLLAMA_HOST=f"127.0.0.1:{server.port}"), Settings(), home)
    tracemalloc.start()
    try:
        assert await ollama(asked) == ((), None)
        assert "compressed" in (await failure(server, "bomb"))[1]
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    with listening() as found:
        yield found


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "br", "deflate", "unheard-of"])
@pytest.mark.parametrize("path", ["/streams", "/v1/chat/completions", "/streams/@last/cancel"])
def test_a_compressed_request_is_refused(face: Face, coding: str, path: str) -> None:
    headers = {"content-encoding": coding, "content-type": "application/json"}
    face.http.post("/streams", json={"prompt": "x"})
    socket = httpx.Client(transport=httpx.HTTPTransport(uds=face.cli.home.socket), base_url=wire.BASE_URL)
    for client in (face.http, socket) if path.startswith("/streams") else (face.http,):  # OpenAI's routes are for TCP
        answer = client.post(path, content=gzip.compress(b"{}"), headers=headers)
        assert answer.status_code == 415
        assert f"not compressed ({coding})" in answer.json()["error"]["message"]
    socket.close()
    assert face.http.post("/streams", json={"prompt": "x"}, headers={"content-encoding": "identity"}).status_code == 201


def packed_answer() -> bytes:
    body = endpoint.packed()
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def no_daemon(path: str) -> AsyncIterator[None]:
    """What answers with a bomb where a daemon should be."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            head = await stream.receive()
            assert b"accept-encoding: identity" in head.lower()
            await stream.send(packed_answer())

    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield
        tasks.cancel_scope.cancel()


async def test_our_own_client_takes_no_compressed_answer(home: Home) -> None:
    home.make()
    async with no_daemon(home.socket):
        with pytest.raises(ConfigurationError, match=r"the answer is compressed \(gzip, gzip\)"):
            async with connect(home):
                pass


async def test_nor_over_ssh(folder: Path) -> None:
    """An ssh that is none, and says what a far machine might."""
    (folder / "greeting").write_bytes(wire.greeting("c"))
    (folder / "answer").write_bytes(packed_answer())
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\ncd '{folder}'\ncat greeting\nread line\ncat answer\nexec cat > requests\n")
    program.chmod(0o700)
    host = host_named("ssh://box", {"PTSTREAM_SSH": str(program)})
    async with ssh.connect(host, hear_nothing) as (client, _):
        with pytest.raises(ConfigurationError, match=r"the answer is compressed \(gzip, gzip\)"):
            await control.status(client)


# --- how much


@pytest.mark.parametrize("more", [0, 1])
async def test_a_listing_is_read_to_its_most(server: endpoint.Server, more: int) -> None:
    rows = [{"id": "m", "description": ""}]
    size = len(json.dumps({"object": "list", "data": rows}))
    rows[0]["description"] = "x" * (LISTING_BYTES - size + more)
    server.models = rows
    if more:
        with pytest.raises(GeneratorError, match=r"lists more than 1 MB of models, .* name one with --model"):
            await models(Upstream(server.base_url))
    else:
        assert [row["id"] for row in await models(Upstream(server.base_url))] == ["m"]


@pytest.mark.parametrize("play", ["comments", "objects"])
async def test_an_answer_that_never_says_anything_has_an_end(
    server: endpoint.Server, monkeypatch: pytest.MonkeyPatch, play: str
) -> None:
    monkeypatch.setattr(answer_reader, "SILENT_BYTES", 256 * 1024)
    with anyio.fail_after(LIMIT):
        assert (await failure(server, play))[1].endswith("sends without end what is no part of an answer")


@pytest.mark.parametrize("play", ["fields", "extensions"])
async def test_a_head_or_a_chunk_that_has_no_end(server: endpoint.Server, play: str) -> None:
    with anyio.fail_after(LIMIT):
        error = (await failure(server, play))[1]
    assert "gave no answer" in error or "broke off" in error


# --- how long


@pytest.mark.parametrize("play", ["drip", "interim", "fields", "silent", "one-body", "comments"])
async def test_a_listing_that_has_no_end_is_not_waited_for(
    server: endpoint.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, play: str
) -> None:
    monkeypatch.setattr(endpoint_timeouts, "LISTING_UNNAMED", 0.1)
    server.listing = play
    home = Home(str(tmp_path))
    asked = Endpoints(caller_in(home, OLLAMA_HOST=f"127.0.0.1:{server.port}"), Settings(), home)
    with anyio.fail_after(LIMIT):
        assert await ollama(asked) == ((), None)
        await server.left.wait()


@pytest.mark.parametrize("play", ["drip", "interim", "comments", "objects"])
async def test_whoever_waits_for_an_answer_can_leave(server: endpoint.Server, play: str) -> None:
    """As a time-out does: nothing of it keeps the loop from others."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async def read() -> None:
        async with aclosing(chat(Upstream(server.base_url), play, [])) as events:
            async for _ in events:
                pass

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others)
            with anyio.move_on_after(0.2):
                await read()
            tasks.cancel_scope.cancel()
        await server.left.wait()
    assert turns > 10


async def test_redirects_in_a_circle_have_an_end(server: endpoint.Server) -> None:
    assert "answered 307 Moved (it has moved to" in (await failure(server, "moved-307-circle"))[1]
    assert len(server.requests) == 6
