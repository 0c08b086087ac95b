"""The command in a terminal of its own, as pexpect has it, forked from one that has its imports."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Mapping
from typing import Any

import pexpect
import ptyprocess  # type: ignore[import-untyped]

from tests.conftest import LIMIT, PTSTREAM, forked_command


class Forked(ptyprocess.PtyProcess):  # type: ignore[misc]
    """What `preloaded` has forked, with the terminal's other end."""

    exitstatus: int | None
    signalstatus: int | None

    def __init__(self, process: Any, fd: int) -> None:
        super().__init__(process.pid, fd)
        self._process = process

    def isalive(self) -> bool:
        """Whether it runs."""
        if (code := self._process.poll()) is None:
            return True
        self.terminated = True
        if code >= 0:
            self.exitstatus = code
        else:
            self.signalstatus = -code
        return False

    def wait(self) -> Any:
        """Its exit code, once it has ended; None if a signal has ended it."""
        self._process.wait()
        self.isalive()
        return self.exitstatus


class Terminal(pexpect.spawn):  # type: ignore[type-arg]
    """The command with these words; where no process can be forked, started from nothing."""

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str], **more: Any) -> None:
        given: dict[str, Any] = {"encoding": "utf-8", "timeout": LIMIT} | more
        super().__init__(PTSTREAM[0], [*PTSTREAM[1:], *words], env=dict(environment), **given)

    def _spawnpty(self, args: list[bytes], **more: Any) -> Any:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, more["dimensions"] if more.get("dimensions") else (24, 80))
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        words = [word.decode() for word in args[len(PTSTREAM) :]]
        process = forked_command(words, more["env"], cwd=more["cwd"], session=True, terminal=True, **streams)
        os.close(theirs)
        if process:
            return Forked(process, ours)
        os.close(ours)
        return ptyprocess.PtyProcess.spawn(args, **more)
