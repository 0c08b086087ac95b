"""HTTP on this machine beside `@durable-streams/server`, the protocol's reference server, from npm.

What is appended goes to 1 and to 100 readers by server-sent events: the last one served counts. Ours is written by a
command that the daemon runs, theirs by POST into its file-backed store; the readers are the same. Then 10 MB are read
back as the protocol has it, by one plain client. The two take turns.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ptstream.daemon.keys import token_of
from ptstream.settings import Home
from tests.bench.report import Row, Section, compared, latencies
from tests.bench.surroundings import await_ready, environment, module, output, running, temporary_home

OTHER = "@durable-streams/server"

VERSION = "0.3.7"

READERS = (1, 100)

PAUSE = 0.1
"""Seconds between two appends: each has been delivered before the next one."""

MEGABYTES = 10

SERVE = """
import { DurableStreamTestServer } from "@durable-streams/server"
const tell = console.log
console.log = console.info = () => {}
const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1", dataDir: process.argv[2] })
tell(new URL(await server.start()).port)
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A server, and a way to append to a stream of its."""

    port: int
    token: str | None

    def connection(self) -> http.client.HTTPConnection:
        """One of a plain client."""
        return http.client.HTTPConnection("127.0.0.1", self.port)

    @property
    def headers(self) -> dict[str, str]:
        """What lets in."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def read_back(self, path: str) -> tuple[float, int]:
        """Seconds and bytes of reading all there is, answer by answer."""
        connection, offset, size = self.connection(), "-1", 0
        began = time.perf_counter()
        while True:
            connection.request("GET", f"{path}?offset={offset}", headers=self.headers)
            answer = connection.getresponse()
            size += len(answer.read())
            offset = answer.headers["stream-next-offset"]
            if answer.headers.get("stream-up-to-date") == "true":
                connection.close()
                return time.perf_counter() - began, size


def measure(quick: bool) -> Section:
    """The section."""
    title = f"HTTP on loopback beside {OTHER}"
    if not shutil.which("npm"):
        return Section(title, [Row("npm is not installed", "")])
    rows: list[Row] = []
    with temporary_home() as home, ExitStack() as stack:
        ours = stack.enter_context(_ours(home))
        theirs = stack.enter_context(_theirs(home))
        for count in READERS:
            late, other = _delivered(home, ours, theirs, count, 20 if quick else 100)
            label = f"append to {count} reader{'s'[: count - 1]}, last one served"
            rows += latencies(label, late, other, "theirs")
        rows.append(_read_back(home, ours, theirs, 3 if quick else 9))
    return Section(title, rows, f"theirs: {OTHER} {VERSION} with dataDir, under {_node()}")


@contextmanager
def _ours(home: Home) -> Iterator[Side]:
    home.make()
    Path(home.config).write_text('listen = "127.0.0.1:0"\n', encoding="utf-8")
    subprocess.run([*_ptstream("daemon", "start")], env=environment(home), check=True, stderr=subprocess.DEVNULL)
    told = subprocess.run(
        _ptstream("daemon", "status", "--json"), env=environment(home), check=True, capture_output=True
    )
    try:
        yield Side(int(json.loads(told.stdout)["listen"].rpartition(":")[2]), token_of(home))
    finally:
        subprocess.run(_ptstream("daemon", "stop"), env=environment(home), check=True, stderr=subprocess.DEVNULL)


@contextmanager
def _theirs(home: Home) -> Iterator[Side]:
    with tempfile.TemporaryDirectory(prefix="pts-bench-", ignore_cleanup_errors=True) as folder:
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, f"{OTHER}@{VERSION}"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        script = Path(folder, "serve.mjs")
        script.write_text(SERVE, encoding="utf-8")
        with running(["node", str(script), os.path.join(folder, "data")], home) as process:
            assert process.stdout is not None
            yield Side(int(process.stdout.readline()), None)


def _ptstream(*words: str) -> list[str]:
    return [*module("x")[:1], "-m", "ptstream.cli.entry", *words]


def _delivered(home: Home, ours: Side, theirs: Side, count: int, times: int) -> tuple[list[int], list[int]]:
    """How late the last of `count` readers was, in nanoseconds, for each append to ours and to theirs."""
    fifo = os.path.join(home.path, f"fifo{count}")
    os.mkfifo(fifo)
    driven = subprocess.run(
        _ptstream("drive", "--detach", "--", "cat", fifo), env=environment(home), check=True, capture_output=True
    )
    path = f"/bench/{count}"
    connection = theirs.connection()
    _request(connection, "PUT", path)
    with (
        open(fifo, "wb", buffering=0) as writing,
        _readers(home, ours, f"/streams/{driven.stdout.decode().strip()}/text", count) as kept,
        _readers(home, theirs, path, count) as other,
    ):
        for _ in range(times):
            _append(lambda: writing.write(_stamp()))
            _append(lambda: _request(connection, "POST", path, _stamp()))
        writing.close()
        _request(connection, "POST", path, close=True)
        late, others = (json.loads(output(process)) for process in (kept, other))
    assert len(late) == len(others) == times, (len(late), len(others))
    return late[5:], others[5:]


def _append(append: Callable[[], object]) -> None:
    append()
    time.sleep(PAUSE)


def _stamp() -> bytes:
    return b"T%d\n" % time.monotonic_ns()


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, *, close: bool = False
) -> None:
    """One request of the protocol's; with `close`, the last one for its stream."""
    headers = {"content-type": "text/plain", **({"stream-closed": "true"} if close else {})}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise OSError(f"{method} {path}: {answer.status}")


@contextmanager
def _readers(home: Home, side: Side, path: str, count: int) -> Iterator[subprocess.Popen[bytes]]:
    words = [str(count), str(side.port), f"{path}?offset=now&live=sse", *([side.token] if side.token else [])]
    with running(module("sse_readers", *words), home) as process:
        await_ready(process)
        yield process


def _read_back(home: Home, ours: Side, theirs: Side, times: int) -> Row:
    text = os.path.join(home.path, "text")
    line = b"It was a dark night. The rain fell, and nobody said why.\n"
    size = MEGABYTES * 1_000_000
    Path(text).write_bytes((line * (size // len(line) + 1))[:size])
    words = ["drive", "--detach", "-p", "x", "-m", f"replay:{text}?rate=0&size=4000"]
    id = (
        subprocess.run(_ptstream(*words), env=environment(home), check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )
    subprocess.run(_ptstream("wait", id), env=environment(home), check=True)
    connection = theirs.connection()
    _request(connection, "PUT", "/bench/text")
    with open(text, "rb") as file:
        while data := file.read(65536):
            _request(connection, "POST", "/bench/text", data)
    took: list[list[float]] = [[], []]
    for _ in range(times):
        for seconds, (side, path) in zip(took, ((ours, f"/streams/{id}/text"), (theirs, "/bench/text")), strict=True):
            taken, got = side.read_back(path)
            assert got == size, got
            seconds.append(1000 * taken)
    return compared(f"reading back {MEGABYTES} MB", median(took[0]), median(took[1]), "ms", "theirs")


def _node() -> str:
    return "node " + subprocess.run(["node", "--version"], check=True, capture_output=True).stdout.decode().strip()
