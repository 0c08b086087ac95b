"""An answer whose body ends in order only when all of it was given: else its connection is broken off.

So does a daemon that ends itself, with what is not over: who reads it asks again, there or at another daemon, from
where it stands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

BREAK_OFF = "break_off"
"""What in a request's `state` hangs up: see `uvicorn_protocol.py`."""


class FollowedResponse(StreamingResponse):
    """`whole` says, when there comes no more, whether that was all; `seat` is where its content may wait."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        whole: Callable[[], bool],
        seat: Callable[[], AbstractContextManager[None]] = nullcontext,
        **more: Any,
    ) -> None:
        super().__init__(content, **more)
        self._whole = whole
        self._seat = seat
        self._break_off: Callable[[], object] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._break_off = scope.get("state", {}).get(BREAK_OFF)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with self._seat():
            async for data in self.body_iterator:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        if self._whole() or self._break_off is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            self._break_off()
            await anyio.sleep_forever()  # until the client is gone
