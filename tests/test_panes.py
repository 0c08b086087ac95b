"""The demo's panes, on real terminals of several sizes and without one."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import tty
from collections.abc import Iterator

import pyte
import pytest

from ptstream.cli.panes import Panes
from ptstream.cli.screen import Screen

PIECES = [
    "Why is ",
    "the sky",
    " blue?\n",
    "\n空は",
    "なぜ青い",
    "のか。",
    "\x1b[2J",
    "\x1b]0;title\x07",
    " The end",
    ".",
]


class Shown:
    """A terminal, and what it shows."""

    def __init__(self, columns: int, lines: int) -> None:
        self.reader, self.fd = pty.openpty()
        tty.setraw(self.fd)
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def lines(self) -> list[str]:
        os.write(self.fd, b"\0")
        data = b""
        while not data.endswith(b"\0"):
            data += os.read(self.reader, 65536)
        self.stream.feed(data[:-1].replace(b"\n", b"\r\n"))
        return [line.rstrip() for line in self.screen.display]

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.fd)


@pytest.fixture(params=[(80, 24), (40, 10), (30, 5)])
def shown(request: pytest.FixtureRequest) -> Iterator[Shown]:
    shown = Shown(*request.param)
    yield shown
    shown.close()


@pytest.mark.parametrize("environ", [{}, {"TERM": "xterm"}])
def test_each_pane_shows_its_text_and_its_count(shown: Shown, environ: dict[str, str]) -> None:
    ticks = iter(range(1000))
    panes = Panes(Screen(shown.fd, shown.fd, environ=environ), clock=lambda: next(ticks))
    for number, piece in enumerate(PIECES, 1):
        panes.left(piece)
        panes.counts(number, 0)
    panes.right("Why is the sky blue?\n")
    panes.counts(1234, 1)
    panes.finish()
    lines = shown.lines()
    text = "\n".join(lines)
    assert text.count("The end.") == text.count("1,234 pieces") == text.count("every piece") == 1
    assert text.count("1 row") == 1
    assert shown.screen.title == ""
    if shown.screen.columns == 80:
        assert lines[1].split("│")[0].strip() == lines[1].split("│")[1].strip() == "Why is the sky blue?"
        assert lines[1].index("│") == 39
    assert shown.screen.cursor.x == 0


def test_between_two_frames_nothing_is_drawn(shown: Shown) -> None:
    panes = Panes(Screen(shown.fd, shown.fd, environ={}), clock=lambda: 0.0)
    panes.left("first")
    panes.left(" second")
    assert "second" not in "".join(shown.lines())
    panes.finish()
    assert "first second" in "\n".join(shown.lines())


def test_without_a_terminal_the_end_is_told() -> None:
    reader, writer = os.pipe()
    panes = Panes(Screen(writer, writer))
    for piece in PIECES:
        panes.left(piece)
    panes.right("Why is the sky blue?\n")
    panes.counts(10, 1)
    panes.finish()
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        pieces, rows = file.read().splitlines()
    assert "10 pieces" in pieces
    assert "1 row" in rows
    assert "21 bytes" in rows
