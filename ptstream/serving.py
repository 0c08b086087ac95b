"""A stream as an HTTP answer of an app's own: its text as it comes, or server-sent events.

Who asks is a reader like any other: its going stops nothing. A body that ends in order has all of its stream: what is
cut short, by a bad end or because the process is told to end, is broken off, and can be asked for again. CORS, and who
may ask, is the app's business.

What a request accepts (RFC 9110, 12.5.1) decides between the two. `text/event-stream` is handed on as it comes even by
those proxies that collect every other body; with the parameter `until=now` it holds what there is, and then ends: for
those that collect everything, and for whoever has no connection to spare.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ptstream import wire
from ptstream.errors import ENDS, PtstreamError
from ptstream.interrupts import Interruptible
from ptstream.streams import Piece, Stream

EVENTS = "text/event-stream"

TEXT = "text/plain"

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment keeps the proxies on the way from hanging up."""

PART = 4 * 1024
"""Bytes, or characters, that one event holds at most: when a line breaks, what has come of one is lost."""

HEADERS = {
    "cache-control": "no-store, no-transform",  # whoever compresses on the way would hold pieces back, too
    "x-accel-buffering": "no",  # nginx would hold pieces back
    "x-content-type-options": "nosniff",  # the text is nobody's page
}

web = Path(__file__).parent / "web"
"""The directory of `ptstream.js` and `react.js`, for an app to serve: `StaticFiles(directory=ptstream.web)`."""

BAD_ENDS = tuple(ENDS.values())


def wants_events(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for events by name."""
    return any(kind == EVENTS for kind, *_ in _accepted(headers))


def until_now(headers: Mapping[str, str]) -> bool:
    """Whether it asks for those alone that there are."""
    return any(kind == EVENTS and "until=now" in parameters for kind, *parameters in _accepted(headers))


def _accepted(headers: Mapping[str, str]) -> Iterator[list[str]]:
    for media_range in headers.get("accept", "").lower().split(","):
        yield [word.strip() for word in media_range.split(";")]


class Pieces(AsyncIterable[Piece], Protocol):
    """What is read: see `library.Pieces`."""

    async def begin(self) -> None: ...


@dataclass(frozen=True)
class Read:
    """One request's reading of a stream: from byte `offset`, what is to come, where the text ends now, and the end.

    `again` is the same from another offset. Raises StreamNotFound, UsageError, OffsetBeyondEnd.
    """

    id: str
    pieces: Pieces
    size: Callable[[], Awaitable[int]]
    end: Callable[[], Awaitable[Stream]]
    again: Callable[[str], Awaitable[Read]]
    offset: int = 0


class Answer(StreamingResponse):
    """The answer to one request, of `media_type` unless that asks for events: sent as it comes, or until it is told
    that the process is to end. A drive has begun before its first byte goes out: who has that can leave.

    Text ends in order with a stream that is `done`; by any other end it is broken off. Events end with `end`. Their
    request's Last-Event-ID says where to go on, whatever offset was asked for at first: so does a browser's EventSource
    when its connection is gone. One that has had the `end` is answered with 204, and asks no more (WHATWG HTML, 9.2.3).
    """

    def __init__(self, id: str, read: Callable[[], Awaitable[Read]], media_type: str, under_way: Interruptible) -> None:
        """What `read` raises, when the answer is sent, is what the answer says."""
        self._begin = read
        self._under_way = under_way
        super().__init__((), media_type=media_type, headers=HEADERS | {"stream-id": id})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            read = await self._begin()
            await read.pieces.begin()
            headers = Headers(scope=scope)
            if self.media_type == EVENTS or wants_events(headers):
                await self._give_events(read, headers)
            else:
                self.body_iterator = _text(read.pieces)
        except PtstreamError as error:
            return await error_response(error)(scope, receive, send)
        return await super().__call__(scope, receive, send)

    async def _give_events(self, read: Read, headers: Mapping[str, str]) -> None:
        self.media_type, self.headers["content-type"] = EVENTS, f"{EVENTS}; charset=utf-8"
        if last := headers.get("last-event-id"):
            end = await read.end()
            if end.status.ended and last == _end_id(end):
                self.status_code = 204
            read = await read.again(last)
        self.body_iterator = _events(read, await read.size() if until_now(headers) else None)

    async def stream_response(self, send: Send) -> None:
        """Without its last message, the server breaks the connection off."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self.status_code == 204 or await self._sent(send) or self.media_type == EVENTS:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _sent(self, send: Send) -> bool:
        with self._under_way.scope(), contextlib.suppress(*BAD_ENDS):
            async for data in self.body_iterator:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            return True
        return False


def error_response(error: PtstreamError) -> Response:
    """What stands in the way."""
    return Response(wire.error_body(error), error.http_status, media_type="application/json")


async def _text(pieces: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece.text.encode()


async def _events(read: Read, until: int | None = None) -> AsyncIterator[bytes]:
    """Each piece as an event, its `id` the offset where it ends and its data a JSON string; then the event `end`.

    Until byte `until` of the text, if there is one.
    """
    yield b": here\n\n"  # now it is known that nothing on the way collects them
    offset = read.offset
    async for piece in _or_silence(read.pieces if until is None else _up_to(read.pieces, offset, until)):
        if piece is None:
            yield b": still there\n\n"
        else:
            offset = piece.offset
            for part in _parts(piece):
                yield b"id: %016d\ndata: %s\n\n" % (part.offset, wire.dumps(part.text))
    ended = await read.end()
    if ended.status.ended and offset >= ended.bytes:
        told = {"status": ended.status.value, "error": ended.error, "note": ended.note, "offset": ended.bytes}
        yield b"event: end\nid: %s\ndata: %s\n\n" % (_end_id(ended).encode(), wire.dumps(told))


async def _up_to(pieces: AsyncIterable[Piece], offset: int, until: int) -> AsyncIterator[Piece]:
    iterator = aiter(pieces)
    while offset < until:
        piece = await anext(iterator)
        offset = piece.offset
        yield piece


def _end_id(stream: Stream) -> str:
    """Of the event `end`: the offset of the last text in another form, so that whoever shows it has had the end."""
    return str(stream.bytes)


def _parts(piece: Piece) -> Iterator[Piece]:
    offset = piece.offset - len(piece.text.encode())
    for begin in range(0, len(piece.text), PART):
        text = piece.text[begin : begin + PART]
        offset += len(text.encode())
        yield Piece(text, offset)


async def _or_silence(pieces: AsyncIterable[Piece]) -> AsyncIterator[Piece | None]:
    """The pieces, and None for each KEEP_ALIVE seconds without one."""
    iterator = aiter(pieces)
    while True:
        piece = None
        try:
            with anyio.move_on_after(KEEP_ALIVE):
                piece = await anext(iterator)
        except StopAsyncIteration:
            return
        except BAD_ENDS:
            return
        yield piece
