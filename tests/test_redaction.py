"""What is secret about an endpoint stays here, whatever the endpoint says: in every form, every place and any cuts."""

from __future__ import annotations

import base64
import html
import json
import re
from contextlib import aclosing, nullcontext
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptstream import wire
from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import Note, Usage
from ptstream.generators.models.target import ModelTarget
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.error_text import MESSAGE_CHARACTERS, message_in
from ptstream.generators.openai.model_list import models
from ptstream.generators.openai.passthrough import REFUSAL_BYTES, pass_through
from ptstream.generators.openai.redaction import MARK, Redaction
from ptstream.generators.openai.response_filter import LINE_BYTES, ResponseFilter, redacted_refusal
from ptstream.generators.openai.upstream import Upstream, url_of
from tests import endpoint
from tests.conftest import LIMIT, kept
from tests.face import KEY, Face, asking, daemon, face
from tests.test_passthrough import Client

__all__ = ["daemon", "face"]

SECRET = "sk-SECRET/PRO+VIDER&KEY-123456"

FORMS = {
    "as it is": SECRET,
    "within a word": f"x{SECRET}y",
    "in JSON": json.dumps(SECRET).strip('"').replace("/", r"\/"),
    "in JSON, in numbers": "".join(f"\\u{ord(character):04X}" for character in SECRET),
    "in JSON in JSON": json.dumps(json.dumps(SECRET.replace("-", "\u002d"))),
    "in JSON in JSON, in numbers": json.dumps(json.dumps("é")[1:-1].join("ab")) + SECRET.replace("-", r"\\u002d"),
    "in a URL": quote(SECRET, safe=""),
    "in a URL, all of it": "".join(f"%{ord(character):02x}" for character in SECRET),
    "in a URL in a URL": quote(quote(SECRET, safe=""), safe=""),
    "in HTML": html.escape(SECRET),
    "in HTML, in numbers": "".join(f"&#{ord(character)};" for character in SECRET),
    "in HTML, in hexadecimal numbers": "".join(f"&#x{ord(character):X};" for character in SECRET),
    "in Python": "".join(f"\\x{ord(character):02x}" for character in SECRET),
    "in hexadecimal": SECRET.encode().hex(),
    "in hexadecimal capitals": SECRET.encode().hex().upper(),
    "in base64": base64.b64encode(SECRET.encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "in base64, in JSON": base64.b64encode(SECRET.encode()).decode().replace("/", r"\/").replace("+", r"\u002b"),
    **{
        f"in base64 behind {before!r}": base64.b64encode(f"{before}{SECRET}{after}".encode()).decode()
        for before in ("", "u", "us", "use", "user:")
        for after in ("", "x", "xy")
    },
}


def fragments(text: str) -> list[str]:
    """What is left of the secret in a text, decoded as often as anybody would."""
    for _ in range(3):
        text = re.sub(r"\\+u00(..)", lambda found: chr(int(found[1], 16)), text)
    words = re.findall("[A-Z]{4,}", text)
    decoded = [
        base64.b64decode(part[place : place + (len(part) - place) // 4 * 4], altchars=b"-_").decode("latin-1")
        for part in re.findall(r"[A-Za-z0-9+/_-]{8,}", text)
        for place in range(4)
    ]
    return [word for word in [*words, *decoded] if any(part in word for part in ("SECR", "RET/", "VIDER", "KEY-"))]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    text = f"the key is {FORMS[form]}, or is it not"
    told = Redaction([SECRET]).of(text)
    assert MARK in told
    assert not fragments(told)
    assert told.startswith("the key is ")
    assert told.endswith(", or is it not")


@pytest.mark.parametrize("text", ["test", "a test.", "{'test': 1}", "test=1"])
def test_a_short_secret_is_found_as_a_word(text: str) -> None:
    assert "test" not in Redaction(["test"]).of(text)


@pytest.mark.parametrize("text", ["the latest", "testing", "a_test_b", "TEST", "contest1"])
def test_a_short_secret_is_no_part_of_a_word(text: str) -> None:
    assert Redaction(["test"]).of(text) == text


def test_what_is_shorter_still_is_no_secret() -> None:
    assert Redaction(["", "a", "abc"]).of("a abc") == "a abc"
    assert not Redaction(["", "abc"])


LONG = "A0b1C2d3E4f5G6h7I8j9K0l1"


@pytest.mark.parametrize(
    ("more", "secrets"),
    [
        ({"key": SECRET}, [SECRET]),
        ({"base_url": "http://me:p%40ssword@x/v1"}, ["p%40ssword", "p@ssword"]),
        ({"base_url": f"http://{LONG}@x/v1"}, [LONG]),
        ({"base_url": f"http://x/v1?api-version=1&sig={SECRET[:12]}"}, [SECRET[:12]]),
        ({"query": {"code": "abcdefgh"}}, ["abcdefgh"]),
        ({"query": {"x": LONG}}, [LONG]),
        ({"headers": {"X-Api-Key": "abcdefgh"}}, ["abcdefgh"]),
        ({"headers": {"X-Whatever": LONG}}, [LONG]),
        ({"headers": {"Authorization": f"Bearer {LONG}"}}, [LONG]),
        ({"headers": {"Authorization": f"Basic {base64.b64encode(b'me:opensesame').decode()}"}}, ["opensesame"]),
        ({"environment": {"http_proxy": "http://me:opensesame@proxy:1"}}, ["opensesame"]),
        ({"environment": {"ALL_PROXY": "socks5://me:opensesame@proxy:1"}}, ["opensesame"]),
        ({"environment": {"https_proxy": "http://me:open%20sesame@proxy:1"}}, ["open sesame", "open%20sesame"]),
    ],
)
def test_what_is_secret_of_an_endpoint(more: dict[str, Any], secrets: list[str]) -> None:
    upstream = Upstream(**{"base_url": "http://x.example/v1", **more})
    for secret in secrets:
        assert secret not in upstream.redact(f"<{secret}>")
        assert secret not in upstream.redact(base64.b64encode(f"me:{secret}".encode()).decode())
    assert upstream.redact("version 1, as me") == "version 1, as me"


# --- a body on its way


def event(content: str, **more: Any) -> bytes:
    return b"data: " + wire.dumps({"choices": [{"index": 0, "delta": {"content": content}}], **more}) + b"\n\n"


BODY = (
    event("one ")
    + event(f"a text with {SECRET} in it")
    + event("two ", id=SECRET)
    + f": {SECRET}\r\nevent: {SECRET}\r\n".encode()
    + b"data: " + json.dumps({"error": {"message": FORMS["in JSON"], "content": SECRET}}).encode() + b"\r\n\r\n"
    + b'data: {"choices": [{"error": {"message": "' + SECRET.encode() + b'", "text": "' + SECRET.encode() + b'"}}]}\r'
    + b'data: {"id": "' + SECRET.encode() + b'", "id": "x", "choices": []}\n'
    + "\xff is no UTF-8 \udc80\n".encode("utf-8", "surrogatepass")
    + b"data: [DONE]\n\n"
    + f"the end {SECRET}".encode()
)  # fmt: skip


def passed(body: bytes, cuts: list[int], redaction: Redaction) -> bytes:
    """What goes on of a body that comes in these cuts."""
    way, told, place = ResponseFilter(redaction), b"", 0
    for cut in [*sorted(cuts), len(body)]:
        told += way.feed(body[place:cut])
        place = cut
    return told + way.end()


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_a_body_is_the_same_in_any_cuts(cuts: list[int]) -> None:
    told = passed(BODY, cuts, Redaction([SECRET]))
    assert told == passed(BODY, [], Redaction([SECRET]))
    assert told.count(SECRET.encode()) == 1  # in the text of the answer
    assert event(f"a text with {SECRET} in it") in told


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_a_body_without_the_secret_passes_byte_for_byte(cuts: list[int]) -> None:
    for redaction in (Redaction([]), Redaction(["another-secret"])):
        assert passed(BODY, cuts, redaction) == BODY


def test_nothing_waits_but_for_the_end_of_its_line() -> None:
    way = ResponseFilter(Redaction([SECRET]))
    assert way.feed(event("one ")) == event("one ")
    assert way.feed(event("two ")[:-2]) == b""
    assert way.feed(b"\n") == event("two ")[:-1]


def test_a_line_that_has_no_end_goes_on_and_the_secret_in_it_does_not() -> None:
    """Wherever it is cut."""
    way, told = ResponseFilter(Redaction([SECRET])), b""
    part = b"x" * 30_000 + SECRET.encode()
    for _ in range(100):
        told += way.feed(part)
    assert len(told) > 2 * LINE_BYTES
    told += way.end()
    assert told == (b"x" * 30_000 + MARK.encode()) * 100


# --- a key that is a word, as servers take that look at none


@pytest.mark.parametrize("key", ["ollama", "none", "null", "test", "local", "1234", "chat", "data", "index"])
def test_a_short_key_changes_nothing_that_programs_read(key: str) -> None:
    call = {"id": f"call-{key}", "function": {"name": f"run-{key}", "arguments": "{}"}}
    chunk = {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion.chunk",
        "model": f"{key}/qwen-{key}",
        "service_tier": key,
        "choices": [{"index": 0, "delta": {"content": key, "tool_calls": [call]}, "finish_reason": None}],
        "usage": {"total_tokens": 1234, "data": [key]},
    }
    redaction = Redaction([key])
    assert redaction.within(chunk) == chunk
    told = passed(b"data: " + wire.dumps(chunk) + b"\n\n", [], redaction)
    assert json.loads(told.removeprefix(b"data: ")) == chunk


@pytest.mark.parametrize("key", ["null", "true", "1234", "code", SECRET])
def test_a_refusal_that_is_json_stays_json(key: str) -> None:
    error = {"message": f"no such key: {key}", "code": 1234, "param": None, "fatal": True}
    told = redacted_refusal(Redaction([key]), json.dumps({"error": error}).encode(), whole=True)
    assert json.loads(told) == {"error": {**error, "message": f"no such key: {MARK}"}}


def test_a_long_number_that_is_a_key_is_taken_out_of_numbers() -> None:
    redaction = Redaction(["1234567890"])
    assert redaction.within({"id": 1234567890, "n": [1, 0.5, True]}) == {"id": MARK, "n": [1, 0.5, True]}


# --- all of it


PLACES = ("refusal", "moved", "whole", "page", "event", "beside", "broken")


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_a_provider_that_repeats_the_key_tells_nobody(face: Face, server: endpoint.Server, place: str) -> None:
    """Neither a client of `/v1`, in body and headers, nor whoever looks at the stream; the fixture looks at the log."""
    async with (
        httpx.AsyncClient(timeout=LIMIT, headers=face.headers, base_url=face.url) as http,
        anyio.create_task_group() as tasks,
    ):
        for form in endpoint.FORMS:
            tasks.start_soon(_tells_nobody, face, http, place, form)


async def _tells_nobody(face: Face, http: httpx.AsyncClient, place: str, form: str) -> None:
    body = {"model": f"mine/careless-{place}-{form}", "messages": [], "stream": True}
    heard = b""
    async with http.stream("POST", wire.COMPLETIONS, json=body) as answer:
        heard += repr(answer.headers).encode()
        try:
            async for data in answer.aiter_raw():
                heard += data
        except httpx.RemoteProtocolError:
            assert place == "broken"
    id = answer.headers["stream-id"]
    told = await asking(lambda: face.ended(id))
    remarks = (await http.get(wire.REMARKS.format(id=id))).text
    repeated = endpoint.FORMS[form](KEY)
    for secret in (
        KEY,
        repeated[6:-4] if form == "basic" else repeated,
    ):  # base64 shares letters with what is beside it
        for words in (heard.decode(), json.dumps(told, ensure_ascii=False).replace("\\\\", "\\"), remarks):
            assert secret not in words
    if place == "beside":
        assert kept(face.cli, id) == endpoint.TEXT
        assert heard.count(b'"content":') == len(endpoint.PIECES)


@pytest.mark.anyio
async def test_a_key_that_is_cut_in_two_is_not_told_in_halves(server: endpoint.Server) -> None:
    client = Client()
    target = ModelTarget("m", "here", lambda: nullcontext(Upstream(server.base_url, KEY)))
    content = wire.dumps({"model": "careless-cut-plain", "messages": [], "stream": True})

    async def ask() -> None:
        with pytest.raises(GeneratorError, match=r"no such key: \[key\]"):
            async with aclosing(pass_through(target, content, client)) as events:
                async for _ in events:
                    pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await server.stalled.wait()
        server.release.set()
    assert KEY[: len(KEY) // 2] not in client.body.decode()
    assert b"no such key: [key]" in client.body


@pytest.mark.anyio
@pytest.mark.parametrize("beyond", [-8, 0, 8, 60_000])
async def test_a_refusal_that_is_cut_off_has_no_part_of_the_key(server: endpoint.Server, beyond: int) -> None:
    """Where the most ends that is passed on of one, and where the part ends that is kept."""
    for place in (REFUSAL_BYTES + beyond, 600 + beyond):
        body = b"x" * (place - 8) + KEY.encode() + b"y" * 70_000
        head = b"HTTP/1.1 401 No\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        server.scripts["long"] = head + body
        client = Client()
        target = ModelTarget("m", "here", lambda: nullcontext(Upstream(server.base_url, KEY)))
        with pytest.raises(GeneratorError) as caught:
            async with aclosing(pass_through(target, wire.dumps({"model": "long"}), client)) as events:
                async for _ in events:
                    pass
        for told in (str(caught.value), client.body.decode()):
            assert KEY[:5] not in told


@pytest.mark.parametrize("length", [len(SECRET), 164])
def test_what_stands_behind_an_error_is_cut_off_without_a_part_of_the_key(length: int) -> None:
    """What a gateway repeats of the provider behind it is shortened by itself."""
    key = (SECRET * 9)[:length]
    for before in range(MESSAGE_CHARACTERS - length, MESSAGE_CHARACTERS + 1, 7):
        error = {"message": "x", "metadata": {"raw": "y" * before + key}}
        told = message_in(json.dumps({"error": error}), Redaction([key]).of)
        assert key[:5] not in told, before


@pytest.mark.anyio
async def test_usage_notes_and_names_have_no_key(server: endpoint.Server) -> None:
    upstream = Upstream(server.base_url, KEY)
    async with aclosing(chat(upstream, "careless-beside-plain", [])) as events:
        said = [event async for event in events]
    assert [event for event in said if isinstance(event, Usage)] == [Usage({"total_tokens": 1, "for": MARK, MARK: 2})]
    (note,) = [event for event in said if isinstance(event, Note)]
    assert note.text.endswith(f"does not know: 'length {MARK}'")
    server.models = [{"id": f"model-{KEY}", "name": KEY}]
    assert await models(upstream) == [{"id": f"model-{MARK}", "name": MARK}]


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["api_key", "user", "metadata"])
async def test_the_daemons_token_in_a_request_stays_here(face: Face, server: endpoint.Server, field: str) -> None:
    value = {"key": [face.token]} if field == "metadata" else face.token
    body: dict[str, Any] = {"model": "mine/ok", "messages": [], field: value}
    async with httpx.AsyncClient(timeout=LIMIT, headers=face.headers) as http:
        answer = await http.post(f"{face.base_url}/chat/completions", json=body)
    assert answer.status_code == 400
    assert f"the field '{field}' of the request has the daemon's token" in answer.json()["error"]["message"]
    assert face.token not in answer.text
    assert not server.requests


@pytest.mark.parametrize(
    "address",
    [
        "ftp://me:opensesame@x/v1",
        "http://me:open/sesame@x/v1",
        "//me:opensesame@x/v1?key=opensesame",
        "http:///v1?key=opensesame",
        "me:opensesame@x",
    ],
)
def test_an_address_that_is_none_is_not_repeated_with_its_password(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a web address") as caught:
        url_of(address)
    assert "sesame" not in str(caught.value)
