"""A stream as an HTTP answer of an app's own: its text as it comes, or server-sent events.

Who asks is a reader like any other: its going stops nothing. A body that ends in order has all of its stream: what is
cut short, by a bad end or because the process is told to end, is broken off, and can be asked for again. CORS, and who
may ask, is the app's business.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ptstream import wire
from ptstream.errors import ENDS, PtstreamError
from ptstream.interrupts import Interruptible
from ptstream.streams import Piece, Stream

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


class Answer(StreamingResponse):
    """A body that is sent as it comes, until the process is told to end. One that lacks something has no end itself."""

    def __init__(self, id: str, body: AsyncIterator[bytes], media_type: str, under_way: Interruptible) -> None:
        super().__init__(body, media_type=media_type, headers=HEADERS | {"stream-id": id})
        self._under_way = under_way

    async def stream_response(self, send: Send) -> None:
        """Without its last message, the server breaks the connection off."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if await self._sent(send):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _sent(self, send: Send) -> bool:
        with self._under_way.scope(), contextlib.suppress(*BAD_ENDS):
            async for data in self.body_iterator:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            return True
        return False


class Text(Answer):
    """The text, chunked, once `begin` has begun it. It ends in order with a stream that is `done`, else broken off."""

    def __init__(
        self, id: str, pieces: AsyncIterable[Piece], begin: Callable[[], Awaitable[object]], under_way: Interruptible
    ) -> None:
        super().__init__(id, _text(pieces), "text/plain; charset=utf-8", under_way)
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._begin()  # before it is looked whether the client is still there: it has asked
        except PtstreamError as error:
            return await error_response(error)(scope, receive, send)
        return await super().__call__(scope, receive, send)


class Events(Answer):
    """Each piece as an event: its data a JSON string, its `id` where it ends. Then the event `end`.

    A request's Last-Event-ID says where to go on, whatever offset was asked for at first: so does a browser's
    EventSource when its connection is gone. One that has had the `end` is answered with 204, and asks no more (WHATWG
    HTML, 9.2.3). Not even a body that is broken off is taken for the whole: only `end` is the end.
    """

    def __init__(
        self,
        id: str,
        offset: int | str,
        follow: Callable[[int | str], AsyncIterable[Piece]],
        stream: Callable[[], Stream],
        under_way: Interruptible,
    ) -> None:
        self._follow = follow
        self._stream = stream
        super().__init__(id, _events(follow(offset), stream), "text/event-stream", under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        last = Headers(scope=scope).get("last-event-id")
        if last and (other := self._go_on(last)):
            return await other(scope, receive, send)
        return await super().__call__(scope, receive, send)

    def _go_on(self, last: str) -> Response | None:
        """Have the events begin there; where there are none, what is to be answered instead."""
        try:
            stream = self._stream()
            if stream.status.ended and last == _end_id(stream):
                return Response(status_code=204, headers=self.headers)
            self.body_iterator = _events(self._follow(last), self._stream)
        except PtstreamError as error:
            return error_response(error)
        return None

    async def _sent(self, send: Send) -> bool:
        await super()._sent(send)
        return True


def error_response(error: PtstreamError) -> Response:
    """What stands in the way."""
    return Response(wire.error_body(error), error.http_status, media_type="application/json")


async def _text(pieces: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece.text.encode()


async def _events(pieces: AsyncIterable[Piece], end: Callable[[], Stream]) -> AsyncIterator[bytes]:
    async for piece in _or_silence(pieces):
        if piece is None:
            yield b": still there\n\n"
        else:
            for part in _parts(piece):
                yield b"id: %016d\ndata: %s\n\n" % (part.offset, wire.dumps(part.text))
    ended = end()
    told = {"status": ended.status.value, "error": ended.error, "offset": ended.bytes}
    yield b"event: end\nid: %s\ndata: %s\n\n" % (_end_id(ended).encode(), wire.dumps(told))


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
