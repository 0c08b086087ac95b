"""`python -m tests.bench.text_readers SOCKET`: asks for texts over a Unix socket, all at once, and reads them to their
ends.

Bare sockets in one `select`. The requests come on stdin as JSON, a list of strings; then a line says that they are
there, and another line on stdin lets them go. Prints as JSON the seconds from the first request to the last end, and
the bytes of text, without the frames of a chunked body.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

HEAD_ENDS = b"\r\n\r\n"


class Answer:
    """What has come on one connection. Of an HTTP answer the head is left out, and its chunks' frames."""

    def __init__(self, *, http: bool) -> None:
        self.size = 0
        self._http = http
        self._begun = False
        self._rest = b""

    def take(self, data: bytes) -> bool:
        """Whether that was its end."""
        if not self._http:
            self.size += len(data)
            return not data
        self._rest += data
        if not self._begun:
            head, found, rest = self._rest.partition(HEAD_ENDS)
            if not found:
                return False
            if b" 200 " not in head.splitlines()[0]:
                raise OSError(f"no text: {head!r}")
            self._begun, self._rest = True, rest
        return self._take_chunks()

    def _take_chunks(self) -> bool:
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
            answers.append(Answer(http=" HTTP/1.1\r\n" in request))
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
