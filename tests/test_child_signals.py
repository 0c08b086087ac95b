"""A signal to a process that is just ending changes nothing of its exit code."""

from __future__ import annotations

import signal
import subprocess

import anyio
import anyio.lowlevel
import pytest

from ptstream.child_signals import send_signal

pytestmark = pytest.mark.anyio


async def test_the_exit_code_is_the_process_s_own(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is signalled while it ends."""
    for _ in range(50):
        process = await anyio.open_process(["sh", "-c", "trap '' TERM; echo; exit 7"], stderr=subprocess.DEVNULL)
        async with process:
            assert process.stdout is not None
            await process.stdout.receive()  # SIGTERM is ignored from here on
            while process.returncode is None:
                send_signal(process, signal.SIGTERM)
                await anyio.lowlevel.checkpoint()
            assert process.returncode == 7
            send_signal(process, signal.SIGKILL)
    assert caplog.text == ""
