"""A descriptor to write to: whole, unbuffered, blocking or in an event loop, and what a failed write means.

On the fast path: what copying bytes does not need is imported where it is used.
"""

from __future__ import annotations

import errno
import os
import stat
from select import select

from ptstream.errors import PtstreamError

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from anyio import Lock

STDERR_SECONDS = 1.0
"""Seconds that stderr waits for a terminal that takes nothing, so that no message keeps a process alive."""

_SURELY = 512
"""Bytes that a descriptor which says it is writable takes without blocking: the least PIPE_BUF of POSIX."""


PIPE, WIDE_PIPE = 64 * 1024, 1024 * 1024
"""Bytes that a pipe holds, and those that Linux lets anybody have it hold (pipe(7)): where a text is larger than the
first, it is read on while the pipe's reader reads."""


class OutputClosed(PtstreamError):
    """Standard output was closed by its reader, or its terminal hung up."""

    exit_code = 141
    code = "output-closed"


class OutputFailed(PtstreamError):
    """Standard output takes no more, though its reader is still there: a full disk, for one."""

    code = "output-failed"


class Output:
    """A descriptor to write to. It belongs to others too: the shell, a pager, the rest of a pipeline."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.terminal = os.isatty(fd)
        self._alone: int | None = None
        self._shared = False
        self._lock: Lock | None = None
        self._widened = False
        self._rest = bytearray()  # what was to be written and is not yet: whoever is next begins with it

    def write(self, data: bytes) -> None:
        """Writes all of `data`, also where somebody has made the descriptor non-blocking."""
        if len(data) > PIPE and not self._widened:
            self._widen()
        left = memoryview(bytes(self._rest) + data if self._rest else data)  # a large one is not copied
        try:
            while left:
                try:
                    left = left[os.write(self.fd, left) :]
                except BlockingIOError:
                    select([], [self.fd], [])
                except OSError as error:
                    raise _refusal(error) from error
        finally:
            self._rest[:] = left

    def _widen(self) -> None:
        self._widened = True
        try:
            import fcntl

            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, WIDE_PIPE)
        except (AttributeError, OSError):  # not Linux; no pipe, or more than one user may have
            return

    def try_write(self, data: bytes) -> None:
        """Writes as much of `data` as is taken with `STDERR_SECONDS`."""
        rest = memoryview(data)
        try:
            fd = self._own() if self.terminal else self.fd
            while rest and select([], [fd], [], STDERR_SECONDS)[1]:
                rest = rest[os.write(fd, rest[:_SURELY]) :]
        except OSError:
            return

    async def send(self, data: bytes) -> None:
        """Writes all of `data`, waiting in the event loop.

        Not in a thread: one that hangs in `write` cannot be cancelled and holds up the exit, and the way
        there costs a piece more than its write. Not by O_NONBLOCK on the descriptor as it is: the flag would
        be the shell's too. So the terminal or pipe is opened once more; where that fails, only as much is
        written as a descriptor that says it is writable surely takes.
        """
        self._rest += data
        try:
            if (self._lock and self._lock.locked()) or not self._goes():
                from anyio import Lock

                self._lock = self._lock or Lock(fast_acquire=True)
                async with self._lock:
                    await self._send()
        except OSError as error:
            raise _refusal(error) from error

    def _goes(self) -> bool:
        """Whether all could be written at once, as it nearly always can: then nobody need wait."""
        fd = self._own()
        try:
            while self._rest and not self._shared:
                del self._rest[: os.write(fd, self._rest)]
        except BlockingIOError:
            return False
        return not self._rest

    async def _send(self) -> None:
        from anyio import wait_writable

        fd = self._own()
        while self._rest:
            if self._shared:
                await wait_writable(fd)
            try:
                del self._rest[: os.write(fd, self._rest[:_SURELY] if self._shared else self._rest)]
            except BlockingIOError:
                await wait_writable(fd)

    def close(self) -> None:
        """Closes what was opened here."""
        if self._alone not in (None, self.fd):
            os.close(self._alone)
        self._alone = None

    def _own(self) -> int:
        """A descriptor that does not block, or the shared one, which may."""
        if self._alone is None:
            try:
                self._alone = _reopened(self.fd)
            except OSError:
                self._alone, self._shared = self.fd, True
        return self._alone


def _reopened(fd: int) -> int:
    """What `fd` writes to, opened for us alone and non-blocking; `fd` itself if it never makes one wait."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        raise OSError("a socket cannot be opened twice")
    if not stat.S_ISFIFO(mode) and not os.isatty(fd):
        return fd
    path = f"/proc/self/fd/{fd}" if os.path.isdir("/proc/self/fd") else os.ttyname(fd)
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)


def _refusal(error: OSError) -> PtstreamError:
    """What a failed write means. EIO comes from a terminal that has hung up, EBADF from `>&-`."""
    if error.errno in (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.EBADF):
        return OutputClosed("standard output was closed")
    return OutputFailed(f"standard output: {error.strerror}")
