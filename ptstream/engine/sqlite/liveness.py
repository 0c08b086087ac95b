"""Who lives: an owner holds the lock of a file named after it for as long as its process does.

The name is random and never used again, so a file that is absent or unlocked means dead, for ever. A process that
is only stopped, or a machine that slept, keeps its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref

from ptstream.engine.handover import is_nobody, waits_until
from ptstream.engine.roll_call import Told
from ptstream.ownership import opened
from ptstream.settings import Home


class Lease:
    """This process's lease: proof that it lives, until `release` or its death. In a forked child it is void."""

    def __init__(self, home: Home) -> None:
        """Take it. Raises OSError."""
        self.id = os.urandom(8).hex()
        self._path = os.path.join(home.owners, self.id)
        self._fd = -1
        while self._fd < 0:
            self._fd = _locked_and_named(self._path)
        _void_in_children(self)

    def tell(self, text: str) -> None:
        """Write it into the file, for whoever looks; on a full disk it is told when there is room again."""
        with contextlib.suppress(OSError):
            data = text.encode()
            os.ftruncate(self._fd, os.pwrite(self._fd, data, 0))

    def release(self) -> None:
        """Give it up: whatever is still `streaming` under this name is now for others to recover."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self.void()

    def void(self) -> None:
        """Close the descriptor alone, as a forked child must: a copy of it would keep the lock alive."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _locked_and_named(path: str) -> int:
    """The descriptor of a locked file, which nobody could see under its name before; -1 if it was swept meanwhile."""
    making = path + ".new"
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        os.rename(making, path)
    except FileNotFoundError:
        os.close(descriptor)
        return -1
    return descriptor


def _void_in_children(lease: Lease) -> None:
    reference = weakref.ref(lease)

    def in_child() -> None:
        held = reference()
        if held is not None:
            held.void()

    os.register_at_fork(after_in_child=in_child)


def alive(home: Home, owner: str) -> bool:
    """Whether the owner's process still is. One that may not be looked at just now is not known to be dead.

    Nobody lives for as long as a stream waits to be taken.
    """
    if is_nobody(owner):
        return time.time() < waits_until(owner)
    try:
        # It is a regular file, or there is nothing to wait for.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(os.path.join(home.owners, owner), flags)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # Shared: two that check at once must not take each other for a living owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def told(home: Home) -> list[Told]:
    """What living owners have told."""
    found = []
    for name in os.listdir(home.owners) if os.path.isdir(home.owners) else ():
        path = os.path.join(home.owners, name)
        with contextlib.suppress(OSError):
            if (seen := os.stat(path)).st_size and alive(home, name):
                with open(opened(path), "rb") as file:
                    found.append(Told(file.read().decode("utf-8", "replace"), time.time() - seen.st_mtime))
    return found


def sweep(home: Home, streaming: frozenset[str]) -> None:
    """Unlink the files of dead owners, except of those named in `streaming`, which still await recovery.

    One that is just being born may lose its file before it has locked it, and makes another.
    """
    for name in os.listdir(home.owners):
        if name not in streaming and not alive(home, name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(home.owners, name))


def boot_id(place: str = "/proc/sys/kernel/random/boot_id") -> str:
    """A word for the machine's present boot: what was written in another one may have been lost with the power."""
    try:
        with open(place, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _boot_session()


def _boot_session() -> str:
    """The same from macOS, which has no /proc; without either, tails of an earlier boot cannot be distinguished."""
    import subprocess

    try:
        answer = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
