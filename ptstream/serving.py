"""A stream as an HTTP answer of an app's own: its text as it comes, or server-sent events.

Who asks is a reader like any other: its going stops nothing. CORS, and who may ask, is the app's business.

What a request accepts (RFC 9110, 12.5.1) decides between the two. `text/event-stream` is handed on as it comes even by
those proxies that collect every other body; with the parameter `until=now` it holds what there is, and then ends: for
those that collect everything, and for whoever has no connection to spare.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ptstream import wire
from ptstream.errors import ENDS, PtstreamError
from ptstream.streams import Piece, Stream

EVENTS = "text/event-stream"

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment keeps the proxies on the way from hanging up."""

PART = 4 * 1024
"""Bytes, or characters, that one event holds at most: when a line breaks, what has come of one is lost."""

HEADERS = {
    "cache-control": "no-store",
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
    """One request's reading of a stream: from byte `offset`, what is to come, where the text ends now, and the end."""

    id: str
    pieces: Pieces
    size: Callable[[], int]
    end: Callable[[], Stream]
    offset: int = 0


class StreamAnswer(StreamingResponse):
    """The answer to one request. A drive has begun before its first byte goes out: who has that can leave."""

    def __init__(self, read: Read, body: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(body, media_type=media_type, headers=HEADERS | {"stream-id": read.id})
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._read.pieces.begin()
        except PtstreamError as error:
            await error_response(error)(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if wants_events(headers):
            self.headers["content-type"] = f"{EVENTS}; charset=utf-8"
            self.body_iterator = _events(self._read, self._read.size() if until_now(headers) else None)
        await super().__call__(scope, receive, send)


def text_response(read: Read) -> Response:
    """The text, chunked. It ends in order with the stream, however that ended; which way, `body` tells."""
    return StreamAnswer(read, _text(read.pieces), "text/plain; charset=utf-8")


def events_response(read: Read) -> Response:
    """Each piece as an event, its `id` the offset where it ends and its data a JSON string; then the event `end`."""
    return StreamAnswer(read, _events(read), EVENTS)


def error_response(error: PtstreamError) -> Response:
    """What stands in the way."""
    return Response(wire.error_body(error), error.http_status, media_type="application/json")


async def _text(pieces: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece.text.encode()
    except BAD_ENDS:
        return


async def _events(read: Read, until: int | None = None) -> AsyncIterator[bytes]:
    """The events, until byte `until` of the text if there is one."""
    yield b": here\n\n"  # now it is known that nothing on the way collects them
    offset = read.offset
    async for piece in _or_silence(read.pieces if until is None else _up_to(read.pieces, offset, until)):
        if piece is None:
            yield b": still there\n\n"
        else:
            offset = piece.offset
            for part in _parts(piece):
                yield b"id: %d\ndata: %s\n\n" % (part.offset, wire.dumps(part.text))
    ended = read.end()
    if ended.status.ended and offset >= ended.bytes:
        told = {"status": ended.status.value, "error": ended.error, "offset": ended.bytes}
        yield b"event: end\nid: %d\ndata: %s\n\n" % (ended.bytes, wire.dumps(told))


async def _up_to(pieces: AsyncIterable[Piece], offset: int, until: int) -> AsyncIterator[Piece]:
    iterator = aiter(pieces)
    while offset < until:
        piece = await anext(iterator)
        offset = piece.offset
        yield piece


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
