"""The signals that end a process, SIGINT and SIGTERM, for those who do not own their handlers.

A web server handles them, and notifies its app only when every response is over: an app whose response follows a stream
has to learn of them itself. So what is to be called is put before the handler that is there, and taken away again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import anyio

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_termination(call: Callable[[], object]) -> Iterator[None]:
    """Call `call` in the running event loop on each of the signals, and then the handler that was there.

    A signal that no Python code takes keeps its effect. Outside the main thread, where Python handles none, this does
    nothing.
    """
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in SIGNALS:
                if callable(before := signal.getsignal(number)):
                    stack.enter_context(_before(number, before, lambda: loop.call_soon_threadsafe(call)))
        yield


@contextlib.contextmanager
def _before(number: int, handler: Callable[[int, FrameType | None], Any], call: Callable[[], object]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            call()
        handler(number, frame)

    signal.signal(number, handle)
    try:
        yield
    finally:
        if signal.getsignal(number) is handle:  # else somebody stands before it, or has taken its place
            signal.signal(number, handler)


class Interruptible:
    """Cancels what is under way when the process gets such a signal. Listens from the first `scope` until its exit."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._listening = contextlib.ExitStack()
        self._listens = False

    def __enter__(self) -> Interruptible:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    @contextlib.contextmanager
    def scope(self) -> Iterator[anyio.CancelScope]:
        """Around what a signal cancels."""
        if not self._listens:
            self._listening.enter_context(on_termination(self._cancel))
            self._listens = True
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def _cancel(self) -> None:
        for scope in list(self._scopes):
            scope.cancel()
