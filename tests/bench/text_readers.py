"""`python -m tests.bench.text_readers SOCKET`: asks for texts over a Unix socket, all at once, and reads them to their ends.

Bare sockets in one `select`. The requests come on stdin as JSON, a list of strings; then a line says that they are
there, and another line on stdin lets them go. Prints as JSON the seconds from the first request to the last end, and the
bytes of text, without the frames of a chunked body.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

ENDS = b"\r\n0\r\n\r\n"


class Answer:
    """What has come on one connection: its head is left out, and its frames are counted, not kept."""

    def __init__(self) -> None:
        self.size = 0
        self._rest = b""
        self._chunked: bool | None = None

    def take(self, data: bytes) -> bool:
        """Whether that was its end."""
        if self._chunked is None:
            self._rest += data
            if self._rest.startswith(b"HTTP") and b"\r\n\r\n" not in self._rest:
                return False
            head, data = self._parted()
            self._chunked = b"chunked" in head.lower()
        if not self._chunked:
            self.size += len(data)
            return not data
        return self._take_chunks(data)

    def _parted(self) -> tuple[bytes, bytes]:
        data, self._rest = self._rest, b""
        if not data.startswith(b"HTTP"):
            return b"", data
        head, _, rest = data.partition(b"\r\n\r\n")
        if b" 200 " not in head.splitlines()[0]:
            raise OSError(f"no text: {head!r}")
        return head, rest

    def _take_chunks(self, data: bytes) -> bool:
        self._rest += data
        place = 0
        while (line := self._rest.find(b"\r\n", place)) >= 0:
            length = int(self._rest[place:line], 16)
            if len(self._rest) < line + 4 + length:
                break
            if length == 0:
                return True
            self.size += length
            place = line + 4 + length
        self._rest = self._rest[place:]
        return False


def read(path: str, requests: list[str]) -> list[Answer]:
    """All of them, to their ends."""
    answers = []
    with selectors.DefaultSelector() as selector:
        for request in requests:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            connection.sendall(request.encode())
            answers.append(Answer())
            selector.register(connection, selectors.EVENT_READ, answers[-1])
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.fileobj  # type: ignore[assignment]
                data = connection.recv(262144)
                if key.data.take(data) or not data:
                    selector.unregister(connection)
                    connection.close()
    return answers


def main() -> None:
    """Read, then tell."""
    requests = json.loads(sys.stdin.readline())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.monotonic()
    answers = read(sys.argv[1], requests)
    taken = time.monotonic() - began
    sys.stdout.write(json.dumps([taken, sum(answer.size for answer in answers)]))


if __name__ == "__main__":
    main()
