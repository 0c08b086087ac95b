"""Lock files that several processes lock in turn: by flock, which a process's other uses of the file do not release.

Such a file is never unlinked: the next one locks the same file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from functools import partial


@contextlib.contextmanager
def lock_file(path: str) -> Iterator[Callable[[], bool]]:
    """The lock file `path`, open: a call takes its lock, if nobody has it, and says whether. Raises OSError."""
    descriptor = _opened(path)
    try:
        yield partial(taken, descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file `path`; waits for it. Raises OSError."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: str) -> Iterator[bool]:
    """Hold the lock file `path`, if nobody does: whether it is held now. Not where it cannot be opened, either."""
    try:
        descriptor = _opened(path)
    except OSError:  # no descriptor free, a full disk
        yield False
        return
    try:
        yield taken(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def taken(descriptor: int) -> bool:
    """Lock an open file or folder, until it is closed, if nobody holds its lock: whether it is now. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
