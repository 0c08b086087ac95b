"""A pseudo-terminal for a command: it finds that somebody watches, and writes at once and in colour; nobody types.

What it writes comes out byte for byte: no LF becomes CR LF. It is the command's controlling terminal, so that a command
whose owner dies is hung up on, as by any terminal that goes. Whoever reads from it finds its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import anyio

from ptstream.generators import command_process
from ptstream.streams import TerminalSize

READ_BYTES = 64 * 1024

PAGERS = ("PAGER", "GIT_PAGER", "MANPAGER", "SYSTEMD_PAGER")
"""What names a program that waits for keys where its output is a terminal."""

TERM = "xterm-256color"
"""What the terminal is called where the caller's knows no colours."""

_END = b"\x04"
"""What means the end of the input, where that is read by lines (termios(3), VEOF)."""

_ENDS = 64
"""How often it is found there, until the input is thrown away: then as often again."""


class PseudoTerminal:
    """Both ends of one, while it is open. `theirs` is the command's, to be closed with `release` once it has it."""

    def __init__(self, size: TerminalSize) -> None:
        self._size = size
        self._ours = self.theirs = -1

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        """For as long as the context lasts. Raises OSError where there is no terminal left."""
        self._ours, self.theirs = os.openpty()
        try:
            self._set_up()
            yield self
        finally:
            self.release()
            os.close(self._ours)
            self._ours = -1

    def resize(self, size: TerminalSize) -> None:
        """Give it this size, from now on or once it is open. Whoever has it in the foreground gets SIGWINCH."""
        self._size = size
        if self._ours >= 0:
            termios.tcsetwinsize(self._ours, (size.rows, size.columns))

    def _set_up(self) -> None:
        self.resize(self._size)
        modes = termios.tcgetattr(self.theirs)
        modes[1] &= ~termios.ONLCR
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.theirs, termios.TCSANOW, modes)
        fcntl.ioctl(self._ours, termios.TIOCPKT, b"\1\0\0\0")
        os.set_blocking(self._ours, False)
        self._end_input()

    def release(self) -> None:
        """Close the command's end here."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    async def receive(self) -> bytes:
        """What comes next. Raises EndOfStream once nobody has the command's end any more."""
        while True:
            await anyio.wait_readable(self._ours)
            try:
                packet = os.read(self._ours, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:  # EIO: Linux's way to say so
                packet = b""
            if not packet:
                raise anyio.EndOfStream
            # In packet mode (tty_ioctl(4), TIOCPKT): behind a zero what was written, else what was done to it.
            if packet[0] == termios.TIOCPKT_DATA:
                return packet[1:]
            if packet[0] & termios.TIOCPKT_FLUSHREAD:  # as whoever asks for a password does
                self._end_input()

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._ours, _END * _ENDS)


def line_of(argv: Sequence[str]) -> list[str]:
    """The line that runs a command with a terminal as its standard output; the command's program is a path."""
    return [sys.executable, "-I", "-S", command_process.__file__, *argv]


def environment_of(caller: Mapping[str, str]) -> dict[str, str]:
    """A caller's environment, for a terminal that nobody sits at."""
    knows_colours = caller.get("TERM", "") not in ("", "dumb")
    return {**caller, **dict.fromkeys(PAGERS, "cat")} | ({} if knows_colours else {"TERM": TERM})
