"""`ptstream copy`: streams from one place to another, which may be a server, a home or a file."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import home_of, screen_of
from ptstream.cli.copy_progress import CopyProgress
from ptstream.cli.describe import size
from ptstream.cli.detach import DETACHING
from ptstream.cli.options import Json, seconds_of
from ptstream.cli.places import place
from ptstream.cli.screen import Screen
from ptstream.copying import Copy, Tally
from ptstream.engine import open_engine
from ptstream.engine.transfer import Entry
from ptstream.errors import NotFinished, PtstreamError, UsageError
from ptstream.settings import Home
from ptstream.ungrouped import ungrouped

EXAMPLES = """
ptstream copy --to postgresql://db1/app     from where the streams are now to a server
ptstream copy --to streams.db               into one file
ptstream copy --from streams.db             and back from there
ptstream copy --to old.db --older-than 30d
ptstream copy --to streams.db --no-wait --json   what has ended, the outcome for programs
"""

NAMED = 8
"""Running streams that are named, where they are waited for."""


def command(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="A URL, a home's directory, or a file.", show_default=False),
    ] = None,
    target: Annotated[str | None, typer.Option("--to", metavar="PLACE", help="The same.", show_default=False)] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Those that ended longer ago: 90s, 5m, 12h, 30d, 2w.", show_default=False),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for streams that run.")] = False,
    json: Json = False,
) -> None:
    """The command."""
    if source is None and target is None:
        raise UsageError("copy takes --to PLACE, --from PLACE, or both: what is not named is where the streams are now")
    here, screen = home_of(ctx), screen_of(ctx)
    before = None if older_than is None else time.time() - seconds_of(older_than, "--older-than")
    places = [
        here if word is None else place(word, here, option) for option, word in (("--from", source), ("--to", target))
    ]
    raise typer.Exit(anyio.run(_Copying(screen, *places, json=json).run, before, not no_wait))


class _Copying:
    """A copy that a person sees."""

    def __init__(self, screen: Screen, source: Home, target: Home, *, json: bool) -> None:
        self._screen = screen
        self._source = source
        self._target = target
        self._json = json
        self._progress = CopyProgress(screen)
        self._waiting = False

    async def run(self, before: float | None, wait: bool) -> int:
        """Copy; the exit code. A signal ends it at any moment: the target is right all the same."""
        async with open_engine(self._source) as source, open_engine(self._target) as target:
            copy = Copy(source, target, before=before, say=self._progress.say, progressed=self._progressed)
            try:
                with self._progress.shown():
                    signalled = await _until_signalled(lambda: copy.run(wait=wait))
            except PtstreamError:
                self._say_how_far(copy.tally)
                raise
            if signalled:
                self._say_how_far(copy.tally)
                return 128 + signalled
            return self._ended(copy.tally, source.location, target.location)

    def _progressed(self, tally: Tally) -> None:
        self._progress.progressed(tally)
        if tally.waiting and not self._waiting:
            self._waiting = True
            which = f"{_streams(len(tally.running))} ({_ids(tally.running)})"
            self._progress.say_line(f"waiting for {which}; Ctrl-C leaves the rest to the next copy")

    def _say_how_far(self, tally: Tally) -> None:
        if tally.done:
            self._screen.note(f"{tally.done} of {_streams(tally.total)} done: the same line goes on from here")

    def _ended(self, tally: Tally, source: str, target: str) -> int:
        """Say what has come of it; the exit code."""
        counts = {
            "copied": tally.copied,
            "bytes": tally.copied_bytes,
            "there": tally.there,
            "refused": tally.refused,
            "pending": tally.pending,
            "running": len(tally.running),
        }
        if self._json:
            self._screen.data({"from": source, "to": target, **counts})
        else:
            self._screen.note(_summary(tally, target))
        return 1 if tally.refused else NotFinished.exit_code if tally.left else 0


def _summary(tally: Tally, target: str) -> str:
    copied = f"{_streams(tally.copied)} copied to {target}"
    parts = [f"{copied}, {size(tally.copied_bytes)}, verified by SHA-256" if tally.copied else copied]
    if tally.there:
        parts.append(f"{tally.there} there already")
    if tally.refused:
        parts.append(f"{tally.refused} refused")
    if tally.running:
        parts.append(f"{len(tally.running)} left behind, running still ({_ids(tally.running)})")
    if tally.pending:
        parts.append(f"{tally.pending} left behind, pending")
    return "; ".join(parts)


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def _ids(entries: Sequence[Entry]) -> str:
    more = " …" if len(entries) > NAMED else ""
    return ", ".join(entry.id for entry in entries[:NAMED]) + more


async def _until_signalled(work: Callable[[], Awaitable[object]]) -> int:
    """Do the work; the number of the signal that ended it, 0 if none did."""
    signalled = 0

    async def working(scope: anyio.CancelScope) -> None:
        await work()
        scope.cancel()

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(*DETACHING) as signals:
                tasks.start_soon(working, tasks.cancel_scope)
                async for number in signals:
                    signalled = number
                    tasks.cancel_scope.cancel()
                    break
    return signalled
