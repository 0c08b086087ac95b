"""Bytes that wait for a client that is slower than what is made for it: in memory, and beyond that on the disk.

Whoever makes them never waits. It knows nothing of HTTP.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from ptstream.errors import PtstreamError, StreamFailed
from ptstream.tail import Bell

MEMORY = 1024 * 1024
"""Bytes that wait in memory; what comes beyond that waits in a file."""

AT_ONCE = 256 * 1024
"""Bytes that are read of the file at once."""


class Backlog:
    """A queue of bytes with one reader.

    The file has no name, so that no death leaves it behind. It lies in `folder`, and exists only while it is needed.
    """

    def __init__(self, folder: str, memory: int = MEMORY) -> None:
        self._folder = folder
        self._limit = memory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._begin = self._end = 0  # of what waits in the file
        self._bell = Bell()
        self._over = self._left = False
        self._error: PtstreamError | None = None

    @property
    def on_disk(self) -> int:
        """Bytes of the file that is there just now."""
        return self._end if self._file else 0

    def put(self, data: bytes) -> None:
        """Let `data` wait. On a disk that takes no more the reader is given up, and whoever makes the bytes is not."""
        if self._left or self._over:
            return
        if self._file is None and len(self._memory) + len(data) <= self._limit:
            self._memory += data
        else:
            try:
                self._store(data)
            except OSError as error:
                self.end(StreamFailed(f"no room for what waits for a client: {error.strerror}"))
        self._bell.ring()

    def end(self, error: PtstreamError | None = None) -> None:
        """Nothing more comes; what waits still goes to the reader, who then meets its end, or the error."""
        if not self._over:
            self._over, self._error = True, error
            self._bell.ring()

    def leave(self) -> None:
        """The reader is gone: nothing waits any more."""
        self._left = True
        self._memory.clear()
        self._give_back()

    async def runs(self) -> AsyncIterator[bytes]:
        """What waits, in order, and what comes, to the end. Raises the error that it ended with."""
        while True:
            rung = self._bell.next()
            if data := self._take():
                yield data
            elif not self._over:
                await rung.wait()
            elif self._error:
                raise self._error
            else:
                return

    def _store(self, data: bytes) -> None:
        if self._file is None:
            # In the home and not in /tmp, which is memory on many machines. `leave`, or the last byte, closes it.
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            self._begin = self._end = 0
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file.fileno(), rest, self._end)
            self._end += written
            rest = rest[written:]

    def _take(self) -> bytes:
        """The oldest bytes: memory's are older than the file's."""
        if self._memory:
            data = bytes(self._memory)
            self._memory.clear()
            return data
        if self._file is None:
            return b""
        data = os.pread(self._file.fileno(), min(AT_ONCE, self._end - self._begin), self._begin)
        self._begin += len(data)
        if self._begin == self._end:
            self._give_back()
        return data

    def _give_back(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
