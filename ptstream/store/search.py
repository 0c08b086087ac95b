"""Search: a plain scan over all text that is kept, the unfinished included, newest stream first."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from ptstream.errors import StreamNotFound, UsageError
from ptstream.store.cursor import Cursor, read_now
from ptstream.store.recover import listed
from ptstream.store.sqlite import Store
from ptstream.streams import Stream

BLOCK = 1024 * 1024
"""Characters that are looked at together, about."""

AROUND = 80
"""Characters of its line that are shown on either side of what was found."""


class Hit(NamedTuple):
    """Where the query stands: its stream, the offset of its first byte, and the line around it."""

    stream: Stream
    offset: int
    line: str


def search(store: Store, query: str, enough: Callable[[], bool] = lambda: False) -> Iterator[Hit]:
    """Every place where `query` stands, until it is `enough`. Written in lower case, it means capitals as well.

    Raises UsageError for an empty query.
    """
    if not query:
        raise UsageError("an empty query is found everywhere")
    pattern = re.compile(re.escape(query), re.IGNORECASE if query == query.lower() else 0)
    for stream in listed(store):
        if enough():
            return
        with contextlib.suppress(StreamNotFound):  # deleted meanwhile
            blocks = takewhile(lambda _: not enough(), _blocks(store, stream))
            yield from _in_stream(blocks, stream, pattern, len(query))


def _in_stream(blocks: Iterable[str], stream: Stream, pattern: re.Pattern[str], length: int) -> Iterator[Hit]:
    start, before = 0, ""  # of the text at hand: its offset in bytes, and what of it has been searched
    for block in blocks:
        text = before + block
        at, offset = 0, start
        # What began in the last block, and could not end there.
        for found in pattern.finditer(text, max(0, len(before) - length + 1)):
            offset += len(text[at : found.start()].encode())
            at = found.start()
            yield Hit(stream, offset, _line(text, found.start(), found.end()))
        before = text[-(AROUND + length) :]
        start += len(text.encode()) - len(before.encode())


def _blocks(store: Store, stream: Stream) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for data in read_now(Cursor(store, stream.id), stream.bytes):
        held.append(data.decode())
        size += len(held[-1])
        if size >= BLOCK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def _line(text: str, start: int, end: int) -> str:
    """The line in which `text[start:end]` stands, or as much of it as is shown."""
    first = max(text.rfind("\n", 0, start) + 1, start - AROUND)
    last = text.find("\n", end)
    return text[first : min(end + AROUND, len(text) if last < 0 else last)].strip()
