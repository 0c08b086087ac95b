"""Reading a stream over HTTP, once for the daemon and for apps: what is there, a long-poll, text or events as it comes.

Who asks is a reader like any other: its going stops nothing. What the protocol says of parameters and headers is
`durable_streams.py`'s, how an event is written `server_sent_events.py`'s.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import anyio
from starlette.responses import Response

from ptstream.fairness import Fairness
from ptstream.http import durable_streams, server_sent_events
from ptstream.http.durable_streams import Live, ReadParameters
from ptstream.http.followed_response import FollowedResponse
from ptstream.http.json_response import UNSTORED
from ptstream.http.stream_reader import StreamReader
from ptstream.streams import whole

ANSWER_SIZE = 1024 * 1024
"""Bytes that one answer holds, about, whose reader does not wait."""

EVENT_SIZE = 4 * 1024
"""Bytes of text that one event holds at most: when a line breaks, what has come of an event is lost."""

LONG_POLL = 25.0
"""Seconds that a long-poll waits for news: proxies hang up after thirty."""

TEXT = "text/plain; charset=utf-8"


async def read_response(reader: StreamReader, asked: ReadParameters, *, none_match: str | None = None) -> Response:
    """The answer to one request. `none_match` is its If-None-Match. Raises OffsetBeyondEnd, StreamNotFound."""
    # `now` and no more: what comes after this very moment is for the next request.
    first = b"" if asked.offset is None and asked.live is None else await reader.read()
    headers = UNSTORED | {"stream-id": reader.id}
    if asked.live is Live.TEXT:
        headers |= durable_streams.end_headers(reader.state)
        return FollowedResponse(
            text(reader, first), lambda: reader.ended, reader.seat, media_type=TEXT, headers=headers
        )
    if asked.live is Live.EVENTS and not (asked.had_end and reader.ended and not first):
        headers |= event_headers(exact=asked.exact)
        body = events(reader, first, asked)
        return FollowedResponse(
            body,
            lambda: reader.ended or asked.until_now,
            reader.seat,
            media_type=server_sent_events.MEDIA_TYPE,
            headers=headers,
        )
    # Nothing more, for whoever reads on: 204, after which no browser comes back (WHATWG HTML, 9.2.3).
    data = await _all_now(reader, first) if first else b""
    if asked.live and not data and not reader.ended:
        data = await _next(reader)
    return await _answer(reader, asked, data, none_match)


async def head_response(reader: StreamReader) -> Response:
    """What HEAD says: where the stream stands, whatever offset was asked for."""
    offset = durable_streams.offset_word(await reader.size())
    headers = UNSTORED | {"stream-next-offset": offset, "stream-id": reader.id, "content-type": TEXT}
    response = Response(headers=headers | durable_streams.end_headers(reader.state))
    del response.headers["content-length"]
    return response


def event_headers(*, exact: bool) -> dict[str, str]:
    """How the data of events is to be read."""
    return {"stream-sse-data-encoding": "base64"} if exact else {}


async def text(reader: StreamReader, first: bytes = b"") -> AsyncIterator[bytes]:
    """The text as it comes, to its end; `first` was read already."""
    if first:
        yield first
    async for data in reader:
        yield data


async def events(reader: StreamReader, first: bytes, asked: ReadParameters) -> AsyncIterator[bytes]:
    """The text as events: `data`, and after each a `control`, which says where it ends, and at last how."""
    fairness = Fairness()
    size = await reader.size() if asked.until_now else None
    if first or not reader.ended:  # at once, also without text: so it is known that nothing on the way collects them
        async for event in _events_of(reader, first, asked):
            yield event
            await fairness.checkpoint()
    if not reader.ended and (size is None or reader.offset < size):
        async for data in server_sent_events.or_silence(reader):
            if data is None:
                yield server_sent_events.COMMENT
                continue
            async for event in _events_of(reader, data, asked):
                yield event
                await fairness.checkpoint()
            if size is not None and reader.offset >= size:
                break
    if reader.ended:
        yield durable_streams.end_event(reader.offset, reader.state)


async def _events_of(reader: StreamReader, data: bytes, asked: ReadParameters) -> AsyncIterator[bytes]:
    """The data, if there is any, in parts, and where each leaves the reader."""
    cursor = durable_streams.next_cursor(asked.cursor)
    begin = reader.offset - len(data)
    while len(data) > EVENT_SIZE:
        size = whole(data[:EVENT_SIZE])
        begin += size
        yield _data(data[:size], asked) + durable_streams.control_event(begin, cursor=cursor)
        data = data[size:]
    up_to_date = reader.offset >= await reader.size()
    end = durable_streams.control_event(reader.offset, cursor=cursor, up_to_date=up_to_date)
    yield _data(data, asked) + end if data else end


def _data(data: bytes, asked: ReadParameters) -> bytes:
    return server_sent_events.event("data", base64.b64encode(data) if asked.exact else data)


async def _all_now(reader: StreamReader, first: bytes) -> bytes:
    """What is there, ANSWER_SIZE about."""
    runs, size = [first], len(first)
    while size < ANSWER_SIZE and (data := await reader.read()):
        runs.append(data)
        size += len(data)
    return b"".join(runs)


async def _next(reader: StreamReader) -> bytes:
    with anyio.move_on_after(LONG_POLL), reader.seat():
        async for data in reader:
            return await _all_now(reader, data)
    return b""


async def _answer(reader: StreamReader, asked: ReadParameters, data: bytes, none_match: str | None) -> Response:
    headers = UNSTORED | await _where(reader)
    if asked.live:
        headers |= {} if reader.ended else {"stream-cursor": str(durable_streams.next_cursor(asked.cursor))}
        if not data:
            return Response(status_code=204, headers=headers)
    elif asked.offset is not None:
        headers["etag"] = f'"{reader.id}:{reader.begin}:{reader.offset}{":c" if reader.ended else ""}"'
        headers["cache-control"] = "private, no-cache"
        if none_match == headers["etag"]:
            return Response(status_code=304, headers=headers)
    return Response(data, media_type=TEXT, headers=headers)


async def _where(reader: StreamReader) -> dict[str, str]:
    headers = {"stream-next-offset": durable_streams.offset_word(reader.offset), "stream-id": reader.id}
    if reader.ended:
        return headers | {"stream-up-to-date": "true"} | durable_streams.end_headers(reader.state)
    return headers | ({"stream-up-to-date": "true"} if reader.offset >= await reader.size() else {})
