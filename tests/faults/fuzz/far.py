"""Plays ssh and what answers behind it: `far.py FOLDER …` says a greeting and, once asked, an answer, in pieces."""

import _socket
import contextlib
import json
import os
import sys


def main(folder: str) -> None:
    """On standard input, which is a socket."""
    with open(os.path.join(folder, "says.json"), encoding="ascii") as file:
        greeting, answer = json.load(file)
    line = _socket.socket(fileno=0)
    say(line, greeting)
    if greeting and greeting[-1].endswith("\n"):  # else nothing is asked
        line.recv(65536)
        say(line, answer)
    line.shutdown(_socket.SHUT_WR)
    while line.recv(65536):
        pass


def say(line: _socket.socket, parts: list[str]) -> None:
    """Each by itself."""
    for part in parts:
        line.sendall(part.encode("latin-1"))


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # nobody listens any more
        main(sys.argv[1])
