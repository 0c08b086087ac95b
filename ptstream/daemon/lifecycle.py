"""The daemon from start to end in its process: the owner, the servers, and what runs beside them until it is stopped.

The socket appears by a rename when it answers. Why it may have to end by itself is `displaced.py`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable

import anyio

from ptstream import wire
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.displaced import SameFile, end_when_displaced, end_when_migrated
from ptstream.daemon.listen_address import address_of
from ptstream.daemon.listen_policy import ListenPolicy
from ptstream.daemon.roll_call import tell_others
from ptstream.daemon.socket_routes import make_socket_app
from ptstream.daemon.taking_over import take_over
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.errors import PtstreamError
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.http.server import Server
from ptstream.owner import open_owner
from ptstream.settings import Home
from ptstream.ticks import next_tick
from ptstream.ungrouped import ungrouped

log = logging.getLogger("ptstream")

SWEEP = 60.0
"""Seconds between two looks for streams whose time to live is over."""


async def live(home: Home, ready: Callable[[], object], listen: str | None, token: bool, plain_http: bool) -> None:
    """Serve the home until a request or a signal stops it; `ready` is called once whoever finds the socket is answered.

    Raises ConfigurationError, StoreNewer.
    """
    wire.quiet_cancelled_receives()
    with ungrouped():
        async with (
            open_engine(home, many_readers=True) as engine,
            open_owner(engine) as owner,
            anyio.create_task_group() as tasks,
        ):
            daemon = Daemon(home, engine, owner, LocalServer(home, tasks))
            tcp = daemon.tcp = ListenPolicy(daemon, tasks, token=token, plain_http=plain_http)
            if listen:
                tcp.open(address_of(listen))
            else:
                tcp.open_configured()
            listener = _listen(home)  # last: whoever finds the socket finds all of it
            server = Server(make_socket_app(daemon))
            tasks.start_soon(_watch_signals, daemon)
            own_socket = SameFile(home.socket)
            tasks.start_soon(_delete_expired, engine)
            tasks.start_soon(take_over, daemon)
            tasks.start_soon(tell_others, daemon)
            tasks.start_soon(end_when_displaced, daemon, own_socket)
            tasks.start_soon(end_when_migrated, daemon)
            tasks.start_soon(_end_when_stopped, daemon, server, tcp)
            log.info("listening on %s, pid %d", home.socket, os.getpid())
            ready()
            try:
                await server.serve(sockets=[listener])
            finally:
                if not own_socket.lost:
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


async def _delete_expired(engine: Engine) -> None:
    while True:
        try:
            if count := await engine.delete_expired():
                log.info("deleted %d expired streams", count)
        except (PtstreamError, OSError) as error:  # a store that is busy, or out of reach, is asked again
            log.warning("expired streams are not deleted: %s", error)
        await anyio.sleep_until(next_tick(SWEEP))


async def _watch_signals(daemon: Daemon) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            if number != signal.SIGHUP:  # a terminal's going is no reason to end
                log.info("ended by %s", signal.Signals(number).name)
                daemon.stop.set()


async def _end_when_stopped(daemon: Daemon, server: Server, tcp: ListenPolicy) -> None:
    await daemon.stop.wait()
    await daemon.owner.stop("the daemon was stopped")
    daemon.owner.audience.end()
    server.leave()
    tcp.close()
