"""The live end of a running stream: one append-only file of raw text that its owner writes and readers `pread`.

A piece is written here, whole, before anybody is woken, so what a screen shows has survived every process. It
knows neither the store nor what a stream is: a path, the offset where the file's text begins, and bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ptstream.bell import Bell
from ptstream.ownership import opened
from ptstream.streams import whole

DISK_RETRY = 0.25
"""Seconds between two tries to write the tail on a full disk."""


class FileTail:
    """The writer's side (see `protocol.Tail`): a write keeps at once, unless the disk is full."""

    def __init__(self, path: str, begin: int, closed: Callable[[], None] = lambda: None) -> None:
        """Make the file (mode 0600), for text from byte `begin` of the stream on; `closed` is called when it is let go.

        Raises OSError, FileExistsError included.
        """
        self._path = path
        self._closed = closed
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._rest = b""
        self.kept = begin
        self.trouble: str | None = None
        self.bell = Bell()

    @property
    def end(self) -> int:
        """Where the text that was given ends."""
        return self.kept + len(self._rest)

    def append(self, data: bytes) -> bool:
        """Write it. False when the disk takes no more now; what it did not take is remembered."""
        self._rest = self._rest + data if self._rest else data
        return self._write()

    async def caught_up(self) -> None:
        """Try again, until the disk has taken all, or nobody wants it any more."""
        import anyio

        while self._fd >= 0 and not self._write():
            await anyio.sleep(DISK_RETRY)

    def _write(self) -> bool:
        try:
            while self._rest:
                written = os.write(self._fd, self._rest)
                self.kept += written
                self._rest = self._rest[written:]
        except OSError as error:
            self.trouble = f"the tail cannot be written: {error.strerror}"
            return False
        self.trouble = None
        self.bell.ring()
        return True

    def close(self) -> None:
        """Close the file and leave it where it is: whoever meets the stream recovers it from there."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._closed()
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
        self.path = path
        self.begin = begin

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`, whole characters; b"" when there is nothing beyond it now."""
        data = os.pread(self._fd, limit, offset - self.begin)
        return data[: whole(data)]

    @property
    def end(self) -> int:
        """Where the text in it ends now, in bytes from the start of the stream."""
        return self.begin + os.fstat(self._fd).st_size

    def close(self) -> None:
        """Let go of the file. A reader that is merely dropped does so too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = close
