"""The store in an event loop, which is not held up by it.

A store that another process has locked is asked again, not waited for; what may be long is read, and written, in a
thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from ptstream.engine.sqlite.schema import BUSY_TIMEOUT
from ptstream.engine.sqlite.store import Store
from ptstream.errors import StoreBusy
from ptstream.settings import Home
from ptstream.streams import Words

BRIEFLY = 0.05
"""Seconds that a write may keep the event loop waiting (see `Store`), and between two tries."""

LARGE = 256 * 1024
"""Characters of a stream's words that are written in a thread: below that it takes a few milliseconds."""

T = TypeVar("T")


async def patiently(write: Callable[[], T], meanwhile: Callable[[], Awaitable[object]] | None = None) -> T:
    """What `write` gives, tried for as long as a patient store would wait. Raises StoreBusy.

    `meanwhile` is done, once, when the first try was in vain; what it raises ends the trying.
    """
    deadline = anyio.current_time() + BUSY_TIMEOUT
    while True:
        try:
            return write()
        except StoreBusy:
            if anyio.current_time() > deadline:
                raise
        if meanwhile:
            await meanwhile()
            meanwhile = None
        await anyio.sleep(BRIEFLY)


async def written(store: Store, words: Words, write: Callable[[Store], T]) -> T:
    """What `write` makes of a stream's words: in a thread, if they are large. Raises StoreBusy."""
    if len(words.prompt or "") + len(words.system or "") > LARGE:
        return await apart(store.home, write)
    return await patiently(lambda: write(store))


async def apart(home: Home, work: Callable[[Store], T]) -> T:
    """What `work` does with the store, in a thread: read all of a text, say, which may be large."""

    def done() -> T:
        with Store(home) as store:  # a store belongs to one thread
            return work(store)

    return await anyio.to_thread.run_sync(done)
