"""Streams side by side on one output: whole lines, before each the name of its stream, in a colour of its own.

A line that has no end yet waits for it, so that no two streams share one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from ptstream.cli.columns import cells, cut
from ptstream.cli.control_sequences import CommandFilter
from ptstream.cli.screen import Screen
from ptstream.names import shown
from ptstream.stream_json import iso
from ptstream.streams import Stream, whole

LONGEST = 64 * 1024
"""Bytes of a line from which on it is shown in parts, so that memory does not grow with it."""

_COLORS = ("36", "33", "32", "35", "34", "31", "1;36", "1;33", "1;32", "1;35", "1;34", "1;31")
"""SGR's (ECMA-48, 8.3.117), each to be read on light and on dark: the bright ones are not."""

_SHORT = 4
"""Letters of an id that name a stream, unless another one has the same."""

_WIDEST = 24
"""Cells of a name, at most."""


class Line(NamedTuple):
    """A line without its end, which stands in its stream from byte `start` to byte `stop`, its end included."""

    start: int
    stop: int
    text: bytes


class LineCutter:
    """Text that comes in runs, cut into whole lines."""

    def __init__(self, offset: int) -> None:
        """`offset` is where the first run begins, in bytes."""
        self._begin = offset
        self._held = b""

    def feed(self, data: bytes) -> list[Line]:
        """The lines that have ended."""
        *ended, self._held = (self._held + data).split(b"\n")
        lines = [self._next(text, 1) for text in ended]
        while len(self._held) >= LONGEST:
            part = self._held[: whole(self._held[:LONGEST])]
            self._held = self._held[len(part) :]
            lines.append(self._next(part, 0))
        return lines

    def end(self) -> list[Line]:
        """The last line, where it lacks its end."""
        rest, self._held = self._held, b""
        return [self._next(rest, 0)] if rest else []

    def _next(self, text: bytes, end: int) -> Line:
        line = Line(self._begin, self._begin + len(text) + end, text)
        self._begin = line.stop
        return line


class LineOutput:
    """The lines of streams as a screen has them. Each stream is to be introduced first."""

    def __init__(self, screen: Screen, *, labelled: bool) -> None:
        self._screen = screen
        self._labelled = labelled
        self._ids: set[str] = set()
        self._labels: dict[str, tuple[str, str]] = {}
        self._colors = cycle(_COLORS)
        self._filters: defaultdict[str, CommandFilter] = defaultdict(lambda: CommandFilter(screen.color))
        self._width = 0

    def introduce(self, *streams: Stream) -> None:
        """Give each a label, and all of them room for it."""
        self._ids.update(stream.id for stream in streams)
        for stream in streams:
            if stream.id not in self._labels:
                label = cut(shown(stream.name), _WIDEST) if stream.name else self._short(stream.id)
                self._labels[stream.id] = label, next(self._colors)
                self._width = max(self._width, cells(label))

    def drawn(self, id: str, lines: Sequence[Line], times: Sequence[float]) -> str:
        """Lines of a stream for the screen, each behind the time (Unix seconds) when it came, if there are `times`."""
        label = self._label(id)
        stamps = [f"{iso(moment)} " for moment in times] or [""] * len(lines)
        return "".join(f"{label}{stamp}{self._text(id, line)}\n" for stamp, line in zip(stamps, lines, strict=True))

    def _label(self, id: str) -> str:
        if not self._labelled:
            return ""
        label, color = self._labels[id]
        padded = f"{label}{' ' * (self._width - cells(label))} | "
        return f"\x1b[{color}m{padded}\x1b[0m" if self._screen.color else padded

    def _short(self, id: str) -> str:
        """So much of the id that it is no beginning of another's here."""
        length = _SHORT
        while any(other != id and other.startswith(id[:length]) for other in self._ids):
            length += 1
        return id[:length]

    def _text(self, id: str, line: Line) -> str:
        """As the screen may have it: in its stream's colours, and what redraws its line as it is at last."""
        text = line.text.decode("utf-8", "replace")
        if not self._screen.filtered:
            return text
        shown = ""
        for state in text.rstrip("\r").split("\r"):
            shown = self._filters[id].feed(f"{state}\n")  # no sequence goes on in the next line
        before, _, after = shown.rpartition("\n")
        return (before + after).replace("\n", " ")
