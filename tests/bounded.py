"""How long something may compute, however busy the machine is: not by the clock on the wall."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def processor_seconds(most: float, error: type[Exception] = TimeoutError) -> Iterator[None]:
    """Raises the error in the midst of what computes for longer in this process, a regular expression included."""

    def end(*_: object) -> None:
        raise error(f"more than {most:g} s of processor time")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
