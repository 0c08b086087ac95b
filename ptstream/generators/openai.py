"""Any OpenAI-compatible endpoint: its chat completions as a generator, and the names of its models.

An answer is whole only if the endpoint gave a finish reason. Time-outs belong to whoever drives: a keep-alive
comment yields nothing, so that it does not count as progress.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import count
from typing import Any

import anyio
import httpx
import httpx_sse

from ptstream.errors import GeneratorDropped, GeneratorError
from ptstream.generators import Event, Generation, Note, Reasoning, Usage
from ptstream.generators.connection import Refused, Upstream, client_for, get_json, said, send, shorten
from ptstream.generators.surrogates import Surrogates

TRIES = 3
"""How often an endpoint is asked, in all."""

FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is four times as long, unless the endpoint names one."""

LONGEST_WAIT = 30.0
"""Seconds: an endpoint that wants to be left alone for longer has refused."""

AFTERWARDS = 2.0
"""Seconds that usage may follow the finish reason. The text is whole by then and must not be held up."""

AT_ONCE = 64 * 1024 * 1024
"""Bytes that an endpoint may send without an event, or as an answer in one body: who sends more means no good."""

JSON = "application/json"
"""The kind of an answer in one body."""

DONE = "[DONE]"
"""What closes a stream of events. It is no proof of a whole answer."""

BAD_ENDS = {
    "content_filter": "withheld the rest of the answer (content filter)",
    "error": "gave up in the middle of the answer",
}
"""Finish reasons that end no answer well."""

Message = Mapping[str, str]
"""One turn of a conversation: `role` (system, user, assistant) and `content`."""

Sleep = Callable[[float], Awaitable[None]]


async def chat(
    upstream: Upstream,
    model: str,
    messages: Sequence[Message],
    *,
    options: Mapping[str, Any] | None = None,
    tries: int = TRIES,
    sleep: Sleep = anyio.sleep,
) -> Generation:
    """The answer of `model` to `messages`, piece by piece.

    `options` are further fields of the request (temperature, max_tokens). An endpoint that is busy or not there
    yet is asked `tries` times in all, before its first word only. Raises GeneratorError when it refuses, breaks
    off, or says something that is not an answer; ConfigurationError for an address or a key that is none.
    """
    async with client_for(upstream) as client:
        request = _request(client, upstream, model, messages, options or {})
        for trial in count(1):
            begun = False
            try:
                response = await send(client, request, upstream)
                async with aclosing(response), aclosing(_answer(response, upstream)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except Refused as refusal:
                wait, note = _patience(refusal, trial, tries)
            except GeneratorDropped as dropped:  # before its first word it is as good as refused
                if begun or trial >= tries:
                    raise
                wait, note = _patience(Refused(str(dropped), again=True), trial, tries)
            yield note
            await sleep(wait)


async def models(upstream: Upstream) -> list[str]:
    """The names of the models that the endpoint offers, in its own order. Raises GeneratorError."""
    table = await get_json(upstream, upstream.url("models"))
    try:
        return [str(entry["id"]) for entry in table["data"] or ()]
    except (TypeError, KeyError) as error:
        raise GeneratorError(f"{upstream.host} does not say which models it has") from error


def _request(
    client: httpx.AsyncClient,
    upstream: Upstream,
    model: str,
    messages: Sequence[Message],
    options: Mapping[str, Any],
) -> httpx.Request:
    body = {"model": model, "messages": messages, **options}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    # json.dumps escapes what is not ASCII, so that half an emoji in a prompt does not fail to encode.
    content = json.dumps(body).encode("ascii")
    url = upstream.url("chat/completions")
    return client.build_request("POST", url, content=content, headers={"Content-Type": "application/json"})


def _patience(refusal: Refused, trial: int, tries: int) -> tuple[float, Note]:
    """How long to wait before asking again, and what to say meanwhile. Raises `refusal` where it is final."""
    wait = FIRST_WAIT * 4 ** (trial - 1) if refusal.wait is None else refusal.wait
    if refusal.again and wait > LONGEST_WAIT:
        raise Refused(f"{refusal}; it wants to be left alone for {wait:g} s")
    if not refusal.again or trial >= tries:
        raise refusal
    return wait, Note(f"{refusal}; asking again in {wait:g} s")


async def _answer(response: httpx.Response, upstream: Upstream) -> Generation:
    answer = Answer(upstream)
    async with aclosing(events_of(response, upstream)) as events:
        # Once the finish reason is there, the text is whole, whatever becomes of the connection.
        while not answer.finish_reason and (data := await anext(events, None)) is not None:
            for event in answer.read(data):
                yield event
        with anyio.move_on_after(AFTERWARDS), suppress(GeneratorError):
            async for data in events:
                answer.read_usage(data)
    for event in answer.end():
        yield event


def kind_of(response: httpx.Response) -> str:
    """The media type, without its parameters."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


async def events_of(response: httpx.Response, upstream: Upstream) -> AsyncGenerator[str]:
    """The data of each event, or the one body of an endpoint that does not stream.

    Raises GeneratorError for another kind of body, GeneratorDropped for one that breaks off.
    """
    kind, body = kind_of(response), _Body(response, upstream)
    try:
        if kind == JSON:
            yield b"".join([run async for run in body]).decode("utf-8", "replace")
        elif kind == "text/event-stream":
            bounded = httpx.Response(response.status_code, headers={"content-type": kind}, stream=body)
            async with aclosing(httpx_sse.EventSource(bounded).aiter_sse()) as events:
                async for event in events:
                    body.size = 0
                    if event.data:
                        yield event.data
        else:
            raise GeneratorError(f"{upstream.host} answered with {kind or 'something'} instead of a stream of events")
    except httpx.HTTPError as error:
        reason = str(error) or "the connection was lost"
        raise GeneratorDropped(f"{upstream.host} broke off before the answer's end: {reason}") from error


class _Body(httpx.AsyncByteStream):
    """The body of an answer, decoded, as far as it may go. Raises GeneratorError."""

    def __init__(self, response: httpx.Response, upstream: Upstream) -> None:
        self._response = response
        self._upstream = upstream
        self.size = 0
        """Bytes since somebody set it to 0."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for run in self._response.aiter_bytes():
            self.size += len(run)
            if self.size > AT_ONCE:
                raise GeneratorError(f"{self._upstream.host} sends without end what is no part of an answer")
            yield run


class Answer:
    """One answer as it comes in: turns the events' data into ours and remembers whether the end was given.

    Of several choices it is the first.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.finish_reason: str | None = None
        self._upstream = upstream
        self._usage: Mapping[str, Any] | None = None
        self._text = Surrogates()
        self._thoughts = Surrogates()

    def read(self, data: str) -> Iterator[Event]:
        """What one event says. Raises GeneratorError for an error in it, and for what is no event at all."""
        if data == DONE:
            raise GeneratorDropped(f"{self._upstream.host} ended its answer without a finish reason")
        message = self._message(data)
        choice = self._first(message.get("choices"))
        delta = self._table(choice.get("delta") or choice.get("message"))
        if thought := self._thoughts.feed(self._string(delta.get("reasoning_content") or delta.get("reasoning"))):
            yield Reasoning(thought)
        if text := self._text.feed(self._string(delta.get("content"))):
            yield text
        self.finish_reason = self._string(choice.get("finish_reason")) or None
        if self.finish_reason in BAD_ENDS:
            raise GeneratorError(f"{self._upstream.host} {BAD_ENDS[self.finish_reason]}")

    def read_usage(self, data: str) -> None:
        """What an event after the finish reason says: all but its usage is over and done with."""
        if data != DONE:
            self._message(data)

    def end(self) -> Iterator[Event]:
        """What is left to say. Raises GeneratorError if the answer is not whole."""
        if text := self._text.end():
            yield text
        if self._usage:
            yield Usage(self._usage)
        if self.finish_reason is None:
            raise GeneratorDropped(f"{self._upstream.host} closed the connection before the answer's end")
        if self.finish_reason == "length":
            yield Note("the answer was cut off: it reached the limit of its length in tokens")

    def _message(self, data: str) -> dict[str, Any]:
        try:
            message = self._table(json.loads(data))
        except ValueError as error:
            raise self._malformed(data) from error
        if message.get("error"):
            raise GeneratorError(f"{self._upstream.host} reported an error: {self._upstream.redact(said(data))}")
        # Some endpoints count on with every event: the last word is the one that holds.
        self._usage = self._table(message.get("usage")) or self._usage
        return message

    def _first(self, choices: Any) -> dict[str, Any]:
        """The choice that an event is about, if that is the first."""
        tables = map(self._table, choices if isinstance(choices, list) else ())
        return next((table for table in tables if table.get("index") in (None, 0)), {})

    def _table(self, value: Any) -> dict[str, Any]:
        if value is None or isinstance(value, dict):
            return value or {}
        raise self._malformed(json.dumps(value))

    def _string(self, value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        raise self._malformed(json.dumps(value))

    def _malformed(self, data: str) -> GeneratorError:
        begin = self._upstream.redact(shorten(data))[:80]
        return GeneratorError(f"{self._upstream.host} sent something that is not part of an answer: {begin!r}")
