"""Short writes in an event loop: a store that another process has locked is asked again, not waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from ptstream.errors import StoreBusy
from ptstream.store.schema import BUSY_TIMEOUT

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
