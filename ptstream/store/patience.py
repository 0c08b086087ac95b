"""The store in an event loop, which is not held up by it.

A store that another process has locked is asked again, not waited for; what may be long is read in a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from ptstream.errors import StoreBusy
from ptstream.settings import Home
from ptstream.store.schema import BUSY_TIMEOUT
from ptstream.store.sqlite import Store

BRIEFLY = 0.05
"""Seconds that a write may keep the event loop waiting (see `Store`), and between two tries."""

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


async def apart(home: Home, read: Callable[[Store], T]) -> T:
    """What `read` finds in the store, in a thread: all of a text, say, which may be large."""

    def work() -> T:
        with Store(home) as store:  # a store belongs to one thread
            return read(store)

    return await anyio.to_thread.run_sync(work)
