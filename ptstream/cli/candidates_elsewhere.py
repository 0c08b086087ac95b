"""The newest streams for completion where they are not this machine's: asked for over a network, for a moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence

import anyio

from ptstream.settings import Home
from ptstream.streams import Status, Stream
from ptstream.streams_protocol import Streams

LONGEST = 1.5
"""Seconds that a TAB waits for them."""


def newest(home: Home, limit: int, statuses: Sequence[Status]) -> Sequence[Stream]:
    """Newest first; none if it takes long. Raises PtstreamError."""
    host = os.environ.get("PTSTREAM_HOST")
    if host and host.lower().startswith("ssh:"):  # a login for each TAB, which may ask for a password
        return []

    async def ask() -> Sequence[Stream]:
        with anyio.move_on_after(LONGEST):
            async with _streams(home, host) as streams:
                return (await streams.list(limit, statuses)).streams
        return []

    return anyio.run(ask)


@contextlib.asynccontextmanager
async def _streams(home: Home, host: str | None) -> AsyncIterator[Streams]:
    if host:
        from ptstream.client.elsewhere import elsewhere

        async with elsewhere(host, _unsaid, lambda _: _unheard) as there:
            yield there
    else:
        from ptstream.here import Here

        async with Here.opened(home, _unsaid) as here:
            yield here


def _unsaid(_: str) -> None:
    pass


async def _unheard(_: str) -> None:
    pass
