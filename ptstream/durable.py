"""Reading a stream over HTTP as the Durable Streams protocol has it: catch-up, long-poll, server-sent events.

Names, headers and codes are those of PROTOCOL.md (5.5 to 5.8, 8, 10.1) in github.com/durable-streams/durable-streams;
`live=1`, the text itself until the end, and `stored=1`, what the database has and no more, are ours. A stream that is
`pending` or `streaming` is open there, one that has ended is closed; `ptstream-status` and `ptstream-error` tell how.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

import anyio
from starlette.responses import Response, StreamingResponse

from ptstream import wire
from ptstream.engine.protocol import Engine
from ptstream.errors import UsageError
from ptstream.follow import Audience, Follow
from ptstream.serving import EVENTS, HEADERS, KEEP_ALIVE, PART, until_now
from ptstream.streams import State, whole
from ptstream.turns import Turns

AT_ONCE = 1024 * 1024
"""Bytes that one answer holds, about."""

LONG_POLL = 25.0
"""Seconds that a long-poll waits for news: proxies hang up after thirty."""

CURSOR_EPOCH = 1728432000
CURSOR_INTERVAL = 20
"""Unix seconds and seconds: the cursor of live answers is the number of intervals since October 9, 2024 (10.1)."""

TEXT = "text/plain; charset=utf-8"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_LINE = re.compile(rb"\r\n|\r|\n")


class Asked(NamedTuple):
    """A read's parameters: the offset in bytes (None: `now`), the way of being live, the client's last cursor.

    `exact` and `stored` are ours: events as base64, since in their plain lines a carriage return comes out as a line
    feed; and whole sentences out of the database, without the tail. `again`: by its
    Last-Event-ID, as a browser's EventSource when its connection was gone. `until_now`: the events that there are.
    """

    offset: int | None
    live: str | None
    cursor: int
    exact: bool
    stored: bool = False
    again: bool = False
    until_now: bool = False


def asked(query: Mapping[str, str], headers: Mapping[str, str]) -> Asked:
    """The parameters of a request. Raises UsageError."""
    live = query.get("live")
    if live not in (None, "1", "long-poll", "sse"):
        raise UsageError("live is 1, long-poll or sse")
    last = headers.get("last-event-id", "") if live == "sse" else ""
    offset = last or query.get("offset", "-1")
    cursor = query.get("cursor", "")
    had = int(cursor) if cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18 else 0
    if (stored := query.get("stored")) not in (None, "1"):
        raise UsageError("stored is 1")
    return Asked(
        _offset(offset),
        live,
        had,
        query.get("encoding") == "base64",
        stored is not None,
        again=bool(last),
        until_now=until_now(headers),
    )


def _offset(word: str) -> int | None:
    if word == "now":
        return None
    if word == "-1":
        return 0
    if not (word.isascii() and word.isdecimal() and len(word) <= 18):
        raise UsageError("an offset is a number of bytes, -1 or now")
    return int(word)


class Reader:
    """One request's reading of one stream. Made by `begun`."""

    def __init__(self, engine: Engine, id: str, ask: Asked, settled: State, audience: Audience | None = None) -> None:
        self._id = id
        self._ask = ask
        self._settled = settled
        size = settled.bytes if ask.stored else settled.size
        self._begin = size if ask.offset is None else ask.offset
        self._cursor = engine.cursor(id, self._begin, live=not ask.stored)
        self._follow = Follow(self._cursor, audience=audience)
        self._first = b""

    @classmethod
    async def begun(cls, engine: Engine, id: str, ask: Asked, audience: Audience | None = None) -> Reader:
        """One that has looked. Raises StreamNotFound, OffsetBeyondEnd, UsageError."""
        reader = cls(engine, id, ask, await engine.settled(id), audience)
        if ask.offset is not None or ask.live is not None:
            # `now` and no more: what comes after this very moment is for the next request.
            reader._first = await reader._cursor.read()
        return reader

    async def respond(self, *, none_match: str | None = None) -> Response:
        """The answer. `none_match` is the request's If-None-Match."""
        if self._ask.live == "1":
            ended = _closed(self._settled) if self._settled.status.ended else {}
            return StreamingResponse(self._text(), media_type=TEXT, headers=HEADERS | {"stream-id": self._id} | ended)
        if self._ask.live == "sse" and not (self._ask.again and self._closed and not self._first):
            headers = HEADERS | {"stream-id": self._id}
            headers |= {"stream-sse-data-encoding": "base64"} if self._ask.exact else {}
            return StreamingResponse(self._events(), media_type=EVENTS, headers=headers)
        # Nothing more, for whoever reads on: 204, after which no browser comes back (WHATWG HTML, 9.2.3).
        data = await self._all_now() if self._first else b""
        if self._ask.live and not data and not self._closed:
            data = await self._next()
        return await self._answer(data, none_match)

    @property
    def _closed(self) -> bool:
        """Whether the stream has ended, and the reader has all of it."""
        return self._cursor.ended or (self._cursor.state is None and self._settled.status.ended)

    async def _all_now(self) -> bytes:
        """What is there, AT_ONCE about."""
        data, self._first = [self._first], b""
        while data[-1] and sum(map(len, data)) < AT_ONCE:
            data.append(await self._cursor.read())
        return b"".join(data)

    async def _next(self) -> bytes:
        with anyio.move_on_after(LONG_POLL):
            try:
                self._first = await anext(self._follow)
                return await self._all_now()
            except StopAsyncIteration:
                pass
        return b""

    async def _answer(self, data: bytes, none_match: str | None) -> Response:
        closed, end = self._closed, self._cursor.offset
        headers = HEADERS | await self._where()
        if self._ask.live:
            headers |= {} if closed else {"stream-cursor": str(self._live_cursor())}
            if not data:
                return Response(status_code=204, headers=headers)
        elif self._ask.offset is not None:
            headers["etag"] = f'"{self._id}:{self._begin}:{end}{":c" if closed else ""}"'
            headers["cache-control"] = "private, no-cache"
            if none_match == headers["etag"]:
                return Response(status_code=304, headers=headers)
        return Response(data, media_type=TEXT, headers=headers)

    async def head(self) -> Response:
        """What HEAD says: where the stream stands, whatever offset was asked for."""
        state = self._state()
        headers = HEADERS | {
            "stream-next-offset": offset_word(await self._cursor.size()),
            "stream-id": self._id,
            "content-type": TEXT,
        }
        answer = Response(headers=headers | (_closed(state) if state.status.ended else {}))
        del answer.headers["content-length"]
        return answer

    async def _where(self) -> dict[str, str]:
        headers = {"stream-next-offset": offset_word(self._cursor.offset), "stream-id": self._id}
        if self._closed:
            return headers | {"stream-up-to-date": "true"} | _closed(self._state())
        return headers | ({"stream-up-to-date": "true"} if await self._up_to_date() else {})

    async def _up_to_date(self) -> bool:
        return self._cursor.offset >= await self._cursor.size()

    def _state(self) -> State:
        return self._cursor.state or self._settled

    def _live_cursor(self) -> int:
        return max(int((time.time() - CURSOR_EPOCH) // CURSOR_INTERVAL), self._ask.cursor + 1)

    async def _text(self) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        async for data in self._follow:
            yield data

    async def _events(self) -> AsyncIterator[bytes]:
        turns = Turns()
        if self._first or not self._cursor.ended:
            for event in self._parts(self._first, await self._up_to_date()):
                yield event
                await turns.give()
        size = await self._cursor.size() if self._ask.until_now else None
        while not self._cursor.ended and (size is None or self._cursor.offset < size):
            data = None
            with anyio.move_on_after(KEEP_ALIVE):
                try:
                    data = await anext(self._follow)
                except StopAsyncIteration:
                    break
            up_to_date = await self._up_to_date()
            for event in [b": still there\n\n"] if data is None else self._parts(data, up_to_date):
                yield event
                await turns.give()
        if self._cursor.ended:
            yield self._control({"upToDate": True, "streamClosed": True, **_told(self._state())})

    def _parts(self, data: bytes, up_to_date: bool) -> Iterator[bytes]:
        """The data, if there is any, in parts, and where each leaves the reader."""
        cursor = {"streamCursor": str(self._live_cursor())}
        begin = self._cursor.offset - len(data)
        while len(data) > PART:
            size = whole(data[:PART])
            begin += size
            yield self._data(data[:size]) + self._control(cursor, begin)
            data = data[size:]
        more = {"upToDate": True} if up_to_date else {}
        yield self._data(data) + self._control({**cursor, **more})

    def _data(self, data: bytes) -> bytes:
        lines = [base64.b64encode(data)] if self._ask.exact else _LINE.split(data)
        return b"event: data\n%s\n" % b"".join(b"data: %s\n" % line for line in lines) if data else b""

    def _control(self, fields: Mapping[str, object], at: int | None = None) -> bytes:
        offset = offset_word(self._cursor.offset if at is None else at)
        told = wire.dumps({"streamNextOffset": offset, **fields})
        return b"event: control\nid: " + offset.encode() + b"\ndata: " + told + b"\n\n"


def offset_word(offset: int) -> str:
    """An offset in bytes as the protocol wants it: sorted as a word, it is sorted as a number."""
    return f"{offset:016d}"


def _told(state: State) -> dict[str, str | None]:
    return {"status": state.status.value, "error": state.error, "note": state.note}


def _closed(state: State) -> dict[str, str]:
    """How a stream has ended, as headers; a cause may hold what no header can."""
    line = (state.error or "").replace("\r", " ").replace("\n", " ").encode("ascii", "backslashreplace").decode()
    error = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
    how = {"stream-closed": "true", "ptstream-status": state.status.value}
    return how | ({"ptstream-error": error[:1000]} if error else {})
