"""The server of HTTP/1.1, on the daemon's socket and on TCP alike: uvicorn, its signals and its connections ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from ptstream.http.uvicorn_protocol import Connection, Strangers

LINGER = 1
"""Seconds that readers get to take the end, once every stream has ended."""

KEPT = 10
"""Seconds that a connection is kept for a next request: longer than the clients keep theirs.

httpx and OpenAI's keep them for 5 s, as uvicorn would: a request that came then met a server that was hanging up.
"""


class Server(uvicorn.Server):
    """Answers by `app`, until `should_exit`. `strangers` is what clients from the network are held to.

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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
