"""What tests of `ptstream/web` share: sites that serve the modules, and a line that can be bad."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import started, until


@contextlib.contextmanager
def site(*directories: Path) -> Iterator[str]:
    """The origin of a site that serves these directories at `/0`, `/1` and so on, and nothing but a title elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = re.fullmatch(r"/(\d)/((?:[\w-]+/)?[\w.-]+)", urlsplit(self.path).path)
            data = b"<!doctype html><meta charset=utf-8><title>A site</title><link rel=icon href='data:,'>"
            if found:
                data = (directories[int(found[1])] / found[2]).read_bytes()
            self.send_response(200)
            self.send_header("content-type", "text/javascript" if found else "text/html")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def kept_in(place: str, program: str) -> str:
    """The program, its streams kept there."""
    text, count = re.subn(r'ptstream\.open\("\w+"', f"ptstream.open({place!r}", program)
    assert count == 1
    return text


@contextlib.contextmanager
def app(program: str, folder: Path, **environment: str) -> Iterator[str]:
    """The address of a Starlette app called `app`, run by uvicorn in `folder`; its log, there, complains of nothing.

    What a generator raised may stand in it.
    """
    (folder / "served_app.py").write_text(program)
    log = folder / "log"
    options = ["--port", "0", "--no-access-log", "--timeout-graceful-shutdown", "1"]
    words = [*options, "served_app:app"]
    with (
        open(log, "wb") as err,
        started(words, os.environ | environment, module="uvicorn", cwd=folder, stderr=err) as process,
    ):
        found = until(lambda: process.poll() or re.search(r"http://[\d.]+:\d+", log.read_text()))
        assert process.poll() is None, log.read_text()
        yield found[0]
        process.terminate()
        assert process.wait() in (0, -15), log.read_text()
    assert "Exception in" not in log.read_text(), log.read_text()


Passes = Callable[[int], int | None]
"""Of the n-th connection, so many bytes of the answer pass; None: all."""


@dataclass
class Line:
    """A way to a server on TCP that breaks, stalls and refuses as it is told."""

    target: tuple[str, int]
    passes: Passes = lambda _: None
    stalls: bool = False
    """What does not pass is held back, instead of that the connection is cut."""
    whole_heads: bool = False
    """All passes before the body of an answer that is a stream, and does not count."""
    refuses: bool = False
    heads: list[str] = field(default_factory=list)
    """The first line of each request, as far as the line let it through; with its number of bytes that passed."""
    cuts: int = 0
    at_cut: Callable[[], Any] = lambda: None
    """Done before the connection is cut."""
    _live: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it begins."""
        return f"http://127.0.0.1:{self.port}"

    port: int = 0

    def carry(self, client: socket.socket) -> None:
        """One connection."""
        if self.refuses:
            self.cuts += 1
            return _reset(client)
        with contextlib.suppress(OSError), socket.create_connection(self.target) as server:
            head = client.recv(65536)
            if not head:
                return None
            number = len(self.heads)
            self.heads.append(head.split(b"\r\n", 1)[0].decode())
            server.sendall(head)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            self._answer(server, client, self.passes(number))
        return None

    def _answer(self, server: socket.socket, client: socket.socket, left: int | None) -> None:
        if self.whole_heads:
            head = b""
            while not head.endswith(b"chunked\r\n\r\n") and (byte := server.recv(1)):
                head += byte
                client.sendall(byte)
        while data := server.recv(65536):
            if left is not None and len(data) >= left:
                client.sendall(data[:left])
                self.cuts += 1
                self.at_cut()
                while self.stalls and server.recv(65536):
                    pass  # until the client leaves
                return _reset(client) if self.cuts % 2 else _close(client)  # an orderly end, but too soon
            left = None if left is None else left - len(data)
            client.sendall(data)
        return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _close(client, socket.SHUT_RD)


def _close(client: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(how)  # else it stays open for as long as another thread reads from it
    client.close()


@contextlib.contextmanager
def line(url: str, passes: Passes = lambda _: None, **more: Any) -> Iterator[Line]:
    """A line to `url`."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    made = Line((parts.hostname, parts.port), passes, **more)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        made.port = listener.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_carry, args=(made, client), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)


def _carry(made: Line, client: socket.socket) -> None:
    with client:
        made.carry(client)


def cuts_at_random(seed: int, most: int) -> Passes:
    """Cuts each connection at a random byte, before its `most`-th. Prints the seed."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    return lambda _: chance.randrange(most // 20, most)
