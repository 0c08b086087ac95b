"""Standard input, read in an event loop."""

from __future__ import annotations

import os
from contextlib import suppress

import anyio
import anyio.lowlevel

AT_ONCE = 64 * 1024
"""Bytes that are taken from standard input at once."""


async def next_bytes() -> bytes:
    """What comes next, b"" at its end.

    Through the loop, not in a thread, which would keep the process alive; a file never makes one wait.
    """
    while True:
        try:
            await anyio.wait_readable(0)
        except (PermissionError, OSError):  # epoll takes no regular file
            await anyio.lowlevel.checkpoint()
        with suppress(BlockingIOError):  # somebody has made it non-blocking, and was faster
            return os.read(0, AT_ONCE)
