"""Signals to processes that asyncio waits for."""

from __future__ import annotations

import contextlib
import os

from anyio.abc import Process


def send_signal(process: Process, number: int) -> None:
    """Send it, unless the process has ended.

    Not by the process's own methods: those of `subprocess.Popen` behind them look whether it has ended, and may so take
    its exit code before asyncio does, which then says "Unknown child process" on stderr and makes it 255.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
