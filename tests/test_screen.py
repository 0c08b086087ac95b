"""What stdout and stderr get: real pipes, real terminals, full and closed ones included."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator

import anyio
import pyte
import pytest

from ptstream.cli import outlet
from ptstream.cli import screen as module
from ptstream.cli.columns import cells, cut
from ptstream.cli.output import OutputClosed, OutputFailed
from ptstream.cli.panes import Panes
from ptstream.cli.screen import Screen
from ptstream.cli.control_sequences import FORBIDDEN
from ptstream.errors import StreamNotFound

PLAIN: dict[str, str] = {}
XTERM = {"TERM": "xterm-256color"}
HOSTILE = "\x1b]0;title\x07\x1b[2Jred\x9b31m \u202eabc"
MEGABYTE = bytes(range(256)) * 4096


class Pipe:
    """A pipe whose one end a screen gets; the test reads the other."""

    def __init__(self) -> None:
        self.reader, self.fd = os.pipe()

    def fill(self) -> None:
        """Makes the next write wait."""
        os.set_blocking(self.fd, False)
        try:
            while True:
                os.write(self.fd, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.fd, True)

    def rest(self) -> bytes:
        """Everything written, once the writing end is closed."""
        os.close(self.fd)
        with open(self.reader, "rb") as file:
            return file.read()


class Terminal:
    """A pty of a given width."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.reader, self.fd = pty.openpty()
        tty.setraw(self.fd)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def rest(self) -> str:
        """Everything written."""
        os.write(self.fd, b"\0")
        data = b""
        while not data.endswith(b"\0"):
            data += os.read(self.reader, 65536)
        return data[:-1].decode()


def drain(reader: int) -> tuple[threading.Thread, list[bytes]]:
    """Reads until the writing end is closed, beside the test."""
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reader, 65536), b"")))
    thread.start()
    return thread, got


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for fd in (pipe.reader, pipe.fd):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.reader)
    os.close(terminal.fd)


@pytest.fixture
def null() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


# A pipe


def test_a_pipe_gets_the_bytes_as_they_are(pipe: Pipe, null: int) -> None:
    screen = Screen(pipe.fd, null, environ=PLAIN)
    for piece in (HOSTILE, b"\xff\x00\xe3\x81", b"\x82", "no newline \ud800"):
        screen.text(piece)
    screen.finish()
    assert pipe.rest() == HOSTILE.encode() + b"\xff\x00\xe3\x81\x82no newline ?"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_gets_every_byte(pipe: Pipe, null: int, blocking: bool) -> None:
    os.set_blocking(pipe.fd, blocking)
    thread, got = drain(pipe.reader)
    Screen(pipe.fd, null, environ=PLAIN).text(MEGABYTE)
    os.close(pipe.fd)
    thread.join()
    assert b"".join(got) == MEGABYTE


def test_a_closed_pipe_is_an_error_of_its_own(pipe: Pipe, null: int) -> None:
    os.close(pipe.reader)
    with pytest.raises(OutputClosed) as caught:
        Screen(pipe.fd, null, environ=PLAIN).text("text")
    assert caught.value.exit_code == 141


def test_a_descriptor_that_was_never_open_counts_as_closed(pipe: Pipe, null: int) -> None:
    os.close(pipe.fd)
    with pytest.raises(OutputClosed):
        Screen(pipe.fd, null, environ=PLAIN).text("text")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_named(null: int) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OutputFailed, match="No space left"):
        Screen(fd, null).text("text")
    os.close(fd)


# A terminal


def test_a_terminal_gets_no_control_and_a_last_newline(terminal: Terminal) -> None:
    screen = Screen(terminal.fd, terminal.fd, environ=PLAIN)
    for byte in HOSTILE.encode() + "あ".encode():
        screen.text(bytes([byte]))
    screen.finish()
    assert terminal.rest() == "red abcあ\n"


@pytest.mark.parametrize(
    ("pieces", "shown"), [([], ""), ([""], ""), (["a\n"], "a\n"), (["a\r"], "a\n"), ([b"\xe3"], "�\n")]
)
def test_how_a_text_ends_on_a_terminal(terminal: Terminal, pieces: list[str | bytes], shown: str) -> None:
    screen = Screen(terminal.fd, terminal.fd, environ=PLAIN)
    for piece in pieces:
        screen.text(piece)
    screen.finish()
    screen.finish()
    assert terminal.rest() == shown


def test_raw_passes_the_texts_sequences_and_not_those_of_notes(terminal: Terminal) -> None:
    screen = Screen(terminal.fd, terminal.fd, environ=PLAIN, raw=True)
    screen.text(HOSTILE.encode())
    screen.finish()
    screen.note(HOSTILE)
    assert terminal.rest() == f"{HOSTILE}\nred abc\n"


def test_a_terminal_that_hung_up_is_closed(terminal: Terminal, null: int) -> None:
    screen = Screen(terminal.fd, null, environ=PLAIN)
    reader, terminal.reader = terminal.reader, os.dup(null)
    os.close(reader)
    with pytest.raises(OutputClosed):
        screen.text("text")


# Beside the text


def test_a_note_begins_a_line_of_its_own_and_the_text_goes_on_below(terminal: Terminal) -> None:
    screen = Screen(terminal.fd, terminal.fd, environ=PLAIN)
    screen.note("first")
    screen.text("half a ")
    screen.note("second\nline")
    screen.text("sentence.")
    screen.finish()
    screen.error(StreamNotFound("no stream begins with abcd"))
    assert terminal.rest() == ("first\nhalf a \nsecond line\nsentence.\nptstream: no stream begins with abcd\n")


def test_reasoning_and_text_do_not_share_a_line(terminal: Terminal) -> None:
    async def session(screen: Screen) -> None:
        await screen.aside("Let me ")
        await screen.aside("think.")
        await screen.show("It is ")
        await screen.show("so.")
        await screen.show_end()
        screen.close()

    anyio.run(session, Screen(terminal.fd, terminal.fd, environ=XTERM))
    assert terminal.rest() == "\x1b[2mLet me \x1b[0m\x1b[2mthink.\x1b[0m\nIt is so.\n"


def test_reasoning_without_an_answer_is_a_line_of_its_own_too(terminal: Terminal) -> None:
    async def session(screen: Screen) -> None:
        await screen.aside("Let me think.")
        await screen.show_end()
        screen.note("cancelled")
        screen.close()

    anyio.run(session, Screen(terminal.fd, terminal.fd, environ=PLAIN))
    assert terminal.rest() == "Let me think.\ncancelled\n"


def test_what_is_in_another_place_moves_nothing(pipe: Pipe, terminal: Terminal) -> None:
    screen = Screen(pipe.fd, terminal.fd, environ=PLAIN)
    screen.note("first")
    screen.text("half a ")
    screen.note("second")
    screen.text("sentence")
    screen.finish()
    assert (pipe.rest(), terminal.rest()) == (b"half a sentence", "first\nsecond\n")


def test_further_lines_of_an_error_cannot_pass_for_messages(pipe: Pipe, null: int) -> None:
    Screen(null, pipe.fd, environ=PLAIN).error(StreamNotFound("first\nptstream: \x1b[31mforged\n"))
    assert pipe.rest() == b"ptstream: first\n  ptstream: forged\n"


def test_an_error_without_a_message_still_says_something(pipe: Pipe, null: int) -> None:
    Screen(null, pipe.fd, environ=PLAIN).error(StreamNotFound())
    assert pipe.rest() == b"ptstream: StreamNotFound\n"


def test_stderr_that_is_closed_or_full_stops_nothing(pipe: Pipe, null: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "PATIENCE", 0)
    screen = Screen(null, pipe.fd, environ=PLAIN)
    pipe.fill()
    screen.note("nobody reads this")
    os.close(pipe.reader)
    screen.note("nobody can read this")
    anyio.run(screen.aside, "nor this")
    screen.close()


@pytest.mark.parametrize(
    ("environ", "color", "expected"),
    [
        (XTERM, "auto", True),
        (XTERM | {"NO_COLOR": "1"}, "auto", False),
        (XTERM | {"NO_COLOR": ""}, "auto", True),
        ({"TERM": "dumb"}, "auto", False),
        ({}, "auto", False),
        (XTERM, "never", False),
        ({"TERM": "dumb", "NO_COLOR": "1"}, "always", True),
    ],
)
def test_when_there_is_colour(terminal: Terminal, environ: dict[str, str], color: module.When, expected: bool) -> None:
    assert Screen(terminal.fd, terminal.fd, environ=environ, color=color).color is expected


def test_each_descriptor_has_its_own_colour(terminal: Terminal, pipe: Pipe) -> None:
    screen = Screen(pipe.fd, terminal.fd, environ=XTERM)
    assert (screen.color, screen.err_color) == (False, True)


def test_rendered_text_makes_way_for_stderr(terminal: Terminal) -> None:
    async def session(screen: Screen) -> None:
        assert screen.render()
        async with anyio.create_task_group() as group:
            await screen.aside("Let me think")
            await screen.show("# One\n\n**tw")
            screen.note("a note")
            await screen.aside("thinking\n")
            await screen.show(b"o** three")
            group.start_soon(screen.redraw)
            while b"three" not in await read():
                continue
            group.cancel_scope.cancel()
        await screen.show_end()
        screen.note("the end")
        screen.close()

    async def read() -> bytes:
        await anyio.wait_readable(terminal.reader)
        data = os.read(terminal.reader, 65536)
        got.append(data)
        return data

    got: list[bytes] = []
    anyio.run(session, Screen(terminal.fd, terminal.fd, environ=XTERM))
    paper = pyte.Screen(80, 24)
    pyte.ByteStream(paper).feed((b"".join(got) + terminal.rest().encode()).replace(b"\n", b"\r\n"))
    shown = "\n".join(line.rstrip() for line in paper.display).rstrip()
    assert shown == "Let me think\nOne\na note\nthinking\n\ntwo three\nthe end"


def test_only_a_terminal_with_colour_renders(terminal: Terminal, pipe: Pipe) -> None:
    assert not Screen(pipe.fd, terminal.fd, environ=XTERM).render()
    assert not Screen(terminal.fd, terminal.fd, environ=PLAIN).render()
    assert not Screen(terminal.fd, terminal.fd, environ=XTERM, raw=True).render()


# Waiting without blocking


class Blocked:
    """A descriptor that takes nothing more, and what reads it."""

    def __init__(self, kind: str) -> None:
        if kind == "terminal":
            self.reader, self.fd = pty.openpty()
            tty.setraw(self.fd)
        elif kind == "socket":
            ends = socket.socketpair()
            self.reader, self.fd = (end.detach() for end in ends)
        else:
            self.reader, self.fd = os.pipe()
        self.kind = kind

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.fd)


@pytest.fixture(params=["pipe", "terminal", "socket", "pipe that cannot be opened again"])
def blocked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocked]:
    if "again" in request.param:
        monkeypatch.setattr(os.path, "isdir", lambda _: False)
    blocked = Blocked(request.param)
    yield blocked
    blocked.close()


def test_a_reader_that_stops_can_be_left_at_once(blocked: Blocked, null: int) -> None:
    async def session(screen: Screen) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(screen.show, MEGABYTE.replace(b"\xff", b"x"))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        screen.close()

    anyio.run(session, Screen(blocked.fd, null, environ=PLAIN, raw=True))
    assert os.get_blocking(blocked.fd), "the flag is the shell's too"


def test_a_reader_that_goes_on_gets_every_byte(blocked: Blocked, null: int) -> None:
    text = b"0123456789abcde\n" * 20000

    async def session(screen: Screen) -> bytes:
        got = b""
        async with anyio.create_task_group() as group:
            group.start_soon(screen.show, text)
            while len(got) < len(text):
                await anyio.wait_readable(blocked.reader)
                got += os.read(blocked.reader, 65536)
        screen.close()
        return got

    assert anyio.run(session, Screen(blocked.fd, null, environ=PLAIN, raw=True)) == text


def test_a_reader_that_leaves_while_it_is_waited_for(pipe: Pipe, null: int) -> None:
    closed: list[OutputClosed] = []

    async def show(screen: Screen) -> None:
        try:
            await screen.show(MEGABYTE)
        except OutputClosed as error:
            closed.append(error)

    async def session(screen: Screen) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(show, screen)
            await anyio.wait_all_tasks_blocked()
            os.close(pipe.reader)
        screen.close()

    anyio.run(session, Screen(pipe.fd, null, environ=PLAIN))
    assert closed


def test_a_file_gets_the_text_from_an_event_loop_too(tmp_path: os.PathLike[str], null: int) -> None:
    path = os.path.join(tmp_path, "out")
    with open(path, "wb") as file:
        anyio.run(Screen(file.fileno(), null).show, MEGABYTE)
    with open(path, "rb") as file:
        assert file.read() == MEGABYTE


# Data and tables


def test_json_is_one_line_of_utf8(pipe: Pipe, null: int) -> None:
    value = {"title": "Größe\n世界\x9b", "name": None, "bytes": 3}
    Screen(pipe.fd, null, environ=PLAIN).data(value)
    line = pipe.rest()
    assert json.loads(line) == value
    assert line.count(b"\n") == 1
    assert "世界".encode() in line


def test_json_with_half_a_character_is_still_json(pipe: Pipe, null: int) -> None:
    Screen(pipe.fd, null, environ=PLAIN).data({"title": "\ud83d"})
    assert json.loads(pipe.rest()) == {"title": "\ud83d"}


def test_json_on_a_terminal_has_no_controls(terminal: Terminal, null: int) -> None:
    screen = Screen(terminal.fd, null, environ=PLAIN)
    screen.data({"title": HOSTILE})
    screen.data({"title": "世界"})
    hostile, harmless = terminal.rest().splitlines()
    assert json.loads(hostile) == {"title": HOSTILE}
    assert not re.search(f"[{FORBIDDEN}]", hostile)
    assert harmless == '{"title": "世界"}'


HEADER = ["ID", "STATUS", "AGE", "BYTES", "TITLE"]
ROWS = [
    [
        "k3v9x0c2m4np",
        "streaming",
        "2m",
        "1234",
        "Why is the sky blue, and since when has anybody known the reason?",
    ],
    [
        "07h2bq8rz1wd",
        "done",
        "13d",
        "7",
        "空はなぜ青いのか、そしてその理由はいつから知られているのか、教えてください。",
    ],
    ["a1b2c3d4e5f6", "error", "1y", "0", "\x1b]0;x\x07one\n\ttwo"],
]


def test_a_piped_table_has_every_row_whole_and_no_header(pipe: Pipe, null: int) -> None:
    Screen(pipe.fd, null, environ=PLAIN).table(HEADER, ROWS, flexible=4, optional=[3, 2], right=[3])
    lines = pipe.rest().decode().splitlines()
    assert [line.split("\t") for line in lines] == [*ROWS[:2], [*ROWS[2][:4], "one two"]]


@pytest.mark.parametrize(
    ("columns", "header"),
    [
        (120, HEADER),
        (80, HEADER),
        (40, ["ID", "STATUS", "AGE", "TITLE"]),
        (32, ["ID", "STATUS", "TITLE"]),
        (5, None),
    ],
)
def test_a_table_fits_its_terminal(null: int, columns: int, header: list[str] | None) -> None:
    terminal = Terminal(columns)
    Screen(terminal.fd, null, environ=PLAIN).table(HEADER, ROWS, flexible=4, optional=[3, 2], right=[3])
    lines = terminal.rest().splitlines()
    assert len(lines) == 4
    if header:
        assert lines[0].split() == header
        assert all(cells(line) <= columns for line in lines)
    assert all(line.startswith(row[0]) for line, row in zip(lines[1:], ROWS, strict=True))
    assert lines[3].endswith("one two" if columns > 5 else "…")


def test_columns_are_aligned(terminal: Terminal, null: int) -> None:
    screen = Screen(terminal.fd, null, environ=XTERM)
    screen.table(["NAME", "BYTES"], [["あ", "1"], ["abc", "12345678"]], flexible=0, right=[1])
    assert terminal.rest() == "\x1b[1mNAME     BYTES\x1b[0m\nあ           1\nabc   12345678\n"


def test_an_empty_table_is_empty(terminal: Terminal, null: int) -> None:
    Screen(terminal.fd, null, environ=PLAIN).table(HEADER, [], flexible=4)
    assert terminal.rest() == ""


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab d", 4, "ab d"),
        ("ab de", 4, "ab…"),
        ("Größe", 4, "Grö…"),
        ("Привет", 4, "При…"),
        ("空はなぜ", 6, "空は…"),
        ("空はなぜ", 5, "空は…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    ],
)
def test_a_cut_splits_no_character(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
    assert cells(shown) <= width


def test_the_size_is_the_terminals(terminal: Terminal, null: int) -> None:
    assert Screen(null, null, environ=PLAIN).size == (80, 24)
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    assert Screen(terminal.fd, null, environ=PLAIN).size == Screen(null, terminal.fd, environ=PLAIN).size == (40, 10)


def test_copying_bytes_loads_nothing_it_does_not_need() -> None:
    program = (
        "import sys; from ptstream.cli.screen import Screen; Screen().text('Grüße, Привет\\n')\n"
        "Screen().table(['A'], [['ж']], flexible=0)\n"
        "print(sorted({'json', 'wcwidth', 'anyio', 'asyncio', 'rich', 'dataclasses'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert ran.stdout.decode() == "Grüße, Привет\nж\n[]\n"


# The demo's panes

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


class Shown(Terminal):
    """A terminal, and what it shows."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.Stream(self.screen)

    def lines(self) -> list[str]:
        self.stream.feed(self.rest().replace("\n", "\r\n"))
        return [line.rstrip() for line in self.screen.display]


@pytest.fixture(params=[(80, 24), (40, 10), (30, 5)])
def shown(request: pytest.FixtureRequest) -> Iterator[Shown]:
    shown = Shown(*request.param)
    yield shown
    os.close(shown.reader)
    os.close(shown.fd)


@pytest.mark.parametrize("environ", [{}, {"TERM": "xterm"}])
def test_each_pane_shows_its_text_and_its_count(shown: Shown, environ: dict[str, str]) -> None:
    async def session(panes: Panes) -> None:
        for number, piece in enumerate(PIECES, 1):
            panes.left(piece)
            panes.counts(number, 0)
            await panes.draw()
            shown.lines()
        panes.right("Why is the sky blue?\n")
        panes.counts(1234, 1)
        await panes.finish()

    anyio.run(session, Panes(Screen(shown.fd, shown.fd, environ=environ)))
    lines = shown.lines()
    text = "\n".join(lines)
    assert text.count("end.") == text.count("1,234 pieces") == text.count("every") == 1
    assert text.count("1 row") == 1
    assert shown.screen.title == ""
    if shown.screen.columns == 80:
        assert lines[1].split("│")[0].strip() == lines[1].split("│")[1].strip() == "Why is the sky blue?"
        assert lines[1].index("│") == 39
    assert shown.screen.cursor.x == 0


def test_what_does_not_change_is_not_drawn(shown: Shown) -> None:
    async def session(panes: Panes) -> None:
        panes.left("text")
        await panes.draw()
        assert "text" in "".join(shown.lines())
        shown.screen.reset()
        await panes.draw()
        assert not "".join(shown.lines())

    anyio.run(session, Panes(Screen(shown.fd, shown.fd, environ={})))


def test_it_draws_by_itself(shown: Shown) -> None:
    async def session(panes: Panes) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(panes.redraw)
            panes.left("text")
            await anyio.wait_readable(shown.reader)
            group.cancel_scope.cancel()

    anyio.run(session, Panes(Screen(shown.fd, shown.fd, environ={})))


def test_without_a_terminal_the_end_is_told() -> None:
    async def session(screen: Screen) -> None:
        panes = Panes(screen)
        for piece in PIECES:
            panes.left(piece)
        panes.right("Why is the sky blue?\n")
        panes.counts(1000, 1)
        await panes.redraw()
        await panes.finish()
        screen.close()

    reader, writer = os.pipe()
    anyio.run(session, Screen(writer, writer))
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        pieces, rows = file.read().splitlines()
    assert "1,000 pieces" in pieces
    assert rows == "whole sentences, from the database: 1 row, 21 bytes"
