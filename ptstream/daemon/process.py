"""The daemon's process: what it is given when it is started, in the background or in the foreground, and its lock.

The lock is the proof that it lives; a pid proves nothing. What it does while it has it is `lifecycle.py`'s.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import resource
import time
from collections.abc import Callable, Iterator

import anyio

from ptstream import coredump, wire
from ptstream.daemon.lifecycle import live
from ptstream.daemon.log import begin as begin_log
from ptstream.daemon.pid1 import leave_process_one
from ptstream.errors import PtstreamError
from ptstream.lock_files import lock_file
from ptstream.quick_exit import quick_exit
from ptstream.settings import Home, store_of

log = logging.getLogger("ptstream")

CHANGE_TIME = 5.0
"""Seconds that a daemon which does not listen is waited for, until it does or is gone."""

MAX_FILES = 65_536
"""Open files that we ask for, if we may: the commands that we start inherit it, and some close them all, one by one."""


def main(argv: list[str] | None = None) -> None:
    """What the background process runs."""
    parser = argparse.ArgumentParser(prog="python -m ptstream.daemon")
    parser.add_argument("--home", required=True)
    parser.add_argument("--ready-fd", type=int)
    options = parser.parse_args(argv)
    home = Home(os.path.abspath(options.home), store_of(os.environ))
    begin_log(home.log if options.ready_fd is not None else None)
    os.chdir("/")  # holds no directory that somebody may want to unmount
    starter = _Starter(options.ready_fd)
    try:
        ran = run(home, starter.ready)
    except PtstreamError as error:
        starter.failed(error)
        log.error("%s", error)
        quick_exit(error.exit_code)
    if not ran:
        starter.ready()  # another one was faster, and is as good
    quick_exit(0)


class _Starter:
    """Whoever started us, who learns once, over a pipe, whether we are ready."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        self._say(wire.READY)

    def failed(self, error: PtstreamError) -> None:
        self._say(wire.error_body(error))

    def _say(self, what: bytes) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._descriptor, what)
            os.close(self._descriptor)
            self._descriptor = None


def run(
    home: Home,
    ready: Callable[[], object] = lambda: None,
    listen: str | None = None,
    *,
    token: bool = True,
    plain_http: bool = False,
) -> bool:
    """Be the home's daemon until a request or a signal stops it; False at once if it has one.

    `listen` is where it answers on TCP besides (else what the config file says), with a token or without; as
    `plain_http`, also where that would go over a network in the clear. Raises ConfigurationError, when a newer
    ptstream has migrated the database as well.
    """
    coredump.forbid()
    leave_process_one()
    os.umask(0o077)
    home.make()
    _allow_many_files()
    with _lock(home) as got:
        if got:
            anyio.run(live, home, ready, listen, token, plain_http)
    return got


@contextlib.contextmanager
def _lock(home: Home) -> Iterator[bool]:
    """Whether we have the daemon's lock. Who holds it and does not listen begins, or ends: that is waited for."""
    deadline = time.monotonic() + CHANGE_TIME
    with lock_file(home.lock("daemon")) as taken:
        while not (got := taken()) and not os.path.exists(home.socket) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield got


def _allow_many_files() -> None:
    """Each running stream holds its tail open, each reader a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
