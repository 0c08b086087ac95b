"""Proxies with the habits of some that people have before their apps."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

LENGTH = ("content-length", "transfer-encoding", "connection")


@dataclass
class Proxy:
    """Where it is, and the requests that it has passed on: each one's method and what it accepts."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def collecting(target: str, *, events: bool = False, heads: bool = True) -> Iterator[Proxy]:
    """Hands a body on when it is whole: with `events` those too, and without `heads` not even the head before.

    As it comes go events alone, as through a tunnel.
    """
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxy.asked.append((self.command, self.headers["accept"] or ""))
            upstream = http.client.HTTPConnection(urlsplit(target).netloc)
            with contextlib.closing(upstream), contextlib.suppress(OSError, http.client.HTTPException):
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                upstream.request(self.command, self.path, body, dict(self.headers))
                self._pass_on(upstream.getresponse())

        do_POST = do_OPTIONS = do_GET

        def _pass_on(self, answer: http.client.HTTPResponse) -> None:
            collects = events or answer.headers.get_content_type() != "text/event-stream"
            early = b"" if heads else answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in LENGTH:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(early + (answer.read() if collects else b""))
            while data := answer.read1(65536):
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        yield proxy
        server.shutdown()
