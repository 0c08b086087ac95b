"""The live end of a running stream: one append-only file of raw text that its owner writes and readers `pread`.

A piece is written here, whole, before anybody is woken, so what a screen shows has survived every process. It
knows neither the store nor what a stream is: a path, the offset where the file's text begins, and bytes.
"""

from __future__ import annotations

import contextlib
import os

from ptstream.bell import Bell
from ptstream.ownership import opened
from ptstream.streams import whole


class Tail:
    """The writer's side. `begin` and `end` are offsets in the stream, in bytes."""

    def __init__(self, path: str, begin: int) -> None:
        """Make the file (mode 0600). Raises OSError, FileExistsError included."""
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._rest = b""
        self.end = begin
        self.bell = Bell()

    def append(self, data: bytes) -> None:
        """Keep `data` and wake the readers.

        Raises OSError when the disk takes no more; what it did not take is remembered, and `retry` goes on with it.
        """
        self._rest += data
        self.retry()

    def retry(self) -> None:
        """Write what an earlier `append` could not. Raises OSError as it does."""
        while self._rest:
            written = os.write(self._fd, self._rest)
            self.end += written
            self._rest = self._rest[written:]
        self.bell.ring()

    def close(self) -> None:
        """Close the file and leave it where it is: whoever meets the stream recovers it from there."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.bell.ring()

    def discard(self) -> None:
        """Close and unlink, once the store has all of it. Readers that have it open read on to its end."""
        with contextlib.suppress(OSError):  # what cannot be unlinked now is swept later
            os.unlink(self._path)
        self.close()


class TailReader:
    """A reader's side, in whatever process."""

    def __init__(self, path: str, begin: int) -> None:
        """Open the file. Raises FileNotFoundError when it is gone (or not made yet), OSError."""
        self._fd = -1
        self._fd = opened(path)
        self.begin = begin

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`, whole characters; b"" when there is nothing beyond it now."""
        data = os.pread(self._fd, limit, offset - self.begin)
        return data[: whole(data)]

    def close(self) -> None:
        """Let go of the file. A reader that is merely dropped does so too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = close
