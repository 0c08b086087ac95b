"""Connections that strangers hold: they keep out nobody who has the token, and are soon gone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from ptstream.http.connection_limits import FEW, GRACE, Connections, Guest
from tests.conftest import FIRST, LIMIT, SECOND, Cli, Face, Gate, daemon_status, detached, started, told, until
from tests.preloaded import CODE

# --- who is dropped for whom


@dataclass
class Crowd:
    """Connections, and which of them were dropped."""

    all: Connections
    dropped: list[Guest] = field(default_factory=list)

    def come(self, address: str, *, known: bool = False, idle: bool = True, age: float = 0.0) -> Guest:
        """One more; it finds room."""
        guest = Guest(address, lambda: self.dropped.append(guest), lambda: idle)
        guest.since -= age
        assert self.all.enter(guest)
        if known:
            self.all.know(guest)
        return guest


def test_the_oldest_stranger_of_the_address_that_has_the_most() -> None:
    crowd = Crowd(Connections(4))
    alone = crowd.come("10.0.0.1")
    many = [crowd.come("10.0.0.2") for _ in range(3)]
    crowd.come("10.0.0.3")
    assert crowd.dropped == [many[0]]
    crowd.come("10.0.0.4")
    assert crowd.dropped == many[:2]
    assert alone not in crowd.dropped


def test_who_is_known_minds_no_strangers() -> None:
    crowd = Crowd(Connections(3))
    known = [crowd.come("10.0.0.1", known=True) for _ in range(2)]
    for number in range(100):
        crowd.come(f"10.0.1.{number}")
    assert len(crowd.dropped) == 99
    assert not set(known) & set(crowd.dropped)


def test_where_all_are_known_one_that_asks_nothing_makes_room() -> None:
    crowd = Crowd(Connections(3))
    crowd.come("10.0.0.1", known=True, idle=False)
    idle = crowd.come("10.0.0.1", known=True)
    crowd.come("10.0.0.1", known=True, idle=False)
    crowd.come("10.0.0.2", known=True, idle=False)
    assert crowd.dropped == [idle]
    assert not crowd.all.enter(Guest("10.0.0.3", lambda: None, lambda: True))


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8:0:1::{}", "::ffff:10.0.0.1"])
def test_one_address_has_few_once_they_had_time_to_show_who_they_are(address: str) -> None:
    crowd = Crowd(Connections())
    old = [crowd.come(address.format(f"{number:x}"), age=GRACE + 1) for number in range(FEW)]
    crowd.come("10.0.0.2")
    assert crowd.dropped == []
    crowd.come(address.format("ffff"))
    assert crowd.dropped == [old[0]]
    young = Crowd(Connections())
    for _ in range(10 * FEW):
        young.come("10.0.0.1", age=-LIMIT)
    assert young.dropped == []


def test_the_count_is_right_whatever_comes_and_goes() -> None:
    crowd = Crowd(Connections(2))
    for _ in range(9):
        guest = crowd.come("10.0.0.1")
        crowd.all.know(guest)
        crowd.all.know(guest)
        assert crowd.all.leave(guest)
        assert not crowd.all.leave(guest)
        crowd.all.know(guest)  # an answer that comes too late
    crowd.come("a unix socket", known=True, idle=False)
    crowd.come("", known=True, idle=False)
    assert not crowd.all.enter(Guest("10.0.0.3", lambda: None, lambda: True))
    assert crowd.dropped == []


# --- a daemon

CROWDED = """
import sys
from ptstream.daemon import process
from ptstream.http import connection_limits, uvicorn_protocol
from ptstream.settings import Home
connection_limits.CONNECTIONS = 8
uvicorn_protocol.HEAD_TIME, uvicorn_protocol.BODY_TIME = float(sys.argv[2]), 300
process.run(Home(sys.argv[1], sys.argv[3]), listen="127.0.0.1:0")
"""
"""A daemon that has room for few."""


@contextlib.contextmanager
def crowded(cli: Cli, head_time: float) -> Iterator[Face]:
    """One, in which a stranger has so many seconds for what it asks."""
    words = [CROWDED, cli.home.path, str(head_time), cli.home.store]
    with started(words, cli.environment, module=CODE, stderr=subprocess.PIPE) as process:
        until(lambda: os.path.exists(cli.home.socket) or process.poll() is not None)
        url, token = daemon_status(cli.home)["listen"], Path(cli.home.token).read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=LIMIT) as http:
            yield Face(cli, url, token, http)
        process.terminate()
        assert process.wait(timeout=LIMIT) == 0


IDLE = (b"", b"GET / HT", b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{")


def test_who_has_the_token_finds_a_place(cli: Cli, gate: Gate) -> None:
    with crowded(cli, 300) as face, contextlib.ExitStack() as stack:
        id = detached(cli, *gate.command)
        with face.http.stream("GET", f"/streams/{id}/text?live=1") as reading:
            text = reading.iter_text()
            assert next(text) == FIRST
            for number in range(40):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT))
                client.sendall(IDLE[number % len(IDLE)])
            headers = {"authorization": f"Bearer {face.token}"}
            for _ in range(3):
                assert httpx.get(f"{face.url}/streams", headers=headers).status_code == 200
            assert httpx.get(face.url + "/").status_code == 200
            gate.open()
            assert "".join(text) == SECOND
        assert told(cli, id)["status"] == "done"


def test_an_upload_is_waited_for_once_the_token_is_known(cli: Cli) -> None:
    head = "POST /streams HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 16\r\n\r\n"
    with crowded(cli, 0.3) as face, contextlib.ExitStack() as stack:
        known, stranger = (
            stack.enter_context(socket.create_connection(("127.0.0.1", face.port), timeout=LIMIT)) for _ in range(2)
        )
        known.sendall(head.format(more=f"Authorization: Bearer {face.token}\r\n").encode() + b'{"prompt"')
        stranger.sendall(head.format(more="").encode() + b'{"prompt"')
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while more := stranger.recv(65536):
                said += more
        assert said.startswith(b"HTTP/1.1 401 ")  # and then it was dropped
        known.sendall(b': "x"} ')
        assert known.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_a_strangers_body_is_not_read(cli: Cli) -> None:
    with crowded(cli, 300) as face:
        for path in ("/streams", "/enter", "/session"):
            answer = httpx.post(face.url + path, content=b"x" * 100_000)
            assert answer.status_code in (401, 413), path
