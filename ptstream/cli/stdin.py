"""Standard input, read in an event loop."""

from __future__ import annotations

import os
from contextlib import suppress

import anyio
import anyio.lowlevel

from ptstream.cli.output import OutputClosed, OutputFailed
from ptstream.cli.screen import Screen

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


def pass_on(screen: Screen) -> None:
    """Standard input to standard output, to its end; when nobody takes it any more, it is read all the same."""
    taken = True
    with suppress(OSError):
        while data := os.read(0, AT_ONCE):
            try:
                if taken:
                    screen.text(data)
            except (OutputClosed, OutputFailed):
                taken = False
    if taken:
        with suppress(OutputClosed, OutputFailed):
            screen.finish()
