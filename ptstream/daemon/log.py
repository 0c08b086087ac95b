"""The daemon's log: bounded in its rate and in its size, whoever causes it.

What is logged at one place of the code is one kind. Of each kind some records are written at once, and then few; the
next one that is written says how many were not. The file is rotated, and one before it is kept.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ptstream import wire
from ptstream.errors import PtstreamError
from ptstream.rate_limit import RateLimit

RATE = 0.1
"""Records of one kind in a second, in the long run."""

BURST = 10
"""Records of one kind at once."""

LONGEST = 16 * 1024
"""Characters of a record, its traceback included."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"


@dataclass(slots=True)
class _Kind:
    """What one place of the code logs."""

    rate: RateLimit = field(default_factory=lambda: RateLimit(RATE, BURST))
    left_out: int = 0


class _Bounded(logging.Formatter):
    """A record as a text of a bounded length, with how many of its kind were left out before it."""

    def __init__(self, shown: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._shown = shown

    def format(self, record: logging.LogRecord) -> str:
        """The text."""
        text = self._shown(super().format(record))
        if len(text) > LONGEST:  # of a traceback, its end says more
            text = f"{text[: LONGEST // 2]}\n… {len(text) - LONGEST} characters …\n{text[-LONGEST // 2 :]}"
        left_out = getattr(record, "left_out", 0)
        return f"{text}\n(and {left_out} more of this kind, left out)" if left_out else text


class Log(logging.StreamHandler):  # type: ignore[type-arg]
    """The handler for all that the process logs, to stderr. With `path`, that is a file of that name, which it rotates.

    `clock` gives seconds.
    """

    def __init__(
        self, path: str | None = None, clock: Callable[[], float] = time.monotonic, shown: Callable[[str], str] = str
    ) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_Bounded(shown))
        self._path = path
        self._clock = clock
        self._kinds: dict[tuple[str, int], _Kind] = {}  # as many as there are places

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, if it is its kind's turn."""
        kind = self._kinds.setdefault((record.pathname, record.lineno), _Kind())
        if kind.rate.take(self._clock()):
            kind.left_out += 1
            return
        record.left_out, kind.left_out = kind.left_out, 0
        if self._path:
            with suppress(OSError):  # a disk that is full, or a folder that is gone: what there is to say is said still
                rotate(self._path)
        super().emit(record)

    def close(self) -> None:
        """At the process's end: say how many were left out since."""
        if left_out := sum(kind.left_out for kind in self._kinds.values()):
            with suppress(OSError, ValueError):  # nobody listens any more
                self.stream.write(f"({left_out} more records, left out)\n")
        self._kinds.clear()
        super().close()


def rotate(path: str) -> None:
    """Begin a new file when this process's stderr has grown beyond what one may have. Raises OSError.

    Its stdout and stderr follow: what writes there beside the log, as an interpreter that dies, is bounded as well.
    """
    found = os.fstat(sys.stderr.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size <= wire.LOG_BYTES:
        return
    sys.stderr.flush()
    with suppress(FileNotFoundError):
        os.replace(path, path + ".1")
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for descriptor in (1, 2):
            os.dup2(opened, descriptor)
    finally:
        os.close(opened)


def begin(path: str | None = None, shown: Callable[[str], str] = str) -> None:
    """Log so from now on, what libraries log as well. `shown` makes of a record what may be seen on a terminal."""
    logging.basicConfig(level=logging.INFO, handlers=[Log(path, shown=shown)], force=True)
    logging.getLogger("uvicorn.error").addFilter(_in_one_line)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, which may hold a password
    logging.captureWarnings(True)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What breaks a body off, as its stream's deletion, is no fault, though uvicorn reports it as one."""
    error = record.exc_info[1] if record.exc_info else None
    # Starlette, which could not answer any more, says so.
    cause = error.__cause__ if isinstance(error, RuntimeError) else error
    if isinstance(cause, PtstreamError):
        record.msg, record.args, record.exc_info = f"a body broke off: {cause}", (), None
    return True
