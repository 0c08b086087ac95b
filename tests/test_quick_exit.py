"""The end of our own processes: quick, and nothing is lost by it."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import ROOT, environment, started
from tests.preloaded import CODE

PROGRAM = """
import atexit
from ptstream.quick_exit import quick_exit
class Last:
    def __del__(self): print("taken apart")
last = Last()
atexit.register(print, "registered")
print("printed")
quick_exit({code})
"""


def ended(code: int, stdout: int) -> tuple[bytes | None, int]:
    """What the program says to `stdout`, and its exit code."""
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    with started([PROGRAM.format(code=code)], buffered, module=CODE, cwd=ROOT, stdout=stdout) as process:
        out, _ = process.communicate()
        return out, process.returncode


@pytest.mark.parametrize("code", [0, 5])
def test_what_was_printed_and_what_is_registered_comes_first(code: int) -> None:
    assert ended(code, subprocess.PIPE) == (b"printed\nregistered\n", code)


@pytest.mark.parametrize("code", [0, 5])
def test_what_cannot_be_written_is_told_as_python_tells_it(code: int) -> None:
    with open("/dev/full", "wb") as full:
        assert ended(code, full.fileno()) == (None, code or 120)
