"""Where reading a stream begins: at a byte, some lines before its end, or with what came since a moment."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from dataclasses import dataclass

from ptstream.cli.at_once import Asked
from ptstream.errors import UsageError
from ptstream.integers import count_of
from ptstream.streams import Stream

BACK = 16 * 1024
"""Bytes that are first looked through for the last lines, back from the end; then always four times as many."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the line says of it: of `tail` lines and `since` (Unix seconds) whichever gives less text.

    `offset` is in bytes; None: at what comes from now on.
    """

    offset: int | None = 0
    tail: int | None = None
    since: float | None = None

    async def of(self, streams: Asked, stream: Stream) -> int:
        """In bytes from the start of the stream, as it is now."""
        if self.offset is None:
            return stream.bytes
        begin = self.offset
        if self.since is not None:
            begin = max(begin, await _since(streams, stream.id, self.since))
        if self.tail is not None and begin < stream.bytes:
            begin = max(begin, await _last_lines(streams, stream, self.tail))
        return begin


def beginning_of(offset: str, tail: int | None, since: float | None) -> Beginning:
    """As the options say. Raises UsageError."""
    if offset == "now":
        return Beginning(None, tail, since)
    if (begin := count_of(offset)) is None:
        raise UsageError(f"--offset takes a number of bytes or 'now', not {offset[:40]!r}")
    return Beginning(begin, tail, since)


async def _since(streams: Asked, id: str, moment: float) -> int:
    """The first byte that came then or later: where a chunk begins, or behind them all, what the tail has."""
    chunks, end = await streams.chunks(id, 0, moment)
    return chunks[0].start if chunks else end


async def _last_lines(streams: Asked, stream: Stream, count: int) -> int:
    """Where the last `count` lines begin that are there now."""
    end = stream.bytes
    if count == 0:
        return end
    back = BACK
    while True:
        begin = max(0, end - back)
        starts: deque[int] = deque([0] if begin == 0 else [], maxlen=count)
        offset = begin
        async with aclosing(streams.read(stream.id, begin)) as runs:
            async for data in runs:
                data = data[: end - offset]
                starts.extend(offset + at + 1 for at in _newlines(data) if offset + at + 1 < end)
                offset += len(data)
        if len(starts) == count or begin == 0:
            return starts[0]
        back *= 4


def _newlines(data: bytes) -> list[int]:
    found, at = [], data.find(b"\n")
    while at >= 0:
        found.append(at)
        at = data.find(b"\n", at + 1)
    return found
