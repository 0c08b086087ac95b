"""A stream as an HTTP answer of an app's own: its text as it comes, or server-sent events.

Who asks is a reader like any other: its going stops nothing. A body that ends in order has all of its stream: what is
cut short, by a bad end or because a signal ends the process, is broken off, and can be asked for again. CORS, and who
may ask, is the app's business.

What a request accepts (RFC 9110, 12.5.1) decides between the two. `text/event-stream` is handed on as it comes even by
those proxies that collect every other body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ptstream.errors import PtstreamError, UsageError
from ptstream.http import durable_streams, read_response, server_sent_events
from ptstream.http.durable_streams import ReadParameters
from ptstream.http.json_response import UNSTORED, error_response
from ptstream.http.stream_reader import StreamReader
from ptstream.integers import count_of
from ptstream.streams import Status
from ptstream.termination_signals import Interruptible

EVENTS = server_sent_events.MEDIA_TYPE

TEXT = "text/plain"

web = Path(__file__).parent.parent / "web"
"""The directory of `ptstream.js` and `react.js`, for an app to serve: `StaticFiles(directory=ptstream.web)`."""


class AppResponse(StreamingResponse):
    """The answer to one request, of `media_type` unless that asks for events: sent as it comes, or until a signal comes
    that the process is to end. A drive has begun, by `begin`, before its first byte goes out: who has that can leave.

    Text ends in order with a stream that is `done`; by any other end it is broken off. Events end with the last
    `control`, and are as the daemon's; their data is base64 where the parameter `encoding` says so, and for whoever
    drives by POST. Their request's Last-Event-ID says where to go on, whatever offset was asked for at first: so does a
    browser's EventSource when its connection is gone. `reader_at` gives the reader from an offset.
    """

    def __init__(
        self,
        id: str,
        reader_at: Callable[[int], Awaitable[StreamReader]],
        media_type: str,
        interruptible: Interruptible,
        *,
        offset: int | str = 0,
        begin: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__((), media_type=media_type, headers=UNSTORED | {"stream-id": id})
        self._reader_at = reader_at
        self._interruptible = interruptible
        self._offset = offset
        self._begin = begin
        self._reader: StreamReader | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._begin:
                await self._begin()
            await self._prepare(Request(scope))
        except PtstreamError as error:
            return await error_response(error)(scope, receive, send)
        return await super().__call__(scope, receive, send)

    async def _prepare(self, request: Request) -> None:
        """Raises OffsetBeyondEnd, UsageError."""
        if self.media_type != EVENTS and not server_sent_events.accepts_events(request.headers):
            reader, first = await self._read_first(_checked(self._offset))
            self.body_iterator = read_response.text(reader, first)
            return
        asked = self._asked(request)
        reader, first = await self._read_first(asked.offset or 0)
        self.media_type, self.headers["content-type"] = EVENTS, f"{EVENTS}; charset=utf-8"
        self.headers.update(read_response.event_headers(exact=asked.exact))
        if asked.had_end and reader.ended and not first:
            self.status_code = 204
        self.body_iterator = read_response.events(reader, first, asked)

    def _asked(self, request: Request) -> ReadParameters:
        last = request.headers.get("last-event-id", "")
        return ReadParameters(
            _checked(last or self._offset),
            # Who drives is no browser's EventSource, which only has lines.
            exact=request.query_params.get("encoding") == "base64" or request.method not in ("GET", "HEAD"),
            had_end=durable_streams.is_end_id(last),
            until_now=server_sent_events.accepts_only_present(request.headers),
        )

    async def _read_first(self, offset: int) -> tuple[StreamReader, bytes]:
        self._reader = reader = await self._reader_at(offset)
        first = await reader.read()
        if 0x80 <= int.from_bytes(first[:1], "big") < 0xC0:
            raise UsageError(f"offset {offset} lies inside a character")
        return reader, first

    async def stream_response(self, send: Send) -> None:
        """Without its last message, the server breaks the connection off."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self.status_code == 204 or await self._send_whole(send) or self.media_type == EVENTS:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_whole(self, send: Send) -> bool:
        """Whether all was sent of a stream that is done."""
        whole = False
        with self._interruptible.scope():
            async for data in self.body_iterator:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            whole = True
        return whole and self._reader is not None and self._reader.state.status is Status.DONE


def _checked(offset: int | str) -> int:
    number = count_of(offset) if isinstance(offset, str) else offset
    if number is None:
        raise UsageError("an offset is a number of bytes")
    return number
