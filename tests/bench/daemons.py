"""A real daemon for a benchmark, with a scripted model beside it, and how it is asked."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptstream.client.caller import own_context
from ptstream.settings import Home
from tests.bench.surroundings import module, running, temporary_home

MODEL = "bench/"
"""How a model of `model_server`'s is named."""

COMMAND = [sys.executable, "-m", "ptstream.cli.entry"]


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """See HTTPConnection."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Daemon:
    """One that runs in the foreground of a process of ours."""

    home: Home
    process: subprocess.Popen[bytes]
    endpoint: str
    """The base URL of the scripted models."""

    def ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        """Its answer. Raises OSError for one that is none."""
        connection = SocketConnection(self.home.socket)
        body = None if fields is None else json.dumps(fields)
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 300:
            raise OSError(f"{method} {path}: {answer.status} {data!r}")
        return json.loads(data)

    def create(self, model: str) -> str:
        """A stream that this model of the endpoint's is to answer; its id."""
        return str(self.ask("POST", "/streams", {"prompt": "Why?", "model": MODEL + model})["id"])

    def drive(self, id: str) -> None:
        """Have it driven."""
        self.ask("POST", f"/streams/{id}/drive", caller())


def caller() -> dict[str, Any]:
    """As whom it is asked to drive: from here, without an environment that says something of models."""
    return {**own_context(), "environment": {"PATH": os.environ["PATH"]}}


@contextmanager
def daemon() -> Iterator[Daemon]:
    """In a home of its own, until the context ends."""
    with temporary_home() as home, running(module("model_server"), home) as models:
        assert models.stdout is not None
        endpoint = models.stdout.readline().decode().strip()
        home.make()
        Path(home.config).write_text(f'[endpoints.bench]\nbase_url = "{endpoint}"\n', encoding="utf-8")
        with running([*COMMAND, "daemon", "run"], home, stderr=subprocess.DEVNULL) as process:
            await_socket(home.socket)
            yield Daemon(home, process, endpoint)


def await_socket(path: str) -> None:
    """Returns when somebody listens there. Raises TimeoutError."""
    for _ in range(2000):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                return
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"nobody listens at {path}")
