"""How endpoints are asked: again without what they do not understand, later when they are busy, where they moved to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ptstream.errors import GeneratorError
from ptstream.generators import Event, Note, Quiet
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.chat_options import USUAL, ChatOptions
from ptstream.generators.openai.request import UnsupportedFields
from ptstream.generators.openai.upstream import Upstream
from tests import endpoint
from tests.test_ways import authority, secured

__all__ = ["authority"]

pytestmark = pytest.mark.anyio

PROMPT = [{"role": "user", "content": "Tell me of the night."}]


class Asked:
    """What came of asking, and how long was waited in between."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.events: list[Event] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    @property
    def text(self) -> str:
        return "".join(event for event in self.events if isinstance(event, str))

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]


async def ask(
    server: endpoint.Server,
    model: str,
    options: ChatOptions = USUAL,
    body: Mapping[str, Any] | None = None,
    unsupported: UnsupportedFields | None = None,
    **more: object,
) -> Asked:
    asked, upstream = Asked(), Upstream(server.base_url, **more)  # type: ignore[arg-type]
    async with aclosing(
        chat(upstream, model, PROMPT, body, options=options, unsupported=unsupported, sleep=asked.sleep)
    ) as events:
        async for event in events:
            asked.events.append(event)
    return asked


@pytest.mark.parametrize(
    ("how", "times"), [("detail", 2), ("param", 2), ("unnamed", 2), ("stream", 2), ("both", 3), ("none", 1)]
)
async def test_what_is_not_understood_is_left_out_and_remembered(server: endpoint.Server, how: str, times: int) -> None:
    unsupported = UnsupportedFields()
    for further in (0, 1):
        asked = await ask(server, f"forbids-{how}", unsupported=unsupported)
        assert (asked.text, asked.waits) == (endpoint.TEXT, [0.0] * (times - 1) if not further else [])
        assert len(server.requests) == times + further
    await ask(server, f"forbids-{how}", unsupported=UnsupportedFields())
    assert len(server.requests) == 2 * times + 1


async def test_another_model_may_be_streamed(server: endpoint.Server) -> None:
    unsupported = UnsupportedFields()
    await ask(server, "forbids-both", unsupported=unsupported)
    asked = await ask(server, "ok", unsupported=unsupported)
    assert len(asked.events) > 3
    assert [("stream" in each.body, "stream_options" in each.body) for each in server.requests[2:]] == [
        (False, False),
        (True, False),
    ]


async def test_nothing_is_learned_of_who_refuses_in_any_case(server: endpoint.Server) -> None:
    unsupported = UnsupportedFields()
    for _ in range(2):
        with pytest.raises(GeneratorError, match="stream_options and stream are unknown fields"):
            await ask(server, "forbids-all", unsupported=unsupported)
    assert len(server.requests) == 6


async def test_an_endpoint_is_asked_as_its_entry_says(server: endpoint.Server) -> None:
    options = ChatOptions(stream=False)
    body = {"temperature": 0.1, "reasoning": {"effort": "low"}}
    asked = await ask(
        server,
        "whole",
        options,
        body,
        key="k",
        key_header="api-key",
        headers={"x-team": "night"},
        query={"api-version": "1 2"},
    )
    (request,) = server.requests
    assert asked.text == endpoint.TEXT
    assert "stream" not in request.body
    assert (request.body["temperature"], request.body["reasoning"]) == (0.1, {"effort": "low"})
    assert request.path == "/v1/chat/completions?api-version=1+2"
    assert (request.headers["api-key"], request.headers["x-team"]) == ("k", "night")
    assert "authorization" not in request.headers
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions?a=b", "?a=b", "/?a=b#c"])
async def test_a_base_with_more_in_it(server: endpoint.Server, end: str) -> None:
    async for _ in chat(Upstream(server.base_url + end, query={"c": "d"}), "ok", PROMPT):
        pass
    query = "?a=b&c=d" if "a=b" in end else "?c=d"
    assert server.requests[0].path == f"/v1/chat/completions{query}"


@pytest.mark.parametrize(
    ("how", "wait"), [("header", 7), ("words", 62.5), ("delay", 34), ("billing", 4.5), ("within", 5)]
)
async def test_who_is_busy_is_waited_for_as_long_as_it_says(server: endpoint.Server, how: str, wait: float) -> None:
    asked = await ask(server, f"busy-{how}")
    assert (asked.text, asked.waits) == (endpoint.TEXT, [wait])
    (note,) = asked.notes
    assert f"asking again in {wait:g} s" in note
    assert Quiet(wait + 1) in asked.events


@pytest.mark.parametrize(
    ("how", "said"), [("long", r"3600 s, longer than longest_wait \(120 s\)"), ("spent", "exceeded your current quota")]
)
async def test_who_is_busy_for_too_long_has_refused(server: endpoint.Server, how: str, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        await ask(server, f"busy-{how}")
    assert len(server.requests) == 1


async def test_the_longest_wait_and_the_tries_are_the_endpoints(server: endpoint.Server) -> None:
    with pytest.raises(GeneratorError, match="longest_wait"):
        await ask(server, "busy-header", ChatOptions(longest_wait=5))
    with pytest.raises(GeneratorError, match="429"):
        await ask(server, "status-429", ChatOptions(tries=5))
    assert len(server.requests) == 6


async def test_a_server_that_loads_its_model_is_waited_for(server: endpoint.Server) -> None:
    asked = await ask(server, "loading-9")
    assert asked.text == endpoint.TEXT
    assert len(asked.waits) == 9
    (note,) = asked.notes
    assert note.endswith("Loading model; waiting until it has")


async def test_a_server_that_never_has_it_is_given_up(server: endpoint.Server) -> None:
    with pytest.raises(GeneratorError, match="Loading model"):
        await ask(server, "loading-9", ChatOptions(longest_wait=0))


async def test_a_move_to_tls_is_followed_where_the_certificate_is_trusted(
    server: endpoint.Server, authority: Path
) -> None:
    async with secured(server, authority) as url:
        server.moved = url.removesuffix("/v1") + "/new/v1/chat/completions"
        asked = await ask(server, "moved-308-tls", environment={"SSL_CERT_FILE": str(authority / "ca.pem")})
        assert asked.text == endpoint.TEXT
        with pytest.raises(GeneratorError, match=r"certificate of 127.0.0.1:\d+, to which .* sends on, is not trusted"):
            await ask(server, "moved-308-tls")


@pytest.mark.parametrize("how", ["301-here", "302-whole", "307-here", "308-whole"])
async def test_a_move_within_the_host_is_followed_with_method_and_body(server: endpoint.Server, how: str) -> None:
    asked = await ask(server, f"moved-{how}", key="k")
    assert asked.text == endpoint.TEXT
    first, second = server.requests
    assert (second.method, second.body) == (first.method, first.body)
    assert second.path.startswith("/new/v1/chat/completions")
    assert second.headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("307-away", "it has moved to http://192.0.2.1/v1/chat/completions; if that is right, set base_url"),
        ("308-port", r"127.0.0.1:\d+, to which 127.0.0.1:\d+ sends on, refused the connection"),
        ("303-here", "it has moved to /new/v1/chat/completions"),
        ("307-circle", "it has moved to /v1/chat/completions"),
    ],
)
async def test_any_other_move_is_named(server: endpoint.Server, how: str, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        await ask(server, f"moved-{how}")


async def test_a_key_in_a_header_is_in_no_error(server: endpoint.Server) -> None:
    with pytest.raises(GeneratorError) as caught:
        await ask(server, "echo-key", headers={"authorization": "Secret of the house"})
    assert "Secret" not in str(caught.value)


async def test_comments_are_signs_of_life_of_a_server_on_this_machine(server: endpoint.Server) -> None:
    asked = await ask(server, "keep-alive")
    assert asked.events[:3] == ["", "", ""]
    assert asked.events[3] == endpoint.PIECES[0]


@pytest.mark.parametrize(("how", "said"), [("value", "Invalid value"), ("another", "max_tokens")])
async def test_a_refusal_for_another_reason_is_asked_once(server: endpoint.Server, how: str, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        await ask(server, f"forbids-{how}")
    assert len(server.requests) == 1


async def test_an_error_in_the_body_for_a_field_of_ours_leaves_it_out(server: endpoint.Server) -> None:
    asked = await ask(server, "forbids-inside")
    assert asked.text == endpoint.TEXT
    assert "stream_options" not in server.requests[1].body


async def test_no_secret_of_an_address_is_told(server: endpoint.Server) -> None:
    address = server.base_url.replace("http://", "http://me:hunter2@") + "?api-key=secret&api-version=2024-10-21"
    with pytest.raises(GeneratorError) as caught:
        async for _ in chat(Upstream(address), "unheard-of", PROMPT):
            pass
    assert "base_url is http://127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "secret" not in str(caught.value)
