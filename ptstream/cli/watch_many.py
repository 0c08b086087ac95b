"""Watching several streams at once: those that the line names, or all that run and will run. One task for each."""

from __future__ import annotations

import codecs
import time
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from functools import partial

import anyio
from anyio.abc import TaskGroup

from ptstream.cli.beginning import Beginning
from ptstream.cli.cursor_file import CursorFile
from ptstream.cli.line_output import Line, LineCutter, LineOutput
from ptstream.cli.screen import Screen
from ptstream.cli.several import Named, all_at_once, attempted
from ptstream.cli.text_output import say_end
from ptstream.errors import StreamNotFound
from ptstream.streams import Kept, Status, Stream
from ptstream.streams_protocol import Streams
from ptstream.ungrouped import ungrouped

LOOK = 0.5
"""Seconds between two looks for streams that have begun."""

NEWEST = 50
"""Streams of a look, newest first; then four times as many, until all that are new are among them."""


class WatchMany:
    """Streams side by side. With `json`, an object for each run of text instead of lines."""

    def __init__(
        self,
        streams: Streams,
        screen: Screen,
        beginning: Beginning,
        *,
        live: bool,
        json: bool,
        timestamps: bool,
        labelled: bool = True,
        cursors: CursorFile | None = None,
    ) -> None:
        self._streams = streams
        self._screen = screen
        self._beginning = beginning
        self._live = live
        self._json = json
        self._timestamps = timestamps
        self._output = LineOutput(screen, labelled=labelled)
        self._cursors = cursors
        self._turn = anyio.Lock()

    async def these(self, several: Sequence[Named]) -> int:
        """Until all have ended; the exit code is the first that is not 0, in their order."""
        self._output.introduce(*(each for each in several if isinstance(each, Stream)))
        return await all_at_once(self._screen, several, partial(self._follow, self._beginning))

    async def all(self, statuses: Sequence[Status]) -> int:
        """All that run (or are of these statuses) now, and whatever will be. Runs until it is cancelled."""
        arrivals = Arrivals(self._streams, statuses, self._cursors)
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                self._begin(tasks, await arrivals.first(), self._beginning)
                while True:
                    await anyio.sleep(LOOK)
                    self._begin(tasks, await arrivals.next(), Beginning())
        return 0

    def _begin(self, tasks: TaskGroup, streams: Iterable[Stream], beginning: Beginning) -> None:
        found = list(streams)
        self._output.introduce(*found)
        for stream in found:
            tasks.start_soon(attempted, self._screen, partial(self._follow, beginning), stream)

    async def _follow(self, beginning: Beginning, stream: Stream) -> int:
        """Show it to its end; the exit code of that."""
        begin = self._cursors.offset(stream.id) if self._cursors else None
        if begin is None:
            begin = await beginning.of(self._streams, stream)
            self._put(stream.id, begin)
        async with aclosing(self._streams.follow(stream.id, begin, live=self._live)) as runs:
            await (self._objects(stream.id, runs, begin) if self._json else self._lines(stream.id, runs, begin))
        return self._end(await self._streams.get(stream.id))

    async def _objects(self, id: str, runs: AsyncIterable[bytes], offset: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async for data in runs:
            offset += len(data)
            self._screen.data({"id": id, "text": decoder.decode(data), "offset": offset})
            self._put(id, offset)

    async def _lines(self, id: str, runs: AsyncIterable[bytes], offset: int) -> None:
        cutter = LineCutter(offset)
        async for data in runs:
            await self._show(id, cutter.feed(data))
        await self._show(id, cutter.end())

    def _end(self, ended: Stream) -> int:
        if self._json:
            fields = {"status": ended.status.value, "offset": ended.bytes, "error": ended.error, "note": ended.note}
            self._screen.data({"id": ended.id, **fields})
        if self._cursors:
            self._cursors.put(ended.id, ended.bytes, ended=True)
        return say_end(self._screen, ended, among_others=True)

    def _put(self, id: str, offset: int) -> None:
        if self._cursors:
            self._cursors.put(id, offset)

    async def _show(self, id: str, lines: Sequence[Line]) -> None:
        if not lines:
            return
        times = await came_at(self._streams, id, lines) if self._timestamps else []
        # What is being written is written whole, and noted, before an interrupt ends it: a further one does so at once.
        async with self._turn:
            drawn, begin, end = self._output.drawn(id, lines, times), lines[0].start, lines[-1].stop
            with anyio.CancelScope(shield=self._cursors is not None):
                noted = self._cursors is not None and self._cursors.intend(
                    id, begin, end, drawn.encode("utf-8", "replace")
                )
                await self._screen.draw(drawn)
                if not noted:
                    self._put(id, end)


async def came_at(streams: Streams, id: str, lines: Sequence[Line]) -> list[float]:
    """When each line was whole (Unix seconds): when the chunk was kept that has its end; what is in none came now."""
    times: list[float] = []
    chunks: list[Kept] = []
    for line in lines:
        chunks = [chunk for chunk in chunks if chunk.stop >= line.stop]
        if not chunks:
            chunks = (await streams.chunks(id, line.stop - 1)).chunks
        times.append(chunks[0].at if chunks else time.time())
    return times


class Arrivals:
    """Streams that are to be shown, each once: of these statuses, or else those that run."""

    def __init__(self, streams: Streams, statuses: Sequence[Status], cursors: CursorFile | None = None) -> None:
        """With `cursors`, all that came since they were left, too."""
        self._streams = streams
        self._cursors = cursors
        self._statuses = statuses or (Status.STREAMING,)
        self._known: set[str] = set()
        self._waiting: set[str] = set()
        """Pending: none of them is missed, however quickly it ends."""
        self._unnoted: set[str] = set()
        self._newest = 0.0

    async def first(self) -> list[Stream]:
        """What is there, the oldest first."""
        self._waiting = {stream.id for stream in (await self._streams.list(None, (Status.PENDING,))).streams}
        if self._cursors:
            self._known = set(self._cursors.ended)
            self._waiting |= {*self._cursors.begun}
        if self._cursors and self._cursors.newest is not None:
            self._newest = self._cursors.newest
        else:
            newest = (await self._streams.list(1)).streams
            self._newest = newest[0].created_at if newest else 0.0
            self._known |= {stream.id for stream in newest if stream.status.ended}
        left = await self._look() if self._cursors else []
        return left + self._taken((await self._streams.list(None, self._statuses)).streams[::-1])

    async def next(self) -> list[Stream]:
        """What has come since the last look."""
        if self._cursors:
            self._note(self._cursors)
        return await self._look()

    async def _look(self) -> list[Stream]:
        new = await self._made_since()
        self._waiting |= {stream.id for stream in new if stream.status is Status.PENDING}
        found = [stream for stream in new if stream.status is not Status.PENDING]
        found += (await self._streams.list(None, (Status.STREAMING,))).streams
        if self._waiting:
            pending = {stream.id for stream in (await self._streams.list(None, (Status.PENDING,))).streams}
            found += [stream for id in self._waiting - pending if (stream := await self._get(id))]
            self._waiting &= pending
        return self._taken(sorted(found, key=lambda stream: stream.created_at))

    def _note(self, cursors: CursorFile) -> None:
        """What the next call is to know: which streams wait, and of what age on it is to look for others.

        Only once all that were found before are among the cursors.
        """
        for id in self._waiting:
            if cursors.offset(id) is None:
                cursors.put(id, 0)
        self._unnoted = {id for id in self._unnoted if cursors.offset(id) is None}
        if not self._unnoted:
            cursors.put_newest(self._newest)

    def _taken(self, found: Iterable[Stream]) -> list[Stream]:
        new = {stream.id: stream for stream in found if stream.id not in self._known}
        self._known |= new.keys()
        self._unnoted |= new.keys()
        return list(new.values())

    async def _made_since(self) -> list[Stream]:
        """Those that were made as late as the newest that is known, or later."""
        limit = NEWEST
        while True:
            page = (await self._streams.list(limit)).streams
            new = [stream for stream in page if stream.created_at >= self._newest]
            if len(new) < limit or len(page) < limit:
                self._newest = max((stream.created_at for stream in new), default=self._newest)
                return new
            limit *= 4

    async def _get(self, id: str) -> Stream | None:
        try:
            return await self._streams.get(id)
        except StreamNotFound:
            if self._cursors:
                self._cursors.forget(id)
            return None
