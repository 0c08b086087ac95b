"""`ptstream ls --watch`: the list redrawn in place, with each running stream's rate, as many as fit on the screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from ptstream.cli.columns import columns, erased
from ptstream.cli.control_sequences import clean
from ptstream.cli.detach import detachable
from ptstream.cli.screen import Screen
from ptstream.cli.stream_table import Table, table_of
from ptstream.streams import Status, Stream
from ptstream.streams_protocol import Streams

if TYPE_CHECKING:
    from ptstream.cli.ls import Wanted

PAUSE = 1.0
"""Seconds between two looks."""

NOTHING = "no streams yet"


async def ls_watch(streams: Streams, screen: Screen, wanted: Wanted) -> int:
    """Draw it until it is left; the exit code."""
    return await detachable(screen, streams, [], lambda: _draw(streams, screen, wanted), _nothing)


async def _draw(streams: Streams, screen: Screen, wanted: Wanted) -> int:
    drawn: list[str] = []
    rates = Rates()
    while True:
        width, height = screen.size
        room = max(1, height - 2)  # the header, and the line below
        limit = room if wanted.limit is None else min(room, wanted.limit)
        found = (await streams.list(limit, wanted.status, wanted.since)).streams
        lines = _lines(screen, table_of(screen, found, rates=rates.of(found)), width)
        before = erased([*drawn, ""], width) if drawn else ""
        await screen.draw(before + "".join(f"{line}\n" for line in lines))
        drawn = lines
        await anyio.sleep(PAUSE)


def _lines(screen: Screen, table: Table, width: int) -> list[str]:
    if not table.rows:
        return [NOTHING[:width]]
    rows = [[clean(cell, one_line=True) for cell in row] for row in table.rows]
    header, *lines = columns([table.header, *rows], width, table.flexible, table.optional, table.right)
    return [f"\x1b[1m{header}\x1b[0m" if screen.color else header, *lines]


class Rates:
    """How fast streams grow, from one look to the next."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}

    def of(self, streams: list[Stream]) -> dict[str, float]:
        """Bytes a second of those that run and were seen before."""
        now = time.monotonic()
        rates = {
            stream.id: (stream.bytes - self._seen[stream.id][1]) / (now - self._seen[stream.id][0])
            for stream in streams
            if stream.status is Status.STREAMING and stream.id in self._seen
        }
        self._seen = {stream.id: (now, stream.bytes) for stream in streams}
        return rates


async def _nothing() -> None:
    """What Ctrl-\\ does here."""
