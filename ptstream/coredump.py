"""No image of a process that holds keys and prompts comes into a file, or into the hands of another process.

What such a process starts inherits its limit on core files: a user's own command gets the user's back (`limited`).
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import AsyncIterator

import anyio

PR_SET_DUMPABLE = 4


def forbid() -> None:
    """No core file of this process. On Linux, no process but root's looks into its memory or its environment, either.

    The limit alone would not do there: it does not hold for cores that are piped to a program, see core(5).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


_starting = anyio.Lock()
"""One at a time: the limit is the whole process's, and whoever is started meanwhile inherits it."""


@contextlib.asynccontextmanager
async def limited(size: int | None) -> AsyncIterator[None]:
    """While a command is started whose core files may have `size` bytes. None, and afterwards: no core files."""
    if not size:
        yield
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    unlimited = resource.RLIM_INFINITY
    least = size if hard == unlimited else hard if size == unlimited else min(size, hard)
    async with _starting:
        resource.setrlimit(resource.RLIMIT_CORE, (least, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
