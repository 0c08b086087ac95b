"""A stream as an HTTP answer of an app's own: its text as it comes, or server-sent events.

Who asks is a reader like any other: its going stops nothing. CORS, and who may ask, is the app's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
from starlette.responses import Response, StreamingResponse

from ptstream import wire
from ptstream.errors import ENDS, PtstreamError
from ptstream.streams import Piece, Stream

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


def text_response(id: str, pieces: AsyncIterable[Piece]) -> Response:
    """The text, chunked. It ends in order with the stream, however that ended; which way, `body` tells."""
    headers = HEADERS | {"stream-id": id}
    return StreamingResponse(_text(pieces), media_type="text/plain; charset=utf-8", headers=headers)


def events_response(id: str, pieces: AsyncIterable[Piece], end: Callable[[], Stream]) -> Response:
    """Each piece as an event, its `id` the offset where it ends and its data a JSON string; then the event `end`."""
    headers = HEADERS | {"stream-id": id}
    return StreamingResponse(_events(pieces, end), media_type="text/event-stream", headers=headers)


def error_response(error: PtstreamError) -> Response:
    """What stands in the way."""
    return Response(wire.error_body(error), error.http_status, media_type="application/json")


async def _text(pieces: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece.text.encode()
    except BAD_ENDS:
        return


async def _events(pieces: AsyncIterable[Piece], end: Callable[[], Stream]) -> AsyncIterator[bytes]:
    async for piece in _or_silence(pieces):
        if piece is None:
            yield b": still there\n\n"
        else:
            for part in _parts(piece):
                yield b"id: %d\ndata: %s\n\n" % (part.offset, wire.dumps(part.text))
    ended = end()
    told = {"status": ended.status.value, "error": ended.error, "offset": ended.bytes}
    yield b"event: end\nid: %d\ndata: %s\n\n" % (ended.bytes, wire.dumps(told))


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
