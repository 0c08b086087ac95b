"""How a stream is ended from outside, whoever drives it: cancel it and see its owner end it, or delete it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import anyio

from ptstream.engine.protocol import Engine
from ptstream.errors import NotFinished, OwnerStopped, StreamNotFound
from ptstream.streams import State

ANSWER_TIME = 2.0
"""Seconds after which an owner that lives and does not end a cancelled stream is said to be stopped."""


async def cancel(
    engine: Engine,
    id: str,
    *,
    drain: bool = False,
    delete: bool = False,
    otherwise: Callable[[], Awaitable[object]] | None = None,
) -> State:
    """Cancel, and wait for the end: of a pending stream at once, else its owner's. What has ended stays as it is.

    With `drain`, a model goes on to its own end, so that its usage becomes known; that text is discarded. With
    `delete`, the end of a running one is a StreamNotFound, for every reader. `otherwise` is asked when the engine does
    not take the mark. Raises OwnerStopped when the owner lives and does not answer within 2 s, StreamNotFound,
    StoreBusy.
    """
    state = await engine.cancel(id, drain=drain, delete=delete, otherwise=otherwise)
    if state.status.ended:
        return state
    with anyio.move_on_after(ANSWER_TIME):
        return await engine.ended(id)
    raise OwnerStopped(
        f"stream {id} is marked, but its owner does not answer: a stopped process ends it when it goes on"
    )


async def delete(engine: Engine, id: str) -> None:
    """Remove the stream and its text; one that is streaming is cancelled first. Raises StreamNotFound, OwnerStopped."""
    try:
        await engine.delete(id)
    except NotFinished:
        with contextlib.suppress(StreamNotFound):  # which its end is, for us as for every reader
            await cancel(engine, id, delete=True)
        await engine.delete(id)
