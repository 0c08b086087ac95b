"""The daemon as process 1, as in a container: what processes there leave behind becomes its children, to be reaped.

It does not reap beside its own work, where it would take the exits that its commands are waited for. A parent does it,
and nothing else, as tini(1) would.
"""

from __future__ import annotations

import os
import signal
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def leave_process_one() -> None:
    """Where this is process 1, go on as its child. Process 1 reaps, passes signals on, and exits as that child does.

    To be called while there is one thread, and nothing open that belongs to one process.
    """
    if os.getpid() != 1:
        return
    # Process 1 ignores what it has no handler for: none must come before it has them.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    child = os.fork()
    if child:
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    if child:
        sys.exit(_reap_until(child))


def _reap_until(child: int) -> int:
    """The exit code of `child`, as a shell has it; every other process is reaped on the way."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
