"""Where a benchmark takes place: a home that goes with it, and processes that never outlive it.

Nothing is left behind: not in the temporary directory, not in the source tree (byte code included), no process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ptstream.engine.sqlite import migration, statements
from ptstream.ids import new_id
from ptstream.settings import Home
from ptstream.streams import Claim

TREE = Path(__file__).parents[2]
"""The directory from which `python -m tests.bench…` is found."""

LIMIT = 60.0
"""Seconds after which a process that should have ended is killed."""

_KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def temporary_home() -> Iterator[Home]:
    """A home of its own, on the disk that temporary files are on; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pts-bench-", ignore_cleanup_errors=True) as folder:
        yield Home(os.path.join(folder, "home"))


def claimed(home: Home, count: int) -> list[Claim]:
    """So many streams that are being driven by nobody in particular, made in one transaction."""
    claims = [Claim(new_id(), 1, 0) for _ in range(count)]
    with closing(migration.connect_writer(home)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for claim in claims:
            connection.execute(
                "INSERT INTO streams (id, opening, created_at) VALUES (?, 'Why?', ?)", (claim.id, time.time())
            )
            values = {"id": claim.id, "owner": "bench", "boot": "", "at": time.time(), "model": None, "place": None}
            connection.execute(statements.CLAIM, values).fetchall()
        connection.execute("COMMIT")
    return claims


def environment(home: Home) -> dict[str, str]:
    """For a process of ours: this home, no keys, no models, byte code kept as an installed program has it."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PTSTREAM_HOME": home.path, "PYTHONPYCACHEPREFIX": _byte_code().name}


@functools.cache
def _byte_code() -> tempfile.TemporaryDirectory[str]:
    """One directory for all processes of a run; it goes with us."""
    return tempfile.TemporaryDirectory(prefix="pts-bench-", ignore_cleanup_errors=True)


@contextlib.contextmanager
def running(argv: Sequence[str], home: Home, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process, its stdout a pipe. What is left of it at the end, or when we are killed, is killed."""
    more.setdefault("stdin", subprocess.DEVNULL)
    # preexec_fn: we have no threads that could hold a lock yet, or none that take any.
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        cwd=TREE,
        env=environment(home),
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
        **more,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def module(name: str, *words: str) -> list[str]:
    """The command line of a module beside this one."""
    return [sys.executable, "-m", f"tests.bench.{name}", *words]


def output(process: subprocess.Popen[bytes]) -> bytes:
    """What it wrote until its end. Raises RuntimeError when that was a bad one, or does not come."""
    data, _ = process.communicate(timeout=LIMIT)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")
    return data


def await_ready(process: subprocess.Popen[bytes]) -> None:
    """Returns when it has written its first line. Raises RuntimeError when it ends before."""
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError(f"{process.args!r} did not begin")


def cpu_seconds(pid: int) -> float:
    """The processor time that a living process of ours has taken, all its threads together (Linux's clock for it)."""
    return time.clock_gettime((~pid << 3) | 2)


def die_with_terminal() -> None:
    """SIGTERM and SIGHUP end us as an interrupt does: everything is cleared away."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def die_with_parent() -> None:
    """The kernel kills this process when the one that made it has gone (Linux)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_LIBC = ctypes.CDLL(None)
