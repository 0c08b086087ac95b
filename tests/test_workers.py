"""The example's app of many workers: two on each of two machines, which share nothing but a PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx_sse
import pytest

from tests import postgres
from tests.conftest import LIMIT, ROOT, environment, until

WORKERS = 2


class Machine:
    """A process group of workers, with a home of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self._log = folder / "log"
        given = environment() | {"PTSTREAM_HOME": str(folder / "home"), "DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
        line = ["--workers", str(WORKERS), "--port", "0", "--no-access-log", "ptstream.examples.workers:app"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *line], env=given, cwd=folder, stderr=log, start_new_session=True
            )

    @property
    def url(self) -> str:
        """Its address, once all of its workers have begun."""
        until(lambda: self.said.count("Application startup complete") >= WORKERS or self._process.poll())
        assert self._process.poll() is None, self.said
        return str(re.findall(r"http://[\d.]+:\d+", self.said)[0])

    @property
    def said(self) -> str:
        """Its log."""
        return self._log.read_text()

    def stop(self) -> None:
        """As a service manager does."""
        self._process.terminate()
        assert self._process.wait(LIMIT) in (0, -signal.SIGTERM), self.said
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        assert "Traceback" not in self.said, self.said


@pytest.fixture(scope="module")
def machines() -> Iterator[list[str]]:
    """The addresses of two machines."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path, postgres.place() as url:
        made = [Machine(Path(path, name), url) for name in "ab"]
        try:
            yield [machine.url for machine in made]
        finally:
            for machine in made:
                machine.stop()


@contextlib.contextmanager
def at(url: str, *others: int) -> Iterator[tuple[httpx.Client, int]]:
    """A connection to a worker there that is none of those, and its process id."""
    with contextlib.ExitStack() as stack:
        while True:
            http = stack.enter_context(
                httpx.Client(base_url=url, timeout=LIMIT)
            )  # kept, so that others have their turn
            if (pid := http.get("/worker").json()) not in others:
                break
        yield http, pid


def told(http: httpx.Client, id: str, offset: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """What follows the answer: text, and the end at last."""
    with httpx_sse.connect_sse(http, "GET", f"/answers/{id}", params={"offset": offset}) as events:
        for event in events.iter_sse():
            control = json.loads(event.data) if event.event == "control" else {}
            if event.event == "data" or "streamClosed" in control:
                yield ("" if control else event.data), control


def counted(to: int) -> str:
    """What a generator says."""
    return "".join(f"{number} " for number in range(1, to + 1))


def test_asked_at_one_followed_at_another_cancelled_at_a_third(machines: list[str]) -> None:
    here, there = machines
    with at(here) as (one, first), at(there) as (other, second), at(here, first) as (third, last):
        assert len({first, second, last}) == 3
        id = one.post("/ask", params={"count": 100_000}).json()
        said = told(other, id)
        text = ""
        while not text.startswith(counted(5)):
            text += next(said)[0]
        assert third.post(f"/answers/{id}/cancel").json() == "cancelled"
        rest = list(said)
        text += "".join(data for data, _ in rest)
        assert rest[-1][1]["status"] == "cancelled"
        assert counted(100_000).startswith(text)
        body = next(each for each in third.get("/answers").json() if each["id"] == id)
        assert (body["text"], body["status"]) == (text, "cancelled")


def test_it_is_told_to_its_end_from_any_offset(machines: list[str]) -> None:
    here, there = machines
    with at(here) as (one, _), at(there) as (other, _):
        id = one.post("/ask", params={"count": 12}).json()
        found = list(told(other, id, 2))
        assert "".join(data for data, _ in found) == counted(12)[2:]
        assert found[-1][1]["status"] == "done"


def test_a_killed_workers_answer_ends_at_another_machine(machines: list[str]) -> None:
    here, there = machines
    with at(there) as (other, _):
        with at(here) as (one, pid):
            id = one.post("/ask", params={"count": 100_000}).json()
            said = told(other, id)
            text = next(said)[0]
            os.kill(pid, signal.SIGKILL)
        rest = list(said)
        text += "".join(data for data, _ in rest)
        assert rest[-1][1]["error"] == f"its owner died at byte {len(text)}"
        assert counted(100_000).startswith(text)


def test_a_loop_is_kept_there_too(machines: list[str]) -> None:
    here, there = machines
    with at(here) as (one, _), at(there) as (other, _):
        assert one.post("/count", params={"to": 50}).json() == counted(50)
        newest = other.get("/answers").json()[0]
        assert (newest["text"], newest["status"]) == (counted(50), "done")
