"""A small scripted endpoint on loopback: plays OpenAI-compatible servers that behave, and all that do not.

The name of the model chooses what happens (`PLAYS`). In a test: `async with endpoint.serve() as server`. As a
process, to point a daemon at: `python -m tests.endpoint` prints its base URL, and ends with its stdin.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
import re
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

TEXT = "It was a dark night. The rain fell, and nobody said why. Then it stopped."
PIECES = re.findall(r"\S+\s*", TEXT)

DONE = "[DONE]"

TLS_HANDSHAKE = b"\x16"

MODELS = ("ok", "reasoning", "slow")
"""The models that it lists."""


@dataclass
class Request:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))


@dataclass
class Server:
    """The endpoint: what it was asked, and the events that let a test decide when it goes on."""

    base_url: str
    requests: list[Request] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    stalled: anyio.Event = field(default_factory=anyio.Event)
    """Set when a play has come to its stall."""
    release: anyio.Event = field(default_factory=anyio.Event)
    """Set by the test: a stalled play goes on to its end."""
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set when a client closed its connection before its play was over."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when a play has been played to its end."""
    moved: str = ""
    """Where `moved-…-tls` leads."""
    scripts: dict[str, bytes] = field(default_factory=dict)
    """Whole answers that a test brings, by the models' names."""
    models: list[dict[str, Any]] | str = field(default_factory=lambda: [{"id": name} for name in MODELS])
    """What `GET /models` tells; "bare" for a list without a frame."""
    tags: list[dict[str, Any]] = field(default_factory=lambda: [{"name": name} for name in MODELS])
    """What Ollama's own listing tells."""
    listing: str = ""
    """A play that is played instead."""
    sent: bytearray = field(default_factory=bytearray)
    """The bodies of its answers, one after the other."""

    @property
    def port(self) -> int:
        return int(self.base_url.removesuffix("/v1").rpartition(":")[2])


class Exchange:
    """One request and the ways to answer it."""

    def __init__(self, stream: SocketStream, server: Server, request: Request) -> None:
        self.server = server
        self.request = request
        self._stream = stream

    async def raw(self, data: bytes) -> None:
        await self._stream.send(data)

    async def head(self, status: str = "200 OK", **headers: str) -> None:
        fields = {"content_type": "text/event-stream", "connection": "close"} | headers
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        await self.raw("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode())

    async def body(self, status: str, text: str, **headers: str) -> None:
        await self.head(status, content_length=str(len(text.encode())), **headers)
        await self.raw(text.encode())
        self.server.sent += text.encode()

    async def json(self, **fields: Any) -> None:
        await self.body("200 OK", json.dumps(fields), content_type="application/json")

    async def begin(self) -> None:
        await self.head(transfer_encoding="chunked")

    async def data(self, text: str) -> None:
        await self.run(f"data: {text}\n\n".encode())

    async def run(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))
        self.server.sent += data

    async def event(self, **fields: Any) -> None:
        await self.data(json.dumps({"object": "chat.completion.chunk", **fields}))

    async def delta(self, finish: str | None = None, **delta: Any) -> None:
        await self.event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])

    async def pieces(self, pieces: list[str]) -> None:
        for piece in pieces:
            await self.delta(content=piece)

    async def end(self, finish: str | None = "stop") -> None:
        if finish:
            await self.delta(finish)
        await self.event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": len(PIECES)})
        await self.data(DONE)
        await self.close()

    async def close(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def stall(self) -> None:
        """Nothing, until the test says so or the client leaves."""
        self.server.stalled.set()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_left, tasks.cancel_scope)
            await self.server.release.wait()
            tasks.cancel_scope.cancel()

    async def _until_left(self, scope: anyio.CancelScope) -> None:
        try:
            await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.server.left.set()
            scope.cancel()

    def reset(self) -> None:
        """Makes the coming close a reset instead of an orderly end."""
        raw = self._stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def ok(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.delta(role="assistant", content="")
    await exchange.pieces(PIECES)
    await exchange.end()


async def slow(exchange: Exchange) -> None:
    """A piece every 50 ms: slow enough to be watched."""
    await exchange.begin()
    for piece in PIECES:
        await exchange.delta(content=piece)
        await anyio.sleep(0.05)
    await exchange.end()


async def stall(exchange: Exchange) -> None:
    """Three pieces, then nothing until it is released."""
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.stall()
    await exchange.pieces(PIECES[3:])
    await exchange.end()


async def goes_on(exchange: Exchange) -> None:
    """From a text that was begun, to its end; without one, three pieces, then nothing until it is released."""
    last = exchange.request.body["messages"][-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    await exchange.begin()
    if not begun:
        begun = "".join(PIECES[:3])
        await exchange.pieces(PIECES[:3])
        await exchange.stall()
    await exchange.pieces(re.findall(r"\S+\s*", TEXT.removeprefix(begun)))
    await exchange.end()


async def silent(exchange: Exchange) -> None:
    """Takes the request and says nothing until it is released."""
    await exchange.stall()
    await ok(exchange)


async def keep_alive(exchange: Exchange) -> None:
    """Comments, as OpenRouter sends them while a model is loaded; then the answer."""
    await exchange.begin()
    for _ in range(3):
        await exchange.run(b": PROCESSING\n\n")
    await exchange.pieces(PIECES)
    await exchange.end()


async def late(exchange: Exchange) -> None:
    """The finish reason, but never the end of the connection."""
    await exchange.begin()
    await exchange.pieces(PIECES)
    await exchange.delta("stop")
    await exchange.stall()


async def hanging(exchange: Exchange) -> None:
    """All that is due, but never the end of the connection."""
    await exchange.begin()
    await exchange.pieces(PIECES)
    await exchange.delta("stop")
    await exchange.data(DONE)
    await exchange.stall()


async def truncate(exchange: Exchange) -> None:
    """The connection ends in the middle of an event."""
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.raw(b'400\r\ndata: {"choices": [{"delta": {"cont')


async def reset(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    # Only an answered question shows that the pieces have arrived: a reset may overtake them.
    await exchange.stall()
    exchange.reset()


async def reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def lost_at_first(exchange: Exchange) -> None:
    """Closed before its first word; asked again, it answers."""
    if len(exchange.server.requests) == 1:
        await exchange.begin()
    else:
        await ok(exchange)


async def no_finish(exchange: Exchange) -> None:
    """An orderly end without a finish reason."""
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.end(finish=None)


async def no_done(exchange: Exchange) -> None:
    """An orderly end of the body with neither a finish reason nor `[DONE]`."""
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.close()


async def malformed(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.data('{"choices": [{"delta": {"content": "It wa')
    await exchange.end()


async def odd(exchange: Exchange) -> None:
    """JSON, but nothing that belongs into an answer."""
    await exchange.begin()
    await exchange.delta(content=17)
    await exchange.end()


async def error_inside(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.event(error={"code": 502, "message": "the model ran out of memory"})
    await exchange.close()


async def reasoning(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.delta(reasoning_content="Let me think. ")
    await exchange.delta(reasoning="Rain.")
    await exchange.pieces(PIECES)
    await exchange.end()


async def emoji(exchange: Exchange) -> None:
    """An emoji in two halves, then a half alone, then one at the very end."""
    await exchange.begin()
    await exchange.pieces(["a\ud83d", "\ude00b", "\ud83d", "c", "\udc00", "d\ud83d"])
    await exchange.end()


async def length(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.end("length")


async def content_filter(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.end("content_filter")


async def whole(exchange: Exchange) -> None:
    """A server that knows no streaming: one JSON body."""
    await exchange.json(choices=[message(content=TEXT)])


def message(finish: str = "stop", **fields: Any) -> dict[str, Any]:
    """A choice of an answer in one body."""
    return {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}


USAGE = {"prompt_tokens": 7, "completion_tokens": len(PIECES), "total_tokens": 7 + len(PIECES)}


async def as_asked(exchange: Exchange) -> None:
    """An answer in one body, or in events where that is asked for, with usage where that is."""
    asked = exchange.request.body
    if not asked.get("stream"):
        choices = [message(content=TEXT, reasoning_content="Rain.")]
        await exchange.json(
            id="c-1", object="chat.completion", created=1, model="as-asked", choices=choices, usage=USAGE
        )
        return
    await exchange.begin()
    await exchange.delta(role="assistant", content="")
    await exchange.delta(reasoning_content="Rain.")
    await exchange.pieces(PIECES)
    await exchange.delta("stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        await exchange.event(choices=[], usage=USAGE)
    await exchange.data(DONE)
    await exchange.close()


CALL = {"name": "weather", "arguments": '{"city": "Oslo"}'}


async def tools(exchange: Exchange) -> None:
    """A call of a tool, its arguments in pieces where events are asked for. No text."""
    call = {"id": "call-1", "type": "function"}
    if not exchange.request.body.get("stream"):
        await exchange.json(choices=[message("tool_calls", content=None, tool_calls=[call | {"function": CALL}])])
        return
    await exchange.begin()
    begun = {"index": 0, **call, "function": {"name": CALL["name"], "arguments": ""}}
    await exchange.delta(role="assistant", content=None, tool_calls=[begun])
    for part in re.findall(".{1,4}", CALL["arguments"]):
        await exchange.delta(tool_calls=[{"index": 0, "function": {"arguments": part}}])
    await exchange.delta("tool_calls")
    await exchange.data(DONE)
    await exchange.close()


async def two(exchange: Exchange) -> None:
    """Two choices, the second before and after the first."""
    await exchange.begin()
    for index, text in ((1, "No. "), (0, "Yes. "), (1, "Never. "), (0, "Always.")):
        await exchange.event(choices=[{"index": index, "delta": {"content": text}, "finish_reason": None}])
    for index in (0, 1):
        await exchange.event(choices=[{"index": index, "delta": {}, "finish_reason": "stop"}])
        await exchange.event(choices=[{"index": 1, "delta": {"content": ""}, "finish_reason": None}])
    await exchange.data(DONE)
    await exchange.close()


HUGE = [f"{n} " + "ø" * 32_000 + "\n" for n in range(100)]
"""6 MiB, more than any socket holds."""


async def huge(exchange: Exchange) -> None:
    """Much at once, and the end when the test says so."""
    await exchange.begin()
    await exchange.pieces(HUGE)
    await exchange.stall()
    await exchange.end()


async def patient(exchange: Exchange) -> None:
    """An answer in one body that comes when the test says so."""
    await exchange.stall()
    await whole(exchange)


async def cut_short(exchange: Exchange) -> None:
    """Less of a body than was announced."""
    await exchange.head(content_type="application/json", content_length="1000")
    await exchange.raw(b'{"choices": [')


async def after_an_error(exchange: Exchange) -> None:
    """A piece that is none, and the answer goes on."""
    await exchange.begin()
    await exchange.pieces(PIECES[:3])
    await exchange.delta(content=17)
    await exchange.pieces(PIECES[3:])
    await exchange.end()


async def zipped(exchange: Exchange) -> None:
    """Compressed, though nobody asked for it."""
    body = gzip.compress(json.dumps({"choices": [message(content=TEXT)]}).encode(), mtime=0)
    await exchange.head(content_type="application/json", content_encoding="gzip", content_length=str(len(body)))
    await exchange.raw(body)
    exchange.server.sent += body


async def elsewhere(exchange: Exchange) -> None:
    await exchange.body("307 Temporary Redirect", "", location="http://192.0.2.1/v1/chat/completions")


async def html(exchange: Exchange) -> None:
    await exchange.body("200 OK", "<html>Please log in</html>", content_type="text/html")


async def too_long(exchange: Exchange) -> None:
    """llama.cpp's answer to a prompt that does not fit."""
    message = "request (5031 tokens) exceeds the available context size (2048 tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    await exchange.body("400 Bad Request", json.dumps({"error": error}), content_type="application/json")


async def echo_key(exchange: Exchange) -> None:
    """A careless server that repeats the key."""
    key = exchange.request.headers.get("authorization", "")
    text = json.dumps({"error": {"message": f"bad key {key}"}})
    await exchange.body("401 Unauthorized", text, content_type="application/json")


async def controls(exchange: Exchange) -> None:
    """A refusal that holds what a terminal, or HTTP, would take for more than text."""
    told = json.dumps({"error": {"message": "a\0b\x1b]0;c\x07d\x7f\x9be"}})
    await exchange.body("400 Odd", told, content_type="application/json")


async def odd_headers(exchange: Exchange) -> None:
    """An answer whose headers hold what only a lenient client takes."""
    odd = {"x_request_id": "a\x01b\x7f", "openai_version": "1"}
    await exchange.body(
        "200 OK", json.dumps({"choices": [message(content=TEXT)]}), content_type="application/json", **odd
    )


async def two_lengths(exchange: Exchange) -> None:
    """Both a length and chunks, which hold another one (RFC 9112, 6.3)."""
    await exchange.head(content_type="application/json", content_length="5", transfer_encoding="chunked")
    await exchange.run(json.dumps({"choices": [message(content=TEXT)]}).encode())
    await exchange.close()


async def one_line(exchange: Exchange) -> None:
    """An event that never ends."""
    await exchange.head()
    await exchange.raw(b"data: ")
    while True:
        await exchange.raw(b"x" * 65536)


async def large_picture(exchange: Exchange, characters: int = 4_000_000) -> None:
    """Text, and a picture in an event of its own, as models that paint send it."""
    await exchange.begin()
    await exchange.pieces(PIECES)
    url = "data:image/png;base64," + "A" * characters
    await exchange.delta(content="", images=[{"type": "image_url", "image_url": {"url": url}}])
    await exchange.end()


async def huge_picture(exchange: Exchange) -> None:
    """One that a parser would work on for a while, in one step."""
    await large_picture(exchange, 15_000_000)


async def huge_lines(exchange: Exchange) -> None:
    """The same, in lines, with signs of life between."""
    await exchange.begin()
    await exchange.pieces(PIECES)
    await exchange.run(b'data: {"choices":[],"x":"\n' + (b"data: " + b"x" * 65536 + b"\n:\n") * 200)
    await exchange.run(b'data: "}\n\n')
    await exchange.end()


async def many_values(exchange: Exchange) -> None:
    """Some text, and then an event that a parser would work on for seconds."""
    await exchange.begin()
    await exchange.pieces(PIECES[:1])
    await exchange.data('{"choices":[' + "[]," * 1_000_000 + "[]]}")
    await exchange.end()


async def many_levels(exchange: Exchange) -> None:
    """The same, all within each other."""
    await exchange.begin()
    await exchange.pieces(PIECES[:1])
    await exchange.data('{"choices":' + "[" * 1_000_000)
    await exchange.end()


async def one_body(exchange: Exchange) -> None:
    """A body that never ends, of a server that streams none."""
    await exchange.head(content_type="application/json")
    while True:
        await exchange.raw(b" " * 65536)


@functools.cache
def packed() -> bytes:
    """64 MiB in some hundred bytes. It takes a while to make: only where it is sent."""
    return gzip.compress(gzip.compress(bytes(64 * 1024 * 1024), mtime=0), mtime=0)


async def bomb(exchange: Exchange) -> None:
    """Twice compressed, and a million times as large when it is unpacked."""
    await exchange.head(content_encoding="gzip, gzip", content_length=str(len(packed())))
    await exchange.raw(packed())


async def comments(exchange: Exchange) -> None:
    """Signs of life without end, and never a word."""
    await exchange.head()
    while True:
        await exchange.raw(b": still here\n\n" * 4096)


async def objects(exchange: Exchange) -> None:
    """Objects without end, and never a word in them."""
    await exchange.head()
    while True:
        await exchange.raw(b'data: {"choices": [{"delta": {}}]}\n\n' * 2048)


async def interim(exchange: Exchange) -> None:
    """Interim answers without end (RFC 9110, 15.2)."""
    while True:
        await exchange.raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 1024)


async def fields(exchange: Exchange) -> None:
    """A head without end."""
    await exchange.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.raw(b"a: b\r\n" * 1024)


async def extensions(exchange: Exchange) -> None:
    """A chunk whose extensions have no end (RFC 9112, 7.1.1)."""
    await exchange.begin()
    await exchange.raw(b"1;")
    while True:
        await exchange.raw(b"a=b;" * 1024)


async def drip(exchange: Exchange) -> None:
    """A body that comes byte by byte, and goes on for ever."""
    await exchange.head(content_type="application/json")
    while True:
        await exchange.raw(b" ")
        await anyio.sleep(0.01)


NO_NUMBERS = f'{{"total_tokens": NaN, "cost": 1e999, "more": [-Infinity, {"9" * 5000}], "prompt_tokens": 7}}'


async def no_numbers(exchange: Exchange) -> None:
    """An answer whose usage has what Python takes for numbers, and JSON does not."""
    await exchange.begin()
    await exchange.pieces(PIECES)
    await exchange.data('{"choices": [{"delta": {}, "finish_reason": "stop", "logprobs": NaN}]}')
    await exchange.data(f'{{"choices": [], "usage": {NO_NUMBERS}}}')
    await exchange.data(DONE)
    await exchange.close()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda key: key.replace("-", "\\u002d"),
    "url": lambda key: "".join(f"%{octet:02X}" for octet in key.encode()),
    "html": lambda key: "".join(f"&#{ord(character)};" for character in key),
    "basic": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
}
"""In what forms a key may be repeated."""


async def careless(exchange: Exchange, place: str, form: str) -> None:
    """A server that repeats the key."""
    key = FORMS[form](exchange.request.headers.get("authorization", "").removeprefix("Bearer "))
    told = '{"error": {"message": "no such key: KEY"}}'.replace("KEY", key)
    headers = {"x_request_id": f"for {key}", "openai_organization": key}
    if form == "plain":
        headers[f"openai-{key}"] = "1"
    match place:
        case "refusal":
            await exchange.body(f"401 No {key}", told, content_type="application/json", **headers)
        case "moved":
            await exchange.body("307 Moved", told, location=f"http://192.0.2.1/{key}", **headers)
        case "whole":
            await exchange.body("200 OK", told, content_type="application/json", **headers)
        case "page":
            page = f"<html><title>{key}</title></html>"
            await exchange.body("200 OK", page, content_type="text/html", **headers)
        case "event":
            await exchange.head(transfer_encoding="chunked", **headers)
            await exchange.pieces(PIECES)
            await exchange.data(told)
            await exchange.close()
        case "cut":  # in the middle of the key
            await exchange.head(transfer_encoding="chunked", **headers)
            middle = told.index(key) + len(key) // 2
            await exchange.run(f"data: {told[:middle]}".encode())
            await exchange.stall()
            await exchange.run(f"{told[middle:]}\n\n".encode())
            await exchange.close()
        case "broken":
            await exchange.head(transfer_encoding="chunked", **headers)
            await exchange.pieces(PIECES)
            await exchange.run(f"data: {told[: told.index(key) + len(key) // 2]}".encode())
        case "beside":
            await exchange.head(transfer_encoding="chunked", **headers)
            await exchange.run(f": {key}\n\n".encode())
            for piece in PIECES:
                event = {"id": key, key: 1, "choices": [{"index": 0, "delta": {"content": piece}}]}
                await exchange.data(json.dumps(event).replace("\\\\", "\\"))  # its escapes are its own
            await exchange.event(
                choices=[{"index": 0, "delta": {"role": key}, "finish_reason": f"length {key}"}],
                usage={"total_tokens": 1, "for": key, key: 2},
            )
            await exchange.data(DONE)
            await exchange.close()


PLAYS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    play.__name__.replace("_", "-"): play
    for play in (
        *(
            ok,
            slow,
            stall,
            goes_on,
            silent,
            keep_alive,
            late,
            truncate,
            reset,
            reset_at_once,
            lost_at_first,
            no_finish,
            no_done,
        ),
        *(
            malformed,
            odd,
            error_inside,
            reasoning,
            emoji,
            length,
            content_filter,
            whole,
            html,
            too_long,
            echo_key,
            as_asked,
            tools,
            two,
            huge,
            patient,
            hanging,
            cut_short,
            after_an_error,
            zipped,
            elsewhere,
            *(controls, odd_headers, two_lengths, one_line, one_body, many_values, many_levels),
            *(large_picture, huge_picture, huge_lines),
            *(bomb, comments, objects, interim, fields, extensions, drip, no_numbers),
        ),
    )
}
"""What each model name does.

Beside them: `status-CODE` always answers with that status, `flaky-CODE-N` does so N times before it behaves,
and `count-N` sends N pieces as fast as it can.
"""


SERIES = ("status", "flaky", "count", "busy", "loading", "forbids", "moved", "careless")
"""What the names of further models begin with: see `play`."""

BUSY: dict[str, dict[str, Any]] = {
    "header": {"message": "slow down", "retry_after": 7},
    "words": {"message": "Rate limit reached. Please try again in 1m2.5s. Visit us."},
    "delay": {"message": "quota", "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]},
    "long": {"message": "slow down", "retry_after": 3600},
    "billing": {"message": "Please try again in 4.5s. Upgrade at https://example.com/settings/billing"},
    "within": {"message": '{"error": {"details": [{"retryDelay": "5s"}]}}'},
    "spent": {"message": "You exceeded your current quota", "type": "insufficient_quota", "retry_after": 7},
}
"""How an endpoint says that it is busy."""


async def status(exchange: Exchange, code: str, **headers: str) -> None:
    error = {"error": {"message": f"this is a scripted {code}", "type": "scripted"}}
    await exchange.body(f"{code} Scripted", json.dumps(error), content_type="application/json", **headers)


async def refuse(exchange: Exchange, code: int, **error: Any) -> None:
    """A refusal in OpenAI's form, or with an error in another one."""
    fields = {"content_type": "application/json"}
    if wait := error.pop("retry_after", None):
        fields["retry_after"] = str(wait)
    await exchange.body(f"{code} Refused", json.dumps(error.pop("body", {"error": error})), **fields)


async def forbidding(exchange: Exchange, how: str) -> None:
    """Endpoints that do not take a field of the request: each names it, or does not, in its own way."""
    asked = exchange.request.body
    options, stream = "stream_options" in asked, bool(asked.get("stream"))
    match how:
        case "detail" if options:
            where = {
                "type": "extra_forbidden",
                "loc": ["body", "stream_options", "include_usage"],
                "msg": "Extra inputs",
            }
            await refuse(exchange, 422, body={"message": {"detail": [where]}})
        case "param" if options:
            await refuse(exchange, 400, message="Unsupported parameter.", param="stream_options")
        case "unnamed" if options:
            await refuse(exchange, 400, message="Unrecognized request argument supplied")
        case "both" if options:
            await refuse(exchange, 400, message="stream_options is not supported")
        case "both" | "stream" if stream:
            await refuse(
                exchange, 400, message="Your organization must be verified to stream this model.", param="stream"
            )
        case "value":
            await refuse(exchange, 400, message="Invalid value for parameter temperature: 9")
        case "another":
            await refuse(exchange, 400, message="Unsupported parameter: 'max_tokens'", param="max_tokens")
        case "inside" if options:
            await exchange.begin()
            await exchange.event(error={"message": "Unrecognized request argument supplied: stream_options"})
            await exchange.close()
        case "all":
            await refuse(exchange, 400, message="stream_options and stream are unknown fields")
        case _:
            await (ok if stream else whole)(exchange)


async def play(exchange: Exchange) -> None:
    """Answers one request as its model's name says."""
    model = exchange.request.model
    match model.split("-"):
        case ["status", code]:
            await status(exchange, code, x_request_id="r-1", openai_version="v", x_secret="s", retry_after="0")
        case ["flaky", code, times]:
            exchange.server.tries[model] += 1
            failing = exchange.server.tries[model] <= int(times)
            await (status(exchange, code, retry_after="0") if failing else ok(exchange))
        case ["busy", how]:  # with words that name a wait, the first time
            exchange.server.tries[model] += 1
            if exchange.server.tries[model] == 1:
                await refuse(exchange, 429, **BUSY[how])
            else:
                await ok(exchange)
        case ["loading", times]:
            exchange.server.tries[model] += 1
            if exchange.server.tries[model] <= int(times):
                await refuse(exchange, 503, message="Loading model", type="unavailable_error")
            else:
                await ok(exchange)
        case ["forbids", how]:
            await forbidding(exchange, how)
        case ["moved", code, where]:
            if exchange.request.path.startswith("/v1/"):
                port = exchange.server.port
                there = {
                    "here": "/new/v1/chat/completions",
                    "whole": f"http://127.0.0.1:{port}/new/v1/chat/completions?a=b",
                    "away": "http://192.0.2.1/v1/chat/completions",
                    "port": f"http://127.0.0.1:{port + 1}/v1/chat/completions",
                    "circle": "/v1/chat/completions",
                    "tls": exchange.server.moved,
                }[where]
                await exchange.body(f"{code} Moved", "", location=there)
            else:
                await ok(exchange)
        case ["careless", place, form]:
            await careless(exchange, place, form)
        case ["count", number]:
            await exchange.begin()
            await exchange.pieces([f"{n} " for n in range(int(number))])
            await exchange.end()
        case _:
            await PLAYS[model](exchange)


async def _answer(exchange: Exchange) -> None:
    path = exchange.request.path.partition("?")[0]
    if path.endswith("/models"):
        bare = exchange.server.models == "bare"
        table = [{"id": name} for name in MODELS] if bare else {"object": "list", "data": exchange.server.models}
        await exchange.body("200 OK", json.dumps(table), content_type="application/json")
    elif path.endswith("/api/tags") and exchange.server.listing:
        await PLAYS[exchange.server.listing](exchange)
    elif path.endswith("/api/tags"):
        table = {"models": exchange.server.tags}
        await exchange.body("200 OK", json.dumps(table), content_type="application/json")
    elif script := exchange.server.scripts.get(exchange.request.model):
        await exchange.raw(script)
    elif exchange.request.model in PLAYS or exchange.request.model.split("-")[0] in SERIES:
        await play(exchange)
    else:
        await status(exchange, "404")


async def _read(stream: SocketStream) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
        if data.startswith(TLS_HANDSHAKE):
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise anyio.EndOfStream
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    return Request(method, path, headers, json.loads(body) if body else {})


@contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """As another user, whose the sockets are that are made meanwhile."""
    before = os.geteuid()
    os.seteuid(before if user is None else user)
    try:
        yield
    finally:
        os.seteuid(before)


@asynccontextmanager
async def serve(port: int = 0, *, user: int | None = None, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    """A running endpoint on a loopback port of its own, gone when the block is left; `user` listens there, if given."""
    with acting_as(user):
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    bound = listener.listeners[0].extra(SocketAttribute.local_port)
    server = Server(f"http://127.0.0.1:{bound}/v1")

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                request = await _read(stream)
                server.requests.append(request)
                await _answer(Exchange(stream, server, request))
                server.over.set()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                server.left.set()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield server
        tasks.cancel_scope.cancel()


async def main() -> None:
    async with serve() as server:
        sys.stdout.write(server.base_url + "\n")
        sys.stdout.flush()
        await anyio.wait_readable(sys.stdin)


if __name__ == "__main__":
    anyio.run(main)
