"""The server of HTTP/1.1, on the daemon's socket and on TCP alike: uvicorn, its signals and its connections ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import anyio
import uvicorn
from starlette.types import ASGIApp

from ptstream.http.uvicorn_protocol import Connection, Strangers
from ptstream.ticks import next_tick

LINGER = 1
"""Seconds that readers get to take the end, once every stream has ended."""

KEPT = 10
"""Seconds that a connection is kept for a next request: longer than the clients keep theirs.

httpx and OpenAI's keep them for 5 s, as uvicorn would: a request that came then met a server that was hanging up.
"""

TICK = 1.0
"""Seconds between two times that the date in its answers is set: all that a server does while nobody asks."""


class Server(uvicorn.Server):
    """Answers by `app`, until it is to `leave`. `strangers` is what clients from the network are held to.

    Signals are ours: uvicorn's own handling re-raises them and skips the streams' ends.
    """

    def __init__(self, app: ASGIApp, strangers: Strangers | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Connection, strangers),  # type: ignore[arg-type]
                log_config=None,
                log_level="warning",
                lifespan="off",
                ws="none",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # what a proxy says is `daemon/forwarded.py`'s to read
                timeout_keep_alive=KEPT,
                timeout_graceful_shutdown=LINGER,
            )
        )

        self._leaving = anyio.Event()

    def leave(self) -> None:
        """Take no more connections, and end when those that there are have ended, or LINGER is over."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with anyio.CancelScope(deadline=next_tick(TICK)):
                await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
