"""`ptstream tee`: standard input, passed through and kept as a stream. Its own owner: needs no daemon.

It ignores SIGINT, SIGHUP and a closed stdout and reads to the end, since what feeds it may go on: a pipe that nobody
reads would kill it. Nor does anything end it that stands in the way of keeping. SIGTERM does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import anyio
import typer

from ptstream.bell import Bell
from ptstream.cli.app import home_of, screen_of
from ptstream.cli.options import FlushRule, NewName, Raw, Title, Ttl, ttl_of
from ptstream.cli.output import OutputClosed, OutputFailed
from ptstream.cli.screen import Screen
from ptstream.cli.stdin import next_bytes
from ptstream.cli.tee_stream import Keeping, Wanted
from ptstream.errors import GeneratorError

EXAMPLES = """
make 2>&1 | ptstream tee --name build   elsewhere: ptstream watch build
llm "Why is the sky blue?" | ptstream tee --flush sentences
make 2>&1 | ptstream tee --title "Nightly" --ttl 7d --raw   for a week; control sequences go on
"""

AHEAD = 1024 * 1024
"""Bytes that are read ahead of an output which takes nothing."""


def command(
    ctx: typer.Context,
    name: NewName = None,
    title: Title = None,
    flush: FlushRule = None,
    ttl: Ttl = None,
    raw: Raw = False,
) -> None:
    """The command."""

    def wanted() -> Wanted:  # only once bytes pass: whatever is wrong here must not stop them
        return Wanted(home_of(ctx), name, title or "standard input", flush, ttl_of(ttl))

    raise typer.Exit(anyio.run(tee, screen_of(ctx, raw=raw), wanted))


async def tee(screen: Screen, wanted: Callable[[], Wanted]) -> int:
    """Pass standard input on, and keep it as a stream; the exit code of that."""
    keeping, passing, interrupted = Keeping(screen, wanted), Passing(screen), anyio.Event()
    terminated = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch_signals, keeping, interrupted, terminated)
        tasks.start_soon(keeping.run)
        async with anyio.create_task_group() as passes:
            passes.start_soon(_leave_when_ended, keeping, terminated, passes.cancel_scope)
            passes.start_soon(passing.run)
            keeping.feed.end(await _read(keeping, passing) or _interruption(interrupted))
            await passing.end()
            passes.cancel_scope.cancel()
        keeping.feed.end(GeneratorError("terminated"))  # unless it has ended
        await keeping.finish()
        tasks.cancel_scope.cancel()
    return _code(keeping, passing, terminated)


async def _read(keeping: Keeping, passing: Passing) -> GeneratorError | None:
    """All of standard input, kept and then passed on; why it could not be read to its end, if so."""
    try:
        while data := await next_bytes():
            await keeping.feed.put(data)
            await passing.put(data)
    except OSError as error:
        return GeneratorError(f"standard input: {error.strerror}")
    return None


def _interruption(interrupted: anyio.Event) -> GeneratorError | None:
    return GeneratorError("interrupted") if interrupted.is_set() else None


def _code(keeping: Keeping, passing: Passing, terminated: anyio.Event) -> int:
    if terminated.is_set() and not keeping.code:
        return 128 + signal.SIGTERM
    return keeping.code or passing.code


async def _watch_signals(keeping: Keeping, interrupted: anyio.Event, terminated: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGHUP, signal.SIGTERM) as signals:
        async for number in signals:
            if number == signal.SIGINT:
                interrupted.set()
            elif number == signal.SIGTERM:
                keeping.stop("terminated")
                terminated.set()


async def _leave_when_ended(keeping: Keeping, terminated: anyio.Event, scope: anyio.CancelScope) -> None:
    """SIGTERM and a cancel of the stream end the pipe; nothing else does."""
    async with anyio.create_task_group() as tasks:

        async def cancelled() -> None:
            await keeping.ended.wait()
            if keeping.cancelled:
                tasks.cancel_scope.cancel()

        tasks.start_soon(cancelled)
        await terminated.wait()
        tasks.cancel_scope.cancel()
    scope.cancel()


class Passing:
    """Standard output: the bytes as they came, a little behind whoever reads them. It never ends the reading."""

    def __init__(self, screen: Screen) -> None:
        self.code = 0
        """1 if an output failed that is not merely closed."""
        self._screen = screen
        self._waiting = bytearray()
        self._over = False
        self._put, self._taken = Bell(), Bell()
        self._ended = anyio.Event()

    async def put(self, data: bytes) -> None:
        """Returns when few enough bytes wait."""
        if self._ended.is_set():
            return
        self._waiting += data
        self._put.ring()
        while len(self._waiting) > AHEAD:
            await self._taken.next().wait()

    async def end(self) -> None:
        """Nothing more comes. Returns when all is passed on, and the output closed."""
        self._over = True
        self._put.ring()
        await self._ended.wait()

    async def run(self) -> None:
        """Until the end, or until the output takes nothing more."""
        try:
            await self._run()
            self._screen.close()
            # Whoever reads our output has its end now, however long the rest of the keeping takes.
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 1)
        except (OutputClosed, OutputFailed) as error:
            self._tell(error)
        finally:
            self._ended.set()
            self._waiting.clear()
            self._taken.ring()

    async def _run(self) -> None:
        while True:
            rung = self._put.next()
            if self._waiting:
                data = bytes(self._waiting)
                self._waiting.clear()
                self._taken.ring()
                await self._screen.show(data)
            elif self._over:
                return await self._screen.show_end()
            else:
                await rung.wait()

    def _tell(self, error: OutputClosed | OutputFailed) -> None:
        if isinstance(error, OutputFailed):
            self.code = error.exit_code
        if isinstance(error, OutputFailed) or self._screen.err_terminal:
            self._screen.note(f"{error} · reads on to the end")
