"""Run as a program: makes its standard output its controlling terminal, then runs the command of its line.

That is done in the process itself, after it has left its parent's session. What it loads every such command waits for.

It stays until the command has ended, and ends as that did. So the terminal is open for as long as the command runs,
whatever that does with its own output; and what the command leaves behind, as `exec > >(tee log)` does, is not hung up
on before it has written its last, as it were if the session's first process were the command.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import sys
import termios

NOT_FOUND, NOT_RUN = 127, 126
"""The exit codes of a shell for a command that is not there, or that cannot be run."""

NOT_OURS = signal.valid_signals() - {signal.SIGHUP, signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}
"""What is sent to all of the group is the command's to decide on."""


def main(argv: list[str]) -> int:
    """The exit code of the command; a signal that killed it kills this process, too."""
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    # What the command sends to its group before this process is ready for it waits until then.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if not (command := os.fork()):
        os._exit(_become(argv, blocked))
    for number in NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, _hung_up)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    os.close(0)  # whoever writes there is to find out when the command reads no more
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    _spare_the_group()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _die_of(-code)
    return code


def _die_of(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # SIGKILL is never caught
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _hung_up(number: int, frame: object) -> None:
    """Its owner has died, if it is not just the command's own signal to its group. The kernel tells the others then."""
    try:
        termios.tcgetattr(1)
    except termios.error:
        _die_of(number)


def _become(argv: list[str], blocked: set[int]) -> int:
    """Returns only if it cannot: the exit code that says so."""
    # As on a terminal that was just opened: what Python ignores is not, nor what its owner does, with nohup say.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        os.write(2, os.fsencode(f"{argv[0]} cannot be started: {error.strerror}\n"))
        return NOT_FOUND if error.errno == errno.ENOENT else NOT_RUN


def _spare_the_group() -> None:
    """When a session's first process ends, the terminal's group gets SIGHUP: that becomes one that has ended, then."""
    if other := os.fork():
        os.waitpid(other, 0)
        return
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
        os.tcsetpgrp(1, os.getpgrp())
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
