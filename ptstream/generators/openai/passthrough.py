"""One request to an endpoint in a client's own words: the answer's bytes go on to the client, its text is generated.

Nothing is asked twice, and nothing of the answer is changed but that our key is taken out where a server repeats it, of
everything but the text. Where the bytes wait for the client is not its business; what the answer says is `openai`'s.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import anyio
import httpx

from ptstream.errors import GeneratorError, GeneratorTimeout
from ptstream.generators import Generation
from ptstream.generators.openai.answer import Answer
from ptstream.generators.openai.chat import AFTERWARDS, JSON, events_of, items_of
from ptstream.generators.openai.connection import client_for, opened
from ptstream.generators.openai.event_stream import Body
from ptstream.generators.openai.redaction import Redaction
from ptstream.generators.openai.refusals import refused
from ptstream.generators.openai.response_filter import RedactedBody, redacted_refusal
from ptstream.generators.openai.upstream import COMPLETIONS, Upstream

if TYPE_CHECKING:
    from ptstream.generators.models.resolve import Target

REFUSAL_BYTES = 1024 * 1024
"""How much of a refusal is passed on."""

PASSED = frozenset(("content-type", "content-length", "retry-after", "retry-after-ms", "x-should-retry"))
PASSED_BEGINNINGS = ("x-request-id", "openai-", "x-ratelimit-")
"""The headers of an answer that mean something to a client. No address to go to instead: that would get its token."""


VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What a header may hold (RFC 9110, 5.5)."""


class Onward(Protocol):
    """Where an answer goes on to: see `daemon.passage`."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer."""

    def put(self, data: bytes) -> None:
        """More of its body."""

    def end(self) -> None:
        """That was all of it."""

    def close(self) -> None:
        """Nothing more comes; what has not been ended is broken off."""


async def relay(target: Target, content: bytes, onward: Onward, *, patience: float | None = None) -> Generation:
    """The text of the answer to the request `content`, while all of the answer goes `onward`.

    What goes onward has been generated before. `patience` is how many seconds may pass without a byte. An empty piece
    is a sign of life of an answer that says something else than text. Raises GeneratorError as `openai.chat` does.
    """
    try:
        async with target.reach() as upstream, client_for(upstream) as client:
            headers = {"Content-Type": JSON}
            request = client.build_request("POST", upstream.url(COMPLETIONS), content=content, headers=headers)
            with _within(patience, upstream):
                response = await opened(client, request, upstream)
            async with aclosing(response):
                if not response.is_success:
                    await _refuse(response, upstream, onward, patience)
                async with aclosing(_pass(response, upstream, onward, patience)) as events:
                    async for event in events:
                        yield event
    finally:
        onward.close()


async def _pass(response: httpx.Response, upstream: Upstream, onward: Onward, patience: float | None) -> Generation:
    redaction = upstream.redaction()
    headers = _headers(response, redaction)
    if redaction:  # what is taken out changes the length
        headers.pop("content-length", None)
    onward.begin(_status(response), headers)
    onward = _Redacted(onward, redaction)
    tee = _Tee(response, upstream, onward, patience)
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
        onward.end()
    if fault:
        raise fault


class _Redacted:
    """Onward, but for our secrets."""

    def __init__(self, onward: Onward, redaction: Redaction) -> None:
        self._onward = onward
        self._body = RedactedBody(redaction)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """See `Onward`."""
        self._onward.begin(status, headers)

    def put(self, data: bytes) -> None:
        """See `Onward`."""
        if data := self._body.feed(data):
            self._onward.put(data)

    def end(self) -> None:
        """See `Onward`."""
        if data := self._body.end():
            self._onward.put(data)
        self._onward.end()

    def close(self) -> None:
        """See `Onward`."""
        self._onward.close()


class _Tee(httpx.AsyncByteStream):
    """The body of an answer: each run goes onward when its reader asks for the next, having kept what it says.

    Of a body that says nothing before its end, the last run goes onward when all has been read.
    """

    def __init__(self, response: httpx.Response, upstream: Upstream, onward: Onward, patience: float | None) -> None:
        self.response = httpx.Response(response.status_code, headers=response.headers, stream=self)
        self.body = Body()
        """Reads what it says."""
        self.whole = False
        """Whether all of it has come."""
        self._raw = response.aiter_raw()
        self._upstream = upstream
        self._onward = onward
        self._patience = patience
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
        with _within(self._patience, self._upstream):
            data = await anext(self._raw, None)
        if data is None:
            self.whole = True
            raise StopAsyncIteration
        self._over = False
        self._hand_over()
        self._held = data
        return data

    async def more(self) -> bool:
        """Let one more run go onward, of what its reader left unread. False when there is none."""
        self._hand_over()
        with suppress(httpx.HTTPError), anyio.move_on_after(AFTERWARDS):
            return await anext(self, None) is not None
        return False

    def _hand_over(self) -> None:
        if self._held:
            self._onward.put(self._held)
            self._held = b""


async def _refuse(response: httpx.Response, upstream: Upstream, onward: Onward, patience: float | None) -> None:
    """Pass on an answer that is none, without the key, which a careless server repeats. Raises Refused."""
    body = b""
    with suppress(httpx.HTTPError), _within(patience, upstream):  # the status says enough
        async for data in response.aiter_bytes():
            body += data
            if len(body) > REFUSAL_BYTES:
                break
    redaction = upstream.redaction()
    content = redacted_refusal(redaction, body, whole=len(body) <= REFUSAL_BYTES)
    onward.begin(_status(response), _headers(response, redaction) | {"content-length": str(len(content))})
    onward.put(content)
    onward.end()
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


@contextmanager
def _within(seconds: float | None, upstream: Upstream) -> Iterator[None]:
    """Raises GeneratorTimeout."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        setting = "first_timeout, or what is usual"
        raise GeneratorTimeout(f"{upstream.host} said nothing for {seconds:g} s ({setting})") from error
