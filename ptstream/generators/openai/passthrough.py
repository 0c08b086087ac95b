"""A client's own request passed on to an endpoint: the response passes through to the client, its text is generated.

Nothing is asked twice, and nothing of the response is changed but that our key is taken out where a server repeats it
(`response_filter`), of everything but the text. Where the bytes wait for the client is left to the sink that they are
given; what the answer says, to `answer_reader`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Protocol

import anyio
import httpx

from ptstream.errors import GeneratorError, GeneratorTimeout
from ptstream.generators import Generation
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.answer import Answer
from ptstream.generators.openai.answer_reader import events_of, items_of
from ptstream.generators.openai.event_stream import EventStream
from ptstream.generators.openai.http_client import client_for, opened
from ptstream.generators.openai.redaction import Redaction
from ptstream.generators.openai.refusals import refused
from ptstream.generators.openai.request import post
from ptstream.generators.openai.response_filter import ResponseFilter, redacted_refusal
from ptstream.generators.openai.upstream import Upstream

if TYPE_CHECKING:
    from ptstream.generators.models.target import ModelTarget

REFUSAL_BYTES = 1024 * 1024
"""How much of a refusal is passed on."""

PASSED = frozenset(("content-type", "content-length", "retry-after", "retry-after-ms", "x-should-retry"))
PASSED_BEGINNINGS = ("x-request-id", "openai-", "x-ratelimit-")
"""The headers of an answer that mean something to a client. No address to go to instead: that would get its token."""


VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What a header may hold (RFC 9110, 5.5)."""


class ResponseSink(Protocol):
    """Where a response goes to: the client of the daemon's `/v1`."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Its status and headers."""

    def put(self, data: bytes) -> None:
        """More of its body."""

    def end(self) -> None:
        """That was all of it."""

    def close(self) -> None:
        """Nothing more comes; what has not been ended is broken off."""


async def pass_through(
    target: ModelTarget, content: bytes, sink: ResponseSink, *, timeout: float | None = None
) -> Generation:
    """The text of the answer to the request `content` (JSON), while the whole response goes to `sink`.

    What goes there has been generated before. `timeout` is how many seconds may pass without a byte. An empty piece is
    what comes while an answer brings something else than text. Raises GeneratorError as `chat` does,
    GeneratorTimeout.
    """
    try:
        async with target.reach() as upstream, client_for(upstream) as client:
            with endpoint_timeouts.limit(timeout, upstream.host):
                response = await opened(client, post(client, upstream, content), upstream)
            async with aclosing(response):
                if not response.is_success:
                    await _refuse(response, upstream, sink, timeout)
                async with aclosing(_pass(response, upstream, sink, timeout)) as events:
                    async for event in events:
                        yield event
    finally:
        sink.close()


async def _pass(response: httpx.Response, upstream: Upstream, sink: ResponseSink, timeout: float | None) -> Generation:
    redaction = upstream.redaction()
    headers = _headers(response, redaction)
    if redaction:  # what is taken out changes the length
        headers.pop("content-length", None)
    sink.begin(_status(response), headers)
    sink = _Redacted(sink, redaction)
    tee = _Tee(response, upstream, sink, timeout)
    answer = Answer(upstream)
    fault = None
    try:
        items = items_of(tee.response.aiter_bytes(), tee.body, answer, upstream)
        async with aclosing(events_of(items, answer, local=upstream.local)) as events:
            async for event in events:
                yield event
    except GeneratorTimeout:
        raise
    except GeneratorError as error:  # what we cannot make sense of, its client may
        fault = error
    while await tee.more():
        yield ""
    if tee.whole or answer.closed:
        sink.end()
    if fault:
        raise fault


class _Redacted:
    """A sink that is given all but our secrets."""

    def __init__(self, sink: ResponseSink, redaction: Redaction) -> None:
        self._sink = sink
        self._body = ResponseFilter(redaction)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """See `ResponseSink`."""
        self._sink.begin(status, headers)

    def put(self, data: bytes) -> None:
        """See `ResponseSink`."""
        if data := self._body.feed(data):
            self._sink.put(data)

    def end(self) -> None:
        """See `ResponseSink`."""
        if data := self._body.end():
            self._sink.put(data)
        self._sink.end()

    def close(self) -> None:
        """See `ResponseSink`."""
        self._sink.close()


class _Tee(httpx.AsyncByteStream):
    """The body of an answer: each run goes to the sink when its reader asks for the next, having kept what it says.

    Of a body that says nothing before its end, the last run goes there when all has been read.
    """

    def __init__(self, response: httpx.Response, upstream: Upstream, sink: ResponseSink, timeout: float | None) -> None:
        self.response = httpx.Response(response.status_code, headers=response.headers, stream=self)
        self.body = EventStream()
        """Reads what it says."""
        self.whole = False
        """Whether all of it has come."""
        self._raw = response.aiter_raw()
        self._upstream = upstream
        self._sink = sink
        self._timeout = timeout
        self._held = b""
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.body.spoke:
            self._hand_over()
        if self._over:
            raise StopAsyncIteration
        self._over = True  # unless more comes, in order
        with endpoint_timeouts.limit(self._timeout, self._upstream.host):
            data = await anext(self._raw, None)
        if data is None:
            self.whole = True
            raise StopAsyncIteration
        self._over = False
        self._hand_over()
        self._held = data
        return data

    async def more(self) -> bool:
        """Let one more run go to the sink, of what its reader has not read yet. False when there is none."""
        self._hand_over()
        with suppress(httpx.HTTPError), anyio.move_on_after(endpoint_timeouts.AFTER_FINISH_REASON):
            return await anext(self, None) is not None
        return False

    def _hand_over(self) -> None:
        if self._held:
            self._sink.put(self._held)
            self._held = b""


async def _refuse(response: httpx.Response, upstream: Upstream, sink: ResponseSink, timeout: float | None) -> None:
    """Pass on an answer that is none, without the key, which a careless server repeats. Raises Refused."""
    body = b""
    with suppress(httpx.HTTPError), endpoint_timeouts.limit(timeout, upstream.host):  # the status says enough
        async for data in response.aiter_bytes():
            body += data
            if len(body) > REFUSAL_BYTES:
                break
    redaction = upstream.redaction()
    content = redacted_refusal(redaction, body, whole=len(body) <= REFUSAL_BYTES)
    sink.begin(_status(response), _headers(response, redaction) | {"content-length": str(len(content))})
    sink.put(content)
    sink.end()
    raise refused(response, body, upstream)


def _status(response: httpx.Response) -> int:
    """One that there is: any other stands for a server's fault (RFC 9110, 15)."""
    return response.status_code if response.status_code < 600 else 502


def _headers(response: httpx.Response, redaction: Redaction) -> dict[str, str]:
    """As they came: bytes, which Latin-1 gives back. Those with a value that no header may have are left out.

    So are those that have one of our secrets in their name.
    """
    pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw)
    passed = ((name, value) for name, value in pairs if name in PASSED or name.startswith(PASSED_BEGINNINGS))
    headers = {
        name: redaction.of(value) for name, value in passed if VALUE.fullmatch(value) and not redaction.holds(name)
    }
    if "transfer-encoding" in response.headers:  # which says where the body ends (RFC 9112, 6.3)
        headers.pop("content-length", None)
    return headers
