"""Run as a program: makes its standard output its controlling terminal, then becomes the command of its line.

That is done in the process itself, after it has left its parent's session. What it loads every such command waits for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import termios

NOT_FOUND, NOT_RUN = 127, 126
"""The exit codes of a shell for a command that is not there, or that cannot be run."""


def main(argv: list[str]) -> int:
    """Returns only if it cannot become the command: the exit code that says so."""
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        os.write(2, os.fsencode(f"{argv[0]} cannot be started: {error.strerror}\n"))
        return NOT_FOUND if error.errno == errno.ENOENT else NOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
