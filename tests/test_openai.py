"""OpenAI-compatible endpoints: what comes through, and what each way of failing is called."""

from __future__ import annotations

import socket
from contextlib import aclosing, suppress

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import Event, Note, Reasoning, Usage
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.model_list import models
from ptstream.generators.openai.upstream import Upstream
from ptstream.generators.surrogates import Surrogates, mend
from tests import endpoint
from tests.conftest import LIMIT

pytestmark = pytest.mark.anyio

PROMPT = [{"role": "user", "content": "Tell me of the night."}]
KEY = "sk-very-secret"


async def at_once(_: float) -> None:
    """Waits for a retry without waiting."""
    await anyio.lowlevel.checkpoint()


async def ask(server: endpoint.Server, model: str, key: str | None = None) -> list[Event]:
    upstream = Upstream(server.base_url, key)
    async with aclosing(chat(upstream, model, PROMPT, sleep=at_once)) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event for event in events if isinstance(event, str))


async def failure(server: endpoint.Server, model: str, key: str | None = None) -> tuple[str, str]:
    """The text that came before the error, and the error."""
    text = ""
    upstream = Upstream(server.base_url, key)
    with pytest.raises(GeneratorError) as caught:
        async with aclosing(chat(upstream, model, PROMPT, sleep=at_once)) as events:
            async for event in events:
                text += event if isinstance(event, str) else ""
    return text, str(caught.value)


async def test_an_answer_comes_piece_by_piece_with_its_usage(server: endpoint.Server) -> None:
    events = await ask(server, "ok", KEY)
    assert [event for event in events[:-1] if event] == endpoint.PIECES
    assert events[-1] == Usage({"prompt_tokens": 7, "completion_tokens": len(endpoint.PIECES)})
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["messages"] == PROMPT
    assert request.body["stream"] is True


async def test_without_a_key_no_key_is_sent(server: endpoint.Server) -> None:
    await ask(server, "ok")
    assert "authorization" not in server.requests[0].headers


async def test_half_an_emoji_in_the_prompt_is_sent(server: endpoint.Server) -> None:
    messages = [{"role": "user", "content": "\ud83d and 😀"}]
    async with aclosing(chat(Upstream(server.base_url), "ok", messages)) as events:
        assert [event async for event in events]
    assert server.requests[0].body["messages"] == messages


async def test_reasoning_is_told_apart(server: endpoint.Server) -> None:
    events = await ask(server, "reasoning")
    assert [event.text for event in events if isinstance(event, Reasoning)] == ["Let me think. ", "Rain."]
    assert text_of(events) == endpoint.TEXT


@pytest.mark.parametrize("model", ["one-line", "one-body"])
async def test_what_has_no_end_is_not_waited_for(
    server: endpoint.Server, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptstream.generators.openai.answer_reader.SILENT_BYTES", 1024 * 1024)
    with anyio.fail_after(LIMIT):
        assert (await failure(server, model))[1].endswith("sends without end what is no part of an answer")


@pytest.mark.parametrize(
    ("model", "what"), [("many-values", "100,000 values"), ("many-levels", "100 lists and objects")]
)
async def test_an_event_that_would_take_long_to_read_is_refused_and_said(
    server: endpoint.Server, model: str, what: str
) -> None:
    text, cause = await failure(server, model)
    assert text == endpoint.PIECES[0]
    assert f"sent more than {what}" in cause


@pytest.mark.parametrize("model", ["huge-picture", "huge-lines"])
async def test_an_event_that_would_be_read_in_one_long_step_is_refused(server: endpoint.Server, model: str) -> None:
    text, cause = await failure(server, model)
    assert text == endpoint.TEXT
    assert "sent more than 4 MiB at once" in cause
    assert len(server.requests) == 1


@pytest.mark.parametrize("model", ["keep-alive", "whole", "large-picture"])
async def test_unusual_answers_are_answers(server: endpoint.Server, model: str) -> None:
    assert text_of(await ask(server, model)) == endpoint.TEXT


async def test_an_emoji_in_two_halves_is_joined_and_a_lone_half_replaced(server: endpoint.Server) -> None:
    assert text_of(await ask(server, "emoji")) == "a😀b\ufffdc\ufffdd\ufffd"


async def test_the_limit_of_length_is_an_end_and_said(server: endpoint.Server) -> None:
    events = await ask(server, "length")
    assert text_of(events) == "".join(endpoint.PIECES[:3])
    assert [event for event in events if isinstance(event, Note)]


async def test_a_connection_that_stays_open_after_the_finish_reason_holds_nothing_up(
    server: endpoint.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptstream.generators.openai.endpoint_timeouts.AFTER_FINISH_REASON", 0.01)
    assert text_of(await ask(server, "late")) == endpoint.TEXT


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("truncate", "broke off before the answer's end"),
        ("no-done", "closed the connection before the answer's end"),
        ("malformed", 'sent something that is not part of an answer: \'{"choices"'),
        ("error-inside", "reported an error: the model ran out of memory"),
        ("content-filter", "content filter"),
    ],
)
async def test_an_answer_that_is_not_whole_is_an_error_after_its_text(
    server: endpoint.Server, model: str, said: str
) -> None:
    text, error = await failure(server, model)
    assert text == "".join(endpoint.PIECES[:3])
    assert said in error
    assert "127.0.0.1" in error


async def test_a_reset_in_mid_answer_is_an_error_after_its_text(server: endpoint.Server) -> None:
    text = ""
    with pytest.raises(GeneratorError, match="broke off before the answer's end"):
        async with aclosing(chat(Upstream(server.base_url), "reset", PROMPT)) as events:
            async for event in events:
                text += str(event)
                if text == "".join(endpoint.PIECES[:3]):
                    server.release.set()
    assert text == "".join(endpoint.PIECES[:3])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("odd", "not part of an answer: '17'"),
        ("html", "answered with a web page instead of an answer (Please log in)"),
        (
            "too-long",
            "answered 400 Bad Request: request (5031 tokens) exceeds the available context size (2048",
        ),
        ("status-401", "answered 401 Scripted (no key was sent): this is a scripted 401"),
        ("status-403", "answered 403 Scripted: this is a scripted 403"),
        ("unheard-of", "answered 404 Scripted to POST /v1/chat/completions (base_url is http://127.0.0.1:"),
        ("status-429", "answered 429 Scripted: this is a scripted 429"),
        ("status-500", "answered 500 Scripted: this is a scripted 500"),
        ("reset-at-once", "closed the connection without an answer"),
    ],
)
async def test_a_refusal_is_passed_on_in_the_servers_words(server: endpoint.Server, model: str, said: str) -> None:
    text, error = await failure(server, model)
    assert text == ""
    assert said in error


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("status-429", 3),
        ("status-503", 3),
        ("reset-at-once", 3),
        ("status-401", 1),
        ("too-long", 1),
        ("stall", 1),
    ],
)
async def test_only_what_may_help_is_asked_again(server: endpoint.Server, model: str, asked: int) -> None:
    server.release.set()
    with suppress(GeneratorError):
        await ask(server, model)
    assert len(server.requests) == asked


async def test_an_endpoint_that_comes_round_is_heard_and_the_waiting_said(server: endpoint.Server) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with aclosing(chat(Upstream(server.base_url), "flaky-503-2", PROMPT, sleep=sleep)) as stream:
        events = [event async for event in stream]
    assert text_of(events) == endpoint.TEXT
    assert [event for event in events if isinstance(event, Note)] == [
        Note(f"127.0.0.1:{server.port} answered 503 Scripted: this is a scripted 503; asking again in 0 s")
    ] * 2
    assert waits == [0.0, 0.0]


async def test_a_key_is_in_no_error_even_if_the_server_repeats_it(server: endpoint.Server) -> None:
    _, error = await failure(server, "echo-key", KEY)
    assert KEY not in error
    assert "[key]" in error
    assert KEY not in repr(Upstream(server.base_url, KEY))


@pytest.mark.parametrize("key", ["sk\nX: y", "schlüssel", "a b"])
async def test_an_unfit_key_is_refused_without_being_repeated(server: endpoint.Server, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await ask(server, "ok", key)
    assert key not in str(caught.value)
    assert not server.requests


async def test_nobody_listening() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listening: nobody else gets the port meanwhile
        upstream = Upstream(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        with pytest.raises(GeneratorError, match="refused the connection: nothing listens there"):
            async for _ in chat(upstream, "ok", PROMPT, sleep=at_once):
                pass


async def test_a_host_that_is_not_known() -> None:
    with pytest.raises(GeneratorError, match=r"host\.invalid"):
        async for _ in chat(Upstream("http://host.invalid/v1"), "ok", PROMPT, sleep=at_once):
            pass


async def test_tls_where_there_is_none(server: endpoint.Server) -> None:
    upstream = Upstream(server.base_url.replace("http:", "https:"))
    with pytest.raises(GeneratorError, match="no secure connection"):
        async for _ in chat(upstream, "ok", PROMPT, sleep=at_once):
            pass


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://x/v1", "http://", "http://a:b:c/", ""])
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConfigurationError, match="not a web address"):
        async for _ in chat(Upstream(address), "ok", PROMPT):
            pass


async def test_whoever_leaves_closes_the_connection(server: endpoint.Server) -> None:
    async with aclosing(chat(Upstream(server.base_url), "stall", PROMPT)) as events:
        async for _ in events:
            break
        await server.stalled.wait()
    with anyio.fail_after(LIMIT):
        await server.left.wait()


async def test_cancelling_in_a_stall_closes_the_connection(server: endpoint.Server) -> None:
    async def read() -> None:
        async with aclosing(chat(Upstream(server.base_url), "stall", PROMPT)) as events:
            async for _ in events:
                pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await server.stalled.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(LIMIT):
        await server.left.wait()


async def test_a_proxy_of_the_callers_is_used_but_never_for_this_machine(server: endpoint.Server) -> None:
    environment = {"http_proxy": f"127.0.0.1:{server.port}", "no_proxy": "internal.example,.example.net"}
    away = Upstream("http://models.example.com/v1", environment=environment)
    async with aclosing(chat(away, "ok", PROMPT)) as events:
        assert text_of([event async for event in events]) == endpoint.TEXT
    assert server.requests[0].path.startswith("http://models.example.com/")
    here = Upstream(server.base_url, environment={"http_proxy": "127.0.0.1:1"})
    async with aclosing(chat(here, "ok", PROMPT)) as events:
        assert text_of([event async for event in events]) == endpoint.TEXT


async def test_the_models_of_an_endpoint(server: endpoint.Server) -> None:
    assert [row["id"] for row in await models(Upstream(server.base_url))] == list(endpoint.MODELS)


@given(st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30), st.data())
def test_pieces_cut_anywhere_give_the_text_that_the_whole_gives(text: str, data: st.DataObject) -> None:
    surrogates, given_out, rest = Surrogates(), "", text
    while rest:
        size = data.draw(st.integers(1, 3))
        given_out += surrogates.feed(rest[:size])
        given_out.encode()
        rest = rest[size:]
    assert given_out + surrogates.end() == mend(text)


async def test_an_answer_that_is_lost_before_its_first_word_is_asked_for_again(server: endpoint.Server) -> None:
    upstream = Upstream(server.base_url)
    events = [event async for event in chat(upstream, "lost-at-first", PROMPT, sleep=at_once)]
    assert "".join(event for event in events if isinstance(event, str)) == endpoint.TEXT
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert "before the answer's end" in note
    assert len(server.requests) == 2
