"""The daemon's start, as a process in a session of its own, and the running one of this version, found or started."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO

import anyio

from ptstream import __version__, wire
from ptstream.client import control
from ptstream.client.daemon_client import Client
from ptstream.client.unix_socket import connect, gone, listening
from ptstream.errors import ConfigurationError, DaemonDied, DaemonSilent, DaemonUnreachable
from ptstream.settings import Home

START_TIMEOUT = 20.0
"""Seconds that a starting daemon is waited for."""

STARTS = 3
"""How often a daemon is started that dies at once, in all."""

DAEMON_VARIABLES = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "SHELL",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        "PYTHONDONTWRITEBYTECODE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ]
)
"""All of its starter's environment that a daemon gets: other callers' keys are not its business."""

LIBPQ = "PG"
"""How the names of the variables begin that say how a PostgreSQL server is reached; a daemon gets these as well."""


@contextlib.asynccontextmanager
async def connect_or_start(home: Home, *, any_store: bool = False) -> AsyncIterator[Client]:
    """The daemon, started if it is not running, replaced if it is idle and of another version.

    Raises DaemonUnreachable, and ConfigurationError for a busy daemon of another version and, unless `any_store` will
    do, for one whose streams are elsewhere than the home's.
    """
    async with contextlib.AsyncExitStack() as stack:
        deadline = anyio.current_time() + START_TIMEOUT
        starts = 0
        while (client := await _connected(stack, home, any_store)) is None:
            if anyio.current_time() > deadline:
                raise DaemonUnreachable(f"the daemon does not answer; see {home.log}")
            starts += 1
            try:
                await anyio.to_thread.run_sync(start, home)
            except DaemonDied:
                if starts == STARTS:
                    raise
        yield client


async def _connected(stack: contextlib.AsyncExitStack, home: Home, any_store: bool) -> Client | None:
    """A connection to a daemon of our own version, None if there is none (any more)."""
    try:
        socket = listening(home)
        client = await stack.enter_async_context(connect(home))
        status = await control.status(client)
        if status["version"] == __version__:
            if not any_store:
                _check_store(home, status["store"])
            return client
        if count := status["running"]:
            raise ConfigurationError(
                f"a daemon of version {status['version']} is running {count} stream{'s'[: count - 1]}, and this is"
                f" {__version__}: wait for them, or end it with 'ptstream daemon stop'"
            )
        if await control.stop_idle(client, status["pid"]):
            with anyio.move_on_after(START_TIMEOUT):
                await gone(home, socket)
    except DaemonSilent:
        raise
    except DaemonUnreachable:
        pass
    return None


def _check_store(home: Home, there: str) -> None:
    """Raises ConfigurationError: what is made here would not be found there."""
    if there != home.store_name:
        raise ConfigurationError(
            f"the daemon of the home {home.path} keeps its streams at {there}, and this command at {home.store_name}:"
            " set PTSTREAM_STORE as it has it, end it with 'ptstream daemon stop', or name another home"
        )


def start(home: Home) -> None:
    """Start the daemon in a session of its own and wait until it answers.

    Nothing of the caller's standard streams goes along, or `$(ptstream drive --detach …)` would wait for it.
    Raises DaemonUnreachable, DaemonDied, or what the daemon says of why it cannot start.
    """
    home.make()
    with _opened_log(home) as log:
        process, answer = _launched(home, log)
    if answer == wire.READY:
        # It lives on without us; its exit is not ours to wait for.
        process.returncode = 0
        return
    if answer:
        raise wire.error_from(answer)
    if answer is None:
        process.returncode = 0
        raise DaemonUnreachable(
            f"the daemon, pid {process.pid}, did not come up in {START_TIMEOUT:g} s; see {home.log}"
        )
    raise DaemonDied(f"the daemon ended as it started (exit {process.wait()}); see {home.log}")


def _launched(home: Home, log: BinaryIO) -> tuple[subprocess.Popen[bytes], bytes | None]:
    """The daemon's process, and what it said when it was ready or gave up: nothing if it died, None if it did not."""
    reading, writing = os.pipe()
    with open(reading, "rb") as ready:
        try:
            process = subprocess.Popen(
                # -P: a module in the caller's directory must not become part of the daemon.
                [sys.executable, "-P", "-m", "ptstream.daemon", "--home", home.path, "--ready-fd", str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(writing,),
                env=_daemon_environment(os.environ, home),
            )
        except OSError as error:
            raise DaemonUnreachable(f"the daemon cannot be started: {error.strerror}") from error
        finally:
            os.close(writing)
        return process, ready.read() if select.select([ready], [], [], START_TIMEOUT)[0] else None


def _opened_log(home: Home) -> BinaryIO:
    """The log, to append to; what daemons before wrote is kept once. Raises ConfigurationError."""
    try:
        if os.path.exists(home.log) and os.stat(home.log).st_size > wire.LOG_BYTES:
            os.replace(home.log, home.log + ".1")
        return open(home.log, "ab", opener=_private)
    except OSError as error:
        raise ConfigurationError(
            f"the home {home.path} cannot be written: {error.strerror}; name another with --home"
        ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _daemon_environment(environment: Mapping[str, str], home: Home) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name in DAEMON_VARIABLES}
    if home.is_local:
        return kept
    libpq = {name: value for name, value in environment.items() if name.startswith(LIBPQ)}
    return kept | libpq | {"PTSTREAM_STORE": home.store}  # in the environment: a line is seen by all
