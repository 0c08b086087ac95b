"""The daemon's life: one per home, started in the background or in the foreground, ended by SIGTERM or a request.

The lock is the proof that it lives; the socket appears by a rename when it answers. What it does in between is
`app.py`'s.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator

import anyio
import uvicorn
from anyio.abc import TaskGroup

from ptstream import coredump, wire
from ptstream.config import load
from ptstream.daemon.app import make_app
from ptstream.daemon.drives import Daemon, Face
from ptstream.daemon.init import leave_process_one
from ptstream.daemon.listener import KEPT, LINGER, USUAL, Address, Listener, Server, address_of
from ptstream.daemon.log import begin as begin_log
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.errors import ConfigurationError, PtstreamError, StoreNewer, ungrouped
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.owner import open_owner
from ptstream.settings import Home

log = logging.getLogger("ptstream")

NEAR = 20
"""Ports from the usual one on that are tried for the page."""

SWEEP = 60.0
"""Seconds between two looks for streams whose time to live is over."""

CHANGE_TIME = 5.0
"""Seconds that a daemon which does not listen is waited for, until it does or is gone."""

PLACE_POLL = 1.0
"""Seconds between two looks whether the home and its database are still those that we serve."""

MAX_FILES = 65_536
"""Open files that we ask for, if we may: the commands that we start inherit it, and some close them all, one by one."""


def main(argv: list[str] | None = None) -> None:
    """What the background process runs."""
    parser = argparse.ArgumentParser(prog="python -m ptstream.daemon")
    parser.add_argument("--home", required=True)
    parser.add_argument("--ready-fd", type=int)
    words = parser.parse_args(argv)
    home = Home(os.path.abspath(words.home))
    begin_log(home.log if words.ready_fd is not None else None)
    os.chdir("/")  # holds no directory that somebody may want to unmount
    answer = _Answer(words.ready_fd)
    try:
        ran = run(home, answer.ready)
    except PtstreamError as error:
        answer.failed(error)
        log.error("%s", error)
        sys.exit(error.exit_code)
    if not ran:
        answer.ready()  # another one was faster, and is as good


class _Answer:
    """Tells whoever started us, once, over a pipe."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        self._tell(wire.READY)

    def failed(self, error: PtstreamError) -> None:
        self._tell(wire.error_body(error))

    def _tell(self, what: bytes) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._descriptor, what)
            os.close(self._descriptor)
            self._descriptor = None


def run(
    home: Home,
    ready: object = None,
    listen: str | None = None,
    *,
    token: bool = True,
    plain_http: bool = False,
) -> bool:
    """Be the home's daemon until told to stop; False at once if it has one.

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
            anyio.run(_live, home, ready, listen, token, plain_http)
    return got


@contextlib.contextmanager
def _lock(home: Home) -> Iterator[bool]:
    """The daemon's lock, or that another one has it. Never unlinked: the next one locks the same file."""
    descriptor = os.open(home.lock("daemon"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield _locked(descriptor, home)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, home: Home) -> bool:
    """Whether we have the lock. Who holds it and does not listen is ending, or beginning: that is waited for."""
    deadline = time.monotonic() + CHANGE_TIME
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if os.path.exists(home.socket) or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _allow_many_files() -> None:
    """Each running stream holds its tail open, each reader a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def _live(home: Home, ready: object, listen: str | None, token: bool, plain_http: bool) -> None:
    wire.quiet_cancelled_receives()
    with ungrouped():
        async with (
            open_engine(home, many_readers=True) as engine,
            open_owner(engine) as owner,
            anyio.create_task_group() as tasks,
        ):
            daemon = Daemon(home, engine, owner, LocalServer(home, tasks))
            doors = _Doors(daemon, tasks, token=token, plain_http=plain_http)
            if listen:
                doors.open(address_of(listen))
            else:
                doors.open_configured()
            listener = _listen(home)  # last: whoever finds the socket finds all of it
            server = Server(
                uvicorn.Config(
                    make_app(daemon),
                    log_config=None,
                    log_level="warning",
                    lifespan="off",
                    ws="none",
                    access_log=False,
                    timeout_keep_alive=KEPT,
                    timeout_graceful_shutdown=LINGER,
                )
            )
            tasks.start_soon(_watch_signals, daemon)
            place = _Place(home.socket)
            tasks.start_soon(_delete_expired, engine)
            tasks.start_soon(_end_when_displaced, daemon, place)
            tasks.start_soon(_end_when_migrated, daemon)
            tasks.start_soon(_end_when_told, daemon, server, doors)
            log.info("listening on %s, pid %d", home.socket, os.getpid())
            if callable(ready):
                ready()
            try:
                await server.serve(sockets=[listener])
            finally:
                if not place.lost:
                    os.unlink(home.socket)
                tasks.cancel_scope.cancel()
    if daemon.failure:
        raise daemon.failure
    log.info("ended")


def _listen(home: Home) -> socket.socket:
    """Bound under another name and renamed once it listens, so that a stale socket needs no special case."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    making = home.socket + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(making)
    with wire.short_path(making) as path:
        listener.bind(path)
    os.chmod(making, 0o600)
    listener.listen(1024)
    os.rename(making, home.socket)
    return listener


class _Place:
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


async def _end_when_displaced(daemon: Daemon, place: _Place) -> None:
    """Without its socket, or the program that it runs, a daemon is of no use once it is idle.

    Without its database, whatever it wrote is lost.
    """

    def missed() -> str | None:
        if lost := daemon.engine.lost:
            return lost
        if daemon.owner.running:
            return None
        # Installed elsewhere, or not any more: llama.cpp's process, for one, can no longer be started.
        return place.path if place.lost else (None if os.path.exists(__file__) else __file__)

    while (path := missed()) is None:
        await anyio.sleep(PLACE_POLL)
    log.error("%s was removed or replaced", path)
    daemon.stop.set()


async def _end_when_migrated(daemon: Daemon) -> None:
    """The newer ptstream that did it starts a daemon of its own; in this one nothing can be driven any more."""
    while daemon.failure is None:
        await anyio.sleep(PLACE_POLL)
        try:
            await daemon.engine.check()
        except StoreNewer as error:
            daemon.failure = error
            daemon.stop.set()
        except PtstreamError:  # a store that cannot be read now is looked at again
            pass


async def _delete_expired(engine: Engine) -> None:
    while True:
        try:
            if count := await engine.delete_expired():
                log.info("deleted %d expired streams", count)
        except (PtstreamError, OSError) as error:  # a store that is busy, or out of reach, is asked again
            log.warning("expired streams are not deleted: %s", error)
        await anyio.sleep(SWEEP)


async def _watch_signals(daemon: Daemon) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            if number != signal.SIGHUP:  # a terminal's going is no reason to end
                log.info("told to end by %s", signal.Signals(number).name)
                daemon.stop.set()


class _Doors:
    """The daemon on TCP, from its start on, or from when the page is first asked for."""

    def __init__(self, daemon: Daemon, tasks: TaskGroup, *, token: bool, plain_http: bool) -> None:
        self._daemon = daemon
        self._tasks = tasks
        self._token = token
        self._plain_http = plain_http
        self._listener: Listener | None = None
        daemon.listen = self._ask

    def open(self, address: Address) -> Listener:
        """Listen there. Raises ConfigurationError."""
        self._listener = self._daemon.face = Listener(
            self._daemon, address, token=self._token, plain_http=self._plain_http
        )
        self._tasks.start_soon(self._listener.serve)
        log.info("listening on %s%s", self._listener.url, "" if self._token else ", without a token")
        return self._listener

    def open_configured(self) -> None:
        """Listen where the config file says. That this cannot be done just now keeps no stream from running.

        Raises ConfigurationError for a config file that is refused.
        """
        address = self._configured()
        if address is None:
            return
        try:
            self.open(address)
        except ConfigurationError as error:
            self._daemon.unheard = str(error)
            log.error("%s", error)

    def _configured(self) -> Address | None:
        """Where the config file has it listen. Raises ConfigurationError for one that is refused."""
        home = self._daemon.home
        configured = load(home).listen
        try:
            return address_of(configured) if configured else None
        except ConfigurationError as error:
            raise ConfigurationError(f"{home.config}: listen: {error}") from error

    async def _ask(self) -> Face:
        if self._listener:
            return self._listener
        if address := self._configured():
            return self.open(address)
        # The usual port may be another user's, or another home's: one near it, so that it is the same the next time.
        for port in range(USUAL.port, USUAL.port + NEAR):
            with contextlib.suppress(ConfigurationError):
                return self.open(USUAL._replace(port=port))
        return self.open(USUAL._replace(port=0))

    def close(self) -> None:
        """Take no more requests."""
        if self._listener:
            self._listener.stop()


async def _end_when_told(daemon: Daemon, server: uvicorn.Server, doors: _Doors) -> None:
    await daemon.stop.wait()
    await daemon.owner.stop("the daemon was stopped")
    server.should_exit = True
    doors.close()
