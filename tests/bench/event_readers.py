"""`python -m tests.bench.event_readers SOCKET METHOD PATH …`: so many readers of answers over HTTP, to their ends.

Bare Unix sockets in one `select`: what reads costs as little as can be. Writes a line when each of them has its
answer's head. PATH*COUNT is COUNT readers of that path.
"""

from __future__ import annotations

import selectors
import socket
import sys

ENDS = b"0\r\n\r\n"


def connected(path: str, method: str, target: str) -> socket.socket:
    """A reader, when its answer has begun."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
    data = connection.recv(65536)
    if not data.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"no answer to read: {data!r}")
    return connection


def main() -> None:
    """Read, and forget it."""
    path, method, *targets = sys.argv[1:]
    with selectors.DefaultSelector() as selector:
        for target in targets:
            name, _, count = target.partition("*")
            for _ in range(int(count or 1)):
                selector.register(connected(path, method, name), selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while selector.get_map():
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data or data.endswith(ENDS):
                    selector.unregister(key.fileobj)


if __name__ == "__main__":
    main()
