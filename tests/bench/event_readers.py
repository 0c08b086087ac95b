"""`python -m tests.bench.event_readers SOCKET COUNT [PATH …]`: so many readers of server-sent events, to their ends.

Bare Unix sockets in one `select`: what reads costs as little as can be. Writes a line when each of them has its answer's
head. COUNT readers of `/`, or of each PATH.
"""

from __future__ import annotations

import selectors
import socket
import sys


def connected(path: str, target: str) -> socket.socket:
    """A reader, when its answer has begun."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    data = connection.recv(65536)
    if not data.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"no stream of events: {data!r}")
    return connection


def main() -> None:
    """Read, and forget it."""
    path, count, *targets = sys.argv[1:]
    with selectors.DefaultSelector() as selector:
        for target in targets or ["/"]:
            for _ in range(int(count)):
                selector.register(connected(path, target), selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while selector.get_map():
            for key, _ in selector.select():
                if not key.fileobj.recv(65536):  # type: ignore[union-attr]
                    selector.unregister(key.fileobj)


if __name__ == "__main__":
    main()
