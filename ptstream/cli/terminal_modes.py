"""What a command changes at its terminal while it draws there, and how it is stopped and goes on (Ctrl-Z, `fg`)."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from collections.abc import Awaitable, Callable, Iterator

import anyio
from anyio.abc import TaskStatus


@contextlib.contextmanager
def unechoed(fd: int) -> Iterator[Callable[[bool], None]]:
    """Keys that are pressed are not shown: Enter would move what is drawn. They stay there for the shell.

    What it gives sets that anew: a shell has its own modes while the command is stopped.
    """

    def echo(wanted: bool) -> None:
        # A command in the background would be stopped for changing the terminal of another.
        with contextlib.suppress(OSError, termios.error):
            if os.tcgetpgrp(fd) == os.getpgrp():
                modes = termios.tcgetattr(fd)
                modes[3] = modes[3] | termios.ECHO if wanted else modes[3] & ~termios.ECHO
                termios.tcsetattr(fd, termios.TCSANOW, modes)

    try:
        echoes = bool(termios.tcgetattr(fd)[3] & termios.ECHO)
    except (OSError, termios.error):
        echoes = False
    if echoes:
        echo(False)
    try:
        yield echo if echoes else lambda wanted: None
    finally:
        if echoes:
            echo(True)


async def stopped_with(
    before: Callable[[], Awaitable[None]],
    echo: Callable[[bool], None],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Does `before` whenever the process is about to be stopped from its terminal. Runs until it is cancelled.

    Started when it hears of that: nothing may be drawn before.
    """
    with anyio.open_signal_receiver(signal.SIGTSTP, signal.SIGCONT) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGTSTP and _can_be_continued():
                await before()
                echo(True)
                os.kill(os.getpid(), signal.SIGSTOP)
            echo(False)


def _can_be_continued() -> bool:
    """Whether there is a shell in this session; where there is none, the kernel stops no process from its terminal."""
    with contextlib.suppress(OSError):
        return os.getsid(os.getppid()) == os.getsid(0) and os.getpgrp() != os.getsid(0)
    return False
