"""One line around a loop that a program has already: each piece is kept, then handed on. The loop is the generator.

The stream lives in a thread of its own, with an event loop and an owner; the program's loop feeds it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from concurrent.futures import Future
from functools import partial
from typing import overload

import anyio
from anyio.from_thread import BlockingPortal
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ptstream.errors import GeneratorError, NameTaken, PtstreamError, StreamCancelled, StreamFailed
from ptstream.library import open
from ptstream.streams import Status, Stream


@overload
def persist(pieces: AsyncIterable[str], *, name: str | None = None, path: str | None = None) -> AsyncIterator[str]: ...


@overload
def persist(pieces: Iterable[str], *, name: str | None = None, path: str | None = None) -> Iterable[str]: ...


def persist(
    pieces: Iterable[str] | AsyncIterable[str], *, name: str | None = None, path: str | None = None
) -> Iterable[str] | AsyncIterator[str]:
    """One line around a loop that one already has: each piece is kept, then handed on. The loop is the generator.

    Exhausted: `done`. The source raises: `error`, and the same exception. The loop ends early: `error`, "left at byte
    N". Cancelled from outside: the next step raises StreamCancelled. Raises NameTaken for a name that another
    stream has, before anything is pulled.
    """
    if isinstance(pieces, AsyncIterable):
        return _PersistedAsync(pieces, name, path)
    return _persist(pieces, name, path)


def _persist(pieces: Iterable[str], name: str | None, path: str | None) -> Generator[str, None, None]:
    keeper = _Keeper(name, path)
    try:
        for piece in pieces:
            keeper.keep(piece)
            yield piece
    except GeneratorExit:
        keeper.finish(_LoopLeft())
        raise
    except BaseException as error:
        keeper.finish(error)
        raise
    keeper.finish(None)


class _PersistedAsync:
    """The async form. No async generator: one whose loop ends early may be closed late, or never, by its event loop."""

    def __init__(self, pieces: AsyncIterable[str], name: str | None, path: str | None) -> None:
        self._pieces = aiter(pieces)
        self._place = name, path
        self._keeper: _Keeper | None = None

    def __aiter__(self) -> _PersistedAsync:
        return self

    async def __anext__(self) -> str:
        if self._keeper is None:
            self._keeper = await anyio.to_thread.run_sync(_Keeper, *self._place)
        try:
            piece = await anext(self._pieces)
            await anyio.to_thread.run_sync(self._keeper.keep, piece)
        except BaseException as error:
            cause = None if isinstance(error, StopAsyncIteration) else error
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._keeper.finish, cause)
            raise
        return piece

    def __del__(self) -> None:
        if self._keeper is not None:
            self._keeper.finish(_LoopLeft())


class _LoopLeft(Exception):
    """The loop ended early."""


class _Keeper:
    """A stream that another thread's loop feeds.

    Its own thread is a daemon: it never keeps a program from ending, and a loop that is not over by then is abandoned.
    A forked child has no such thread, and no part in the stream.
    """

    def __init__(self, name: str | None, path: str | None) -> None:
        self._error: BaseException | None = None
        self._begun: Future[None] = Future()
        self._ended: Future[BaseException | None] = Future()
        self._portal: BlockingPortal
        self._send: MemoryObjectSendStream[str]
        self._kept: anyio.Event
        self._over = False
        self._pid = os.getpid()
        threading.Thread(target=self._work, args=(name, path), name="ptstream persist", daemon=True).start()
        self._begun.result()
        atexit.register(self._leave)

    def keep(self, piece: str) -> None:
        """Returns when the piece is kept. Raises StreamCancelled, StreamFailed when the stream has ended."""
        if os.getpid() != self._pid:
            raise StreamFailed("the stream belongs to the process that this one was forked from")
        try:
            self._portal.call(self._hand_over, piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, RuntimeError):
            raise self._ended.result() or StreamFailed("the stream has ended") from None

    def finish(self, error: BaseException | None) -> None:
        """End the stream: `done`, or in error because of `error`. Returns when that is committed."""
        atexit.unregister(self._leave)
        if os.getpid() != self._pid or self._ended.done():
            return
        self._error = error
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._portal.call(self._send.aclose)
        self._ended.result()

    def _leave(self) -> None:
        self.finish(_LoopLeft())

    def _work(self, name: str | None, path: str | None) -> None:
        end: BaseException | None = None
        try:
            anyio.run(self._feed, name, path)
        except BaseException as error:
            end = error
        if not self._begun.done():
            self._begun.set_exception(end or PtstreamError("the stream did not begin"))
        self._ended.set_result(end)

    async def _feed(self, name: str | None, path: str | None) -> None:
        async with open(path) as streams:
            id = await streams.create(name=name, title=os.path.basename(sys.argv[0]) or "a program")
            stream = await streams.stream(id)
            if stream.status is not Status.PENDING:
                raise NameTaken(f"the name {name!r} is taken by stream {id}, which is {stream.status}")
            async with BlockingPortal() as self._portal:
                self._kept = anyio.Event()
                self._send, receive = anyio.create_memory_object_stream[str](0)
                with self._send, receive:
                    drive = await streams.start(id, partial(self._pieces, receive), logged=False, shows_its_text=True)
                    if drive is None:
                        raise NameTaken(f"the name {name!r} is taken by stream {id}, which is driven already")
                    self._begun.set_result(None)
                    await drive.ended.wait()
                self._over = True
                self._kept.set()
                await self._portal.stop(cancel_remaining=False)
            end = await streams.stream(id)
            if end.status is Status.CANCELLED:
                raise StreamCancelled(end.error or "cancelled")

    async def _hand_over(self, piece: str) -> None:
        self._kept = anyio.Event()
        await self._send.send(piece)
        await self._kept.wait()
        if self._over:
            raise anyio.BrokenResourceError

    async def _pieces(self, receive: MemoryObjectReceiveStream[str], _: Stream) -> AsyncIterator[str]:
        length = 0
        async with receive:
            async for piece in receive:
                yield piece
                # Asked for the next one: this one is kept.
                length += len(piece.encode("utf-8", "replace"))
                self._kept.set()
        if isinstance(self._error, _LoopLeft):
            raise GeneratorError(f"left at byte {length}")
        if self._error is not None:
            raise GeneratorError(f"{type(self._error).__name__}: {self._error}") from self._error
