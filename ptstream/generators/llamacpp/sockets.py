"""The sockets of llama.cpp's processes in the home, and those that a process left behind which was killed."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from contextlib import suppress

STALE_SECONDS = 60.0
"""How old a socket that nobody listens on must be to belong to a process that is gone."""

_BEGIN, _END = "model-", ".sock"


def new_path(folder: str) -> str:
    """A path for another one."""
    return os.path.join(folder, f"{_BEGIN}{secrets.token_hex(4)}{_END}")


def sweep(folder: str) -> None:
    """Remove the sockets of processes that were killed together with their owner."""
    for name in os.listdir(folder):
        if name.startswith(_BEGIN) and name.endswith(_END):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                # A young one may have been made, but not be listened on yet.
                if time.time() - os.stat(path).st_mtime > STALE_SECONDS and _deserted(path):
                    os.unlink(path)


def _deserted(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
