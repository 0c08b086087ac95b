"""The processes that a process started: how they are found, how its process group is ended, what of them survives.

Descendants are found by /proc, where there is one (Linux, proc(5)); elsewhere none are.
"""

from __future__ import annotations

import contextlib
import os
import signal

import anyio
from anyio.abc import Process

GRACE = 0.1
"""Seconds between SIGTERM and SIGKILL."""


async def end_group(process: Process) -> list[str]:
    """End the process group that `process` leads. Returns what of its descendants goes on outside of it.

    Each as `name (pid N)`. The group is sent SIGTERM, and SIGKILL after `GRACE` seconds.
    """
    found = descendants(process.pid)
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await process.wait()
    # Also after an orderly exit: the group outlives its leader when it left children behind.
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()
    return [f"{name} (pid {pid})" for pid in found if (name := _name_outside(pid, process.pid))]


def _name_outside(pid: int, group: int) -> str | None:
    """The name of a process that lives and is not of this process group."""
    with contextlib.suppress(OSError):
        if os.getpgid(pid) != group:
            with open(f"/proc/{pid}/stat", "rb") as file:
                head, _, rest = file.read().decode("utf-8", "replace").rpartition(")")
            if rest.split()[0] not in ("Z", "X"):
                return head.partition("(")[2]
    return None


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def descendants(pid: int, proc: str = "/proc") -> list[int]:
    """The processes that `pid` started and theirs, also those that left its group. Empty where the system is silent."""
    found: list[int] = []
    todo = [pid]
    while todo:
        children = _children(todo.pop(), proc)
        found += children
        todo += children
    return found


def _children(pid: int, proc: str) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"{proc}/{pid}/task"):
            with open(f"{proc}/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    return found
