"""`python -m tests.bench.sse_readers COUNT PORT PATH [TOKEN]`: so many readers of one stream by server-sent events.

Bare sockets in one `select`, the same for every server. Each word of the stream is the time when it was sent; when the
last reader has it, its lateness is known. All of them are printed as JSON at the stream's end.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter

_STAMP = re.compile(rb"T(\d+)\n")


class Readers:
    """The readers, and how often each word has been seen."""

    def __init__(self, count: int, port: int, path: str, token: str | None) -> None:
        self._count = count
        self._seen: Counter[int] = Counter()
        self.late: list[int] = []
        self._selector = selectors.DefaultSelector()
        headers = f"authorization: Bearer {token}\r\n" if token else ""
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode())
            self._selector.register(connection, selectors.EVENT_READ, bytearray(self._head(connection)))

    def _head(self, connection: socket.socket) -> bytes:
        """What came with the answer's head: the reader is there then."""
        data = b""
        while b"event: control" not in data:
            more = connection.recv(65536)
            if not more:
                raise OSError(f"no stream of events: {data!r}")
            data += more
        return data.partition(b"\r\n\r\n")[2]

    def run(self) -> None:
        """Until all connections have ended, or the stream is closed."""
        while self._selector.get_map():
            for key, _ in self._selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                now = time.monotonic_ns()
                self._take(key.data, data, now)
                if not data or b"streamClosed" in data:
                    self._selector.unregister(key.fileobj)

    def _take(self, rest: bytearray, data: bytes, now: int) -> None:
        rest += data
        end = rest.rfind(b"\n") + 1
        for found in _STAMP.finditer(rest, 0, end):
            stamp = int(found[1])
            self._seen[stamp] += 1
            if self._seen[stamp] == self._count:
                self.late.append(now - stamp)
        del rest[:end]


def main() -> None:
    """Read, then tell."""
    count, port, path, *token = sys.argv[1:]
    readers = Readers(int(count), int(port), path, token[0] if token else None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    readers.run()
    sys.stdout.write(json.dumps(readers.late))


if __name__ == "__main__":
    main()
