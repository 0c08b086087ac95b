"""Whether the daemon is still of use: its socket, database and program where they were, the database of its version."""

from __future__ import annotations

import logging
import os

import anyio

from ptstream.daemon.daemon import Daemon
from ptstream.errors import PtstreamError, StoreNewer
from ptstream.ticks import next_tick

log = logging.getLogger("ptstream")

PLACE_POLL = 1.0
"""Seconds between two looks whether the home and its database are still those that we serve."""


class SameFile:
    """A file as it is now: what lies there later may be another home's."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._inode = self._look()

    def _look(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    @property
    def lost(self) -> bool:
        """Whether it is gone, or another file. What cannot be seen just now is not lost."""
        try:
            return self._look() != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False


async def end_when_displaced(daemon: Daemon, socket: SameFile) -> None:
    """Without its socket, or the program that it runs, a daemon is of no use once it is idle.

    Without its database, whatever it wrote is lost.
    """

    def missed() -> str | None:
        if lost := daemon.engine.lost:
            return lost
        if daemon.owner.running:
            return None
        # Installed elsewhere, or not any more: llama.cpp's process, for one, can no longer be started.
        return socket.path if socket.lost else (None if os.path.exists(__file__) else __file__)

    while (path := missed()) is None:
        await anyio.sleep_until(next_tick(PLACE_POLL))
    log.error("%s was removed or replaced", path)
    daemon.stop.set()


async def end_when_migrated(daemon: Daemon) -> None:
    """The newer ptstream that did it starts a daemon of its own; in this one nothing can be driven any more."""
    while daemon.failure is None:
        await anyio.sleep_until(next_tick(PLACE_POLL))
        try:
            await daemon.engine.check()
        except StoreNewer as error:
            daemon.failure = error
            daemon.stop.set()
        except PtstreamError:  # a store that cannot be read now is looked at again
            pass
