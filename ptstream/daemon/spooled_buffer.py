"""Bytes that wait for a client that is slower than what is made for it: in memory, and beyond that on the disk.

Whoever makes them never waits; so there are bounds to what waits for one client, and for all of them together: beyond
those the client is given up, not what is made. It knows nothing of HTTP.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

from ptstream.bell import Bell
from ptstream.errors import PtstreamError, StreamFailed

MEMORY = 1024 * 1024
"""Bytes that wait in memory; what comes beyond that waits in files."""

MOST = 64 * 1024 * 1024
"""Bytes that may wait in files for one client."""

MOST_OF_ALL = 512 * 1024 * 1024
"""Bytes of such files that there may be, of all clients together."""

FILE = 8 * 1024 * 1024
"""Bytes of a file, about, from which on there is another: each goes when it has been read."""

AT_ONCE = 256 * 1024
"""Bytes that are read of a file at once."""


@dataclass(slots=True, eq=False)
class Quota:
    """Bytes that the files of all buffers may still take."""

    free: int = MOST_OF_ALL


@dataclass(slots=True, eq=False)
class _File:
    """What waits in it, from `begin` to `end`. It has no name, so that no death leaves it behind."""

    file: IO[bytes]
    begin: int = 0
    end: int = 0

    def append(self, data: memoryview) -> None:
        """Raises OSError for a disk that takes no more."""
        while data:
            written = os.pwrite(self.file.fileno(), data, self.end)
            self.end += written
            data = data[written:]

    def take(self) -> bytes:
        data = os.pread(self.file.fileno(), min(AT_ONCE, self.end - self.begin), self.begin)
        self.begin += len(data)
        return data


class SpooledBuffer:
    """A queue of bytes with one reader. Its files lie in `folder`, and exist only while they are needed."""

    def __init__(self, folder: str, quota: Quota | None = None, *, memory: int = MEMORY, most: int = MOST) -> None:
        self._folder = folder
        self._quota = quota or Quota()
        self._limit = memory
        self._most = most
        self._memory = bytearray()
        self._files: deque[_File] = deque()
        self._bell = Bell()
        self._ended = self._abandoned = False
        self._error: PtstreamError | None = None

    @property
    def on_disk(self) -> int:
        """Bytes of the files that there are just now."""
        return sum(file.end for file in self._files)

    def put(self, data: bytes) -> None:
        """Let `data` wait. Where there is no space for it, its reader is dropped; whoever makes the bytes goes on."""
        if self._abandoned or self._ended:
            return
        if not self._files and len(self._memory) + len(data) <= self._limit:
            self._memory += data
        elif self.on_disk + len(data) > self._most or len(data) > self._quota.free:
            self._give_up("a client has fallen too far behind its answer, which its stream holds")
        else:
            try:
                self._store(memoryview(data))
            except OSError as error:
                self.end(StreamFailed(f"no space for what waits for a client: {error.strerror}"))
        self._bell.ring()

    def end(self, error: PtstreamError | None = None) -> None:
        """Nothing more comes; what waits still goes to the reader, who then meets its end, or the error."""
        if not self._ended:
            self._ended, self._error = True, error
            self._bell.ring()

    def leave(self) -> None:
        """The reader is gone: nothing waits any more."""
        self._abandoned = True
        self._memory.clear()
        while self._files:
            self._give_back()

    async def runs(self) -> AsyncIterator[bytes]:
        """What waits, in order, and what comes, to the end. Raises the error that it ended with."""
        while True:
            rung = self._bell.next()
            if data := self._take():
                yield data
            elif not self._ended:
                await rung.wait()
            elif self._error:
                raise self._error
            else:
                return

    def _give_up(self, why: str) -> None:
        """At once: what waits would never be taken, or by nobody who could do anything with a part of it."""
        self.end(StreamFailed(why))
        self.leave()

    def _store(self, data: memoryview) -> None:
        if not self._files or self._files[-1].end >= FILE:
            # In the home and not in /tmp, which is memory on many machines. `leave`, or the last byte, closes it.
            self._files.append(_File(tempfile.TemporaryFile(dir=self._folder, buffering=0)))  # noqa: SIM115
        before = self._files[-1].end
        try:
            self._files[-1].append(data)
        finally:
            self._quota.free -= self._files[-1].end - before

    def _take(self) -> bytes:
        """The oldest bytes: memory's are older than the files'."""
        if self._memory:
            data = bytes(self._memory)
            self._memory.clear()
            return data
        if not self._files:
            return b""
        data = self._files[0].take()
        if self._files[0].begin == self._files[0].end:
            self._give_back()
        return data

    def _give_back(self) -> None:
        oldest = self._files.popleft()
        self._quota.free += oldest.end
        oldest.file.close()
