"""How far a copy has come: a bar on a terminal's stderr, which gives way to whatever else is said there."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ptstream.cli.screen import Screen
from ptstream.copying import Tally
from ptstream.errors import PtstreamError


class CopyProgress:
    """The bar, for as long as the context lasts; nothing, where there is no terminal."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[streams]}"),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr, no_color=not screen.err_color),
            disable=not screen.err_terminal,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("copying", total=None, streams="")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shown, and taken away again."""
        with self._bar:
            yield

    def progressed(self, tally: Tally) -> None:
        """Show how far it has come."""
        self._bar.update(
            self._task,
            completed=tally.done_bytes,
            total=max(1, tally.total_bytes),
            streams=f"{tally.done} of {tally.total} streams",
        )

    def say(self, error: PtstreamError) -> None:
        """An error, where the bar was."""
        self._aside(lambda: self._screen.error(error))

    def say_line(self, line: str) -> None:
        """A note, where the bar was."""
        self._aside(lambda: self._screen.note(line))

    def _aside(self, say: Callable[[], None]) -> None:
        if not self._screen.err_terminal:
            return say()
        self._bar.stop()
        say()
        return self._bar.start()
