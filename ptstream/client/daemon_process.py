"""The daemon's start, as a process in a session of its own. It loads nothing that takes long: see `started_ahead`."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from typing import BinaryIO

from ptstream import wire
from ptstream.errors import ConfigurationError, DaemonDied, DaemonUnreachable, PtstreamError
from ptstream.settings import Home

START_TIMEOUT = 20.0
"""Seconds that a starting daemon is waited for."""

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


class DaemonProcess:
    """A daemon that has been started, and is `wait`ed for."""

    def __init__(self, home: Home) -> None:
        """Start it. Nothing of the caller's standard streams goes along, or `$(ptstream drive --detach …)` would wait
        for it. Raises DaemonUnreachable, ConfigurationError.
        """
        home.make()
        self._home = home
        with _opened_log(home) as log:
            reading, writing = os.pipe()
            self._ready = open(reading, "rb")  # noqa: SIM115 - closed by `wait`
            try:
                self._process = subprocess.Popen(
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
                self._ready.close()
                raise DaemonUnreachable(f"the daemon cannot be started: {error.strerror}") from error
            finally:
                os.close(writing)

    def wait(self) -> None:
        """Until it answers. Raises DaemonUnreachable, DaemonDied, or what the daemon says of why it cannot start."""
        with self._ready as ready:
            # What it said when it was ready or gave up: nothing if it died, None if it did not.
            answer = ready.read() if select.select([ready], [], [], START_TIMEOUT)[0] else None
        if answer == wire.READY:
            # It lives on without us; its exit is not ours to wait for.
            self._process.returncode = 0
            return
        if answer:
            raise wire.error_from(answer)
        if answer is None:
            self._process.returncode = 0
            raise DaemonUnreachable(
                f"the daemon, pid {self._process.pid}, did not come up in {START_TIMEOUT:g} s; see {self._home.log}"
            )
        raise DaemonDied(f"the daemon ended as it started (exit {self._process.wait()}); see {self._home.log}")


def started_ahead(home: Home) -> DaemonProcess | None:
    """One that is started before it is asked anything, so that it loads its modules while its client loads its own.

    None where one seems to be there already, or where none can be started, which whoever asks it will be told.
    """
    if os.path.exists(home.socket):
        return None
    try:
        return DaemonProcess(home)
    except (PtstreamError, OSError):
        return None


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
