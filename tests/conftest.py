"""What the tests share: a home of their own, the command as a process, and one way to wait for something.

With PTSTREAM_TEST_EVERYTHING set, a test that would be skipped fails: CI installs all that any test needs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptstream.settings import Home
from ptstream.store.cursor import Cursor
from ptstream.store.sqlite import Store

PTSTREAM = [sys.executable, "-P", "-m", "ptstream.cli.entry"]
"""The command, as the console script runs it, of the Python that runs the tests."""

LIMIT = 30.0
"""Seconds after which something waited for is taken to never come."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where everything is installed, nothing may be skipped."""
    report = yield
    if report.skipped and os.environ.get("PTSTREAM_TEST_EVERYTHING") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where everything is installed: {report.longrepr}"
    return report


@pytest.fixture
def anyio_backend() -> str:
    """asyncio: uvicorn and watchfiles need it."""
    return "asyncio"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short path, for the sake of Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        yield Path(path)


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    """A home that nothing has been written to. Its daemon, if a test starts one, is stopped."""
    found = Home(str(folder / "home"))
    yield found
    if os.path.exists(found.socket):
        Cli(found).run("daemon", "stop")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    """The store of the home."""
    with Store(home) as opened:
        yield opened


class Cli:
    """The command, run against one home, in an environment without keys and without models."""

    def __init__(self, home: Home) -> None:
        self.home = home
        kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR", "COVERAGE_PROCESS_START", "PYTHONPATH")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment |= {"PTSTREAM_HOME": home.path, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"}
        # Nothing listens there: a test never finds an Ollama of the machine's.
        self.environment["OLLAMA_HOST"] = "127.0.0.1:1"

    def run(self, *words: str, input: str | bytes | None = None, code: int | None = 0, **more: Any) -> Any:
        """Run it to its end; the completed process. Fails unless the exit code is `code` (None: any)."""
        given = input.encode() if isinstance(input, str) else input
        if given is None:
            more.setdefault("stdin", subprocess.DEVNULL)
        environment = self.environment | more.pop("env", {})
        done = subprocess.run(
            [*PTSTREAM, *words], input=given, capture_output=True, timeout=LIMIT * 2, env=environment, **more
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
        return done

    def out(self, *words: str, **more: Any) -> str:
        """What it prints to stdout."""
        return self.run(*words, **more).stdout.decode()

    @contextlib.contextmanager
    def started(self, *words: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
        """The command, running. What is left of it is killed."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        environment = self.environment | more.pop("env", {})
        with subprocess.Popen([*PTSTREAM, *words], env=environment, **more) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def cli(home: Home) -> Cli:
    """The command against the home."""
    return Cli(home)


def read(store: Store, id: str, offset: int = 0, *, live: bool = True) -> bytes:
    """All the text that is there from `offset`."""
    cursor, text = Cursor(store, id, offset, live=live), b""
    while data := cursor.read():
        text += data
    cursor.close()
    return text


def until(what: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait until `what()` is true; its value. For what gives no event to wait for."""
    pause, deadline = threading.Event(), time.monotonic() + limit
    while not (value := what()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)
    return value


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
