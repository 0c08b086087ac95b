"""Server-sent events (WHATWG HTML, 9.2): who asks for them, how one is written, and what keeps a silent body open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping

import anyio

MEDIA_TYPE = "text/event-stream"

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment keeps the proxies on the way from hanging up."""

COMMENT = b": still there\n\n"

_LINE = re.compile(rb"\r\n|\r|\n")


def event(name: str, data: bytes, id: str | None = None) -> bytes:
    """One event. What separates lines in `data` comes out as a line feed."""
    lines = b"".join(b"data: %s\n" % line for line in _LINE.split(data))
    place = b"" if id is None else b"id: %s\n" % id.encode()
    return b"event: %s\n%s%s\n" % (name.encode(), place, lines)


def accepts_events(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for events by name (RFC 9110, 12.5.1)."""
    return any(kind == MEDIA_TYPE for kind, *_ in _accepted(headers))


def accepts_only_present(headers: Mapping[str, str]) -> bool:
    """Whether it asks with `until=now` for those alone that there are: their body then ends.

    For proxies that collect whole bodies, and for whoever has no connection to spare. The parameter is ours.
    """
    return any(kind == MEDIA_TYPE and "until=now" in parameters for kind, *parameters in _accepted(headers))


def _accepted(headers: Mapping[str, str]) -> Iterator[list[str]]:
    for media_range in headers.get("accept", "").lower().split(","):
        yield [word.strip() for word in media_range.split(";")]


async def or_silence(runs: AsyncIterable[bytes]) -> AsyncIterator[bytes | None]:
    """The runs, and None for each KEEP_ALIVE seconds without one."""
    iterator = aiter(runs)
    while True:
        run = None
        with anyio.move_on_after(KEEP_ALIVE):
            try:
                run = await anext(iterator)
            except StopAsyncIteration:
                return
        yield run
