"""One connection to a daemon, by whatever way: requests, answers, texts and events, each within its bounds.

What is asked is `control`'s and `there`'s business; who answers may be another machine, and is not trusted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import httpx_sse

from ptstream import strict_json, wire
from ptstream.errors import BadAnswer, ConnectionBroken, DaemonUnreachable, PtstreamError
from ptstream.origins import shown
from ptstream.streams_protocol import NumberedRemark

GATEWAY = (502, 503, 504)
"""What a proxy answers whose daemon it does not reach (RFC 9110, 15.6): asked again, it may."""

ANSWER_BYTES = 64 * 1024 * 1024
"""How long an answer, or an event, may be that is read whole: who answers may be another machine."""


@dataclass(slots=True, eq=False)
class Client:
    """A connection to one daemon, which is at `place`. Made by `unix_socket`, `launch`, `ssh` and `https`."""

    place: str
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, fields: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON object that is answered; `fields` are the request's.

        Raises DaemonUnreachable, BadAnswer, and whatever error the daemon answers.
        """
        body = await self.answer(method, path, fields, query)
        try:
            answer = strict_json.loads(body)
        except ValueError as error:
            raise BadAnswer(f"the daemon at {self.place} answered something that is no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise BadAnswer(f"the daemon at {self.place} answered something that is no JSON object")
        return answer

    async def answer(self, method: str, path: str, fields: Any = None, query: Mapping[str, Any] | None = None) -> bytes:
        """The body that is answered. Raises as `ask` does."""
        content = None if fields is None else wire.dumps(fields)
        try:
            async with self.http.stream(method, path, content=content, params=query) as response:
                body = await self.whole(response)
        except httpx.TransportError as error:
            raise DaemonUnreachable(f"the daemon at {self.place} does not answer: {shown(error)}") from error
        if not response.is_success:
            raise self.failure(response, body)
        return body

    def failure(self, response: httpx.Response, body: bytes) -> PtstreamError:
        """The error that an answer carries, or is, where something else answers, as a gateway does.

        The token, which that may repeat, is not shown.
        """
        if token := self.http.headers.get("authorization", "").removeprefix("Bearer "):
            body = body.replace(token.encode(), "…".encode())
        said = f"{response.status_code} {response.reason_phrase}"
        error = wire.error_from(body, f"what answers at {self.place} says {said}:")
        if response.status_code in GATEWAY and type(error) is PtstreamError:  # not of the daemon's own
            return DaemonUnreachable(str(error))
        return error

    async def whole(self, response: httpx.Response) -> bytes:
        """All of an answer. Raises BadAnswer for one without end."""
        runs, size = [], 0
        async for data in response.aiter_raw():
            runs.append(data)
            size += len(data)
            if size > ANSWER_BYTES:
                raise BadAnswer(_endless(self.place))
        return b"".join(runs)

    async def text(self, id: str, offset: int, *, stored: bool = False) -> AsyncGenerator[bytes, None]:
        """The stream's bytes from `offset` as they come, to its end; `stored`: whole sentences out of the store.

        Raises ConnectionBroken when the body did not end in order, StreamNotFound, OffsetBeyondEnd.
        """
        try:
            query = {"offset": str(offset), "live": "1"} | ({"stored": "1"} if stored else {})
            async with self.http.stream("GET", wire.TEXT.format(id=id), params=query) as response:
                if response.status_code != 200:
                    raise self.failure(response, await self.whole(response))
                async for data in response.aiter_raw():
                    yield data
        except httpx.TransportError as error:
            raise ConnectionBroken(f"the connection to the daemon at {self.place} broke") from error

    async def remarks(self, id: str, after: int = 0) -> AsyncGenerator[NumberedRemark, None]:
        """Reasoning and notes of the running attempt, after that number, until it ends.

        Raises ConnectionBroken, BadAnswer.
        """
        headers = {"last-event-id": str(after)}
        try:
            async with httpx_sse.aconnect_sse(self.http, "GET", wire.REMARKS.format(id=id), headers=headers) as events:
                events.response.stream = _Lines(events.response.stream, self.place)
                async for event in events.aiter_sse():
                    yield self._said(event)
        except httpx.TransportError as error:
            raise ConnectionBroken(f"the connection to the daemon at {self.place} broke") from error

    def _said(self, event: httpx_sse.ServerSentEvent) -> NumberedRemark:
        try:
            said = NumberedRemark(event.event, strict_json.loads(event.data), int(event.id))
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"the daemon at {self.place} says something that is none of its events: {error}") from error
        if not isinstance(said.text, str):
            raise BadAnswer(f"the daemon at {self.place} says something that is none of its events: no text")
        return said


class _Lines(httpx.AsyncByteStream):
    """A body of lines. Raises BadAnswer for a line without end."""

    def __init__(self, body: httpx.AsyncByteStream | httpx.SyncByteStream, place: str) -> None:
        assert isinstance(body, httpx.AsyncByteStream)
        self._body = body
        self._place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._body:
            size = size + len(data) if b"\n" not in data else len(data)
            if size > ANSWER_BYTES:
                raise BadAnswer(_endless(self._place))
            yield data

    async def aclose(self) -> None:
        """Close it."""
        await self._body.aclose()


def _endless(place: str) -> str:
    return (
        f"what answers at {place} is no daemon of this version: it sends more than {ANSWER_BYTES // 2**20} MiB at once"
    )
