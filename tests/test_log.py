"""The daemon's log: what strangers cause is said, and then how often; and it never has more than two files' worth."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from ptstream.daemon.log import BURST, LONGEST, RATE, Log
from tests.conftest import LIMIT, Cli, listening, stop_daemon, until


@pytest.fixture
def clock() -> list[float]:
    """The time, which a test sets."""
    return [0.0]


def logger_of(handler: logging.Handler) -> logging.Logger:
    """A logger whose records go there alone."""
    made = logging.Logger("test")
    made.addHandler(handler)
    return made


def test_each_kind_has_its_turn(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    handler = Log(clock=lambda: clock[0])
    logger = logger_of(handler)
    for number in range(1000):
        logger.warning("flood %d", number)
    logger.error("something else")
    clock[0] = 1 / RATE
    for number in range(2):
        logger.warning("another %d", number)  # another place
    for number in range(1000, 1002):
        flood(logger, number)
    said = capsys.readouterr().err
    assert said.count("flood ") == BURST + 2
    assert "something else" in said
    assert "another 1" in said
    handler.close()
    assert f"({1000 - BURST} more records, left out)" in capsys.readouterr().err


def flood(logger: logging.Logger, number: int) -> None:
    logger.warning("flood %d", number)


def test_the_next_of_a_kind_says_how_many_there_were(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    logger = logger_of(Log(clock=lambda: clock[0]))
    for number in range(BURST + 7):
        flood(logger, number)
    clock[0] = 1 / RATE
    for number in range(2):
        flood(logger, number)
    said = capsys.readouterr().err.splitlines()
    assert said[BURST].endswith("flood 0")
    assert said[BURST + 1] == "(and 7 more of this kind, left out)"
    assert len(said) == BURST + 2


def test_a_long_record_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logger_of(Log()).error("%s", "begin" + "x" * LONGEST + "end")
    said = capsys.readouterr().err
    assert len(said) < LONGEST + 200
    assert "begin" in said
    assert said.endswith("end\n")


FILLED = """
import logging, os, sys
from ptstream import wire
from ptstream.daemon import log
wire.LOG_BYTES, log.BURST = 10_000, 10**6
log.begin(sys.argv[1])
for number in range(5000):
    logging.getLogger("x").error("record %d", number)
    if number % 100 == 0:
        os.write(2, b"beside the log\\n")
"""


def test_the_file_is_rotated_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    with open(path, "ab") as file:
        line = [sys.executable, "-c", FILLED, str(path)]
        subprocess.run(line, stdout=file, stderr=file, timeout=LIMIT, check=True)
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["daemon.log", "daemon.log.1"]
    assert sum(each.stat().st_size for each in files) < 21_000
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert "record 4999" in path.read_text()
    assert "beside the log" in files[1].read_text() + path.read_text()


HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(160)
"""As TLS begins."""

STRANGE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    HELLO,
    b"\0" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //[ HTTP/1.1\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
    b"POST /streams HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    b"GET /enter?key=%FF&&=%zz HTTP/1.1\r\nHost: localhost\r\nCookie: ptstream-1=\xff\r\n\r\n",
    b"GET /enter?" + b"key=x&" * 99 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /enter HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n\r\n" + b"a=b&" * 50,
    b"GET /\xff HTTP/1.1\r\nHost: localhost\r\nAuthorization: PTStream \xff:\r\n\r\n",
    b"POST /session HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nAuthorization: PTStream :\r\n"
    b"Content-Length: 0\r\n\r\n",
)


def most(since: float) -> int:
    """Records of one kind that there may be by now: a busy machine has had time for more of them."""
    return BURST + 1 + int((time.monotonic() - since) * RATE)


def test_what_strangers_send_does_not_fill_it() -> None:
    since = time.monotonic()
    with listening() as face:
        log = Path(face.cli.home.log)
        before = log.stat().st_size
        for request in STRANGE:
            for _ in range(3 * BURST):
                send(face.port, request)
        assert face.http.get("/streams").status_code == 200
        said = log.read_text()[before:]
        assert len(said) < 100 * len(STRANGE) * most(since)
        assert "No supported WebSocket library" not in said
        assert said.count("Invalid HTTP request received") <= most(since)
        stop_daemon(face.cli.home)
        assert "left out" in log.read_text()


def send(port: int, request: bytes) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def test_logs_goes_on_from_the_file_before(cli: Cli) -> None:
    cli.home.make()
    Path(f"{cli.home.log}.1").write_text("one\ntwo\n")
    Path(cli.home.log).write_text("three\n")
    assert cli.out("daemon", "logs", "-n", "2") == "two\nthree\n"


def test_in_the_foreground_it_is_limited_as_well(cli: Cli, tmp_path: Path) -> None:
    since = time.monotonic()
    with open(tmp_path / "log", "wb") as file, cli.started("daemon", "run", "--listen", "127.0.0.1:0", stderr=file):
        url = started(tmp_path / "log")
        for _ in range(3 * BURST):
            send(int(url.rpartition(":")[2]), HELLO)
        stop_daemon(cli.home)
    assert (tmp_path / "log").read_text().count("Invalid HTTP request") <= most(since)


def started(log: Path) -> str:
    """Where the daemon says that it listens."""
    said = until(lambda: re.search(r"listening on (http\S+)[\s\S]*daemon.sock", log.read_text()))
    return str(said[1])


def test_what_is_answered_is_bounded_too() -> None:
    """What a request holds comes back cut, and is not logged."""
    with listening() as face:
        answer = httpx.get(face.url + "/streams", headers={"host": "x" * 9000})
        assert len(answer.text) < 1000
        assert "xxx" not in Path(face.cli.home.log).read_text()
