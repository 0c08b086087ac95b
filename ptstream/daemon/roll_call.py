"""What this daemon tells of itself to others that keep their streams at the same place, again and again."""

from __future__ import annotations

import os
import socket
import time

import anyio

from ptstream import __version__
from ptstream.daemon.daemon import Daemon
from ptstream.roll_call import RunningDaemon, told_of

AGAIN = 3.0
"""Seconds between two times that it is told."""


async def tell_others(daemon: Daemon) -> None:
    """For as long as it runs."""
    began = time.time()
    while True:
        status = daemon.status()
        daemon.owner.tell(
            told_of(
                RunningDaemon(
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    version=__version__,
                    began_at=began,
                    running=status["running"],
                    paused=status["paused"],
                    listen=status["listen"],
                    trouble=status["trouble"],
                    heard=0.0,
                )
            )
        )
        await anyio.sleep(AGAIN)
