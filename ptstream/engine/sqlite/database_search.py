"""Search: a plain scan over all that is kept, the unfinished text included, newest stream first.

Its time grows with the text and with nothing else, and it can be ended between any two blocks. How a query is found in
a text is `text_search.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import takewhile

from ptstream.engine.protocol import Hit
from ptstream.engine.sqlite.cursor import TextCursor, read_now
from ptstream.engine.sqlite.recovery import listed
from ptstream.engine.sqlite.store import Store
from ptstream.errors import StreamNotFound
from ptstream.streams import Stream
from ptstream.text_search import check, places, places_beside

BLOCK = 256 * 1024
"""Characters that are looked at together, about: a few milliseconds."""


def search(store: Store, query: str, enough: Callable[[], bool] = lambda: False) -> Iterator[Hit]:
    """Every place where `query` stands, until it is `enough`. Written in lower case, it means capitals as well.

    Raises what `check` does.
    """
    check(query)
    for stream in listed(store):
        if enough():
            return
        with contextlib.suppress(StreamNotFound):  # deleted meanwhile
            for where, offset, line in places_beside(store.get(stream.id), query):
                yield Hit(stream, offset, line, where)
            blocks = takewhile(lambda _: not enough(), _blocks(store, stream))
            for offset, line in places(blocks, query):
                yield Hit(stream, offset, line)


def _blocks(store: Store, stream: Stream) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for data in read_now(TextCursor(store, stream.id), stream.bytes):
        held.append(data.decode())
        size += len(held[-1])
        if size >= BLOCK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)
