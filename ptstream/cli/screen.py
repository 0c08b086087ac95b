"""Everything that prints: what goes to stdout and to stderr, and in which form, decided once.

stdout is the text or the data, stderr everything else. A pipe gets the bytes as they are; a terminal gets
them filtered (`untrusted.py`), in colour where that is wanted. What is said and when, and how a command ends
when its output is closed, is left to the commands. `cat` and `ls` begin with this module: whatever copying
bytes does not need is imported where it is used.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from select import select

from ptstream.cli.untrusted import Filter, clean
from ptstream.errors import PtstreamError

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal, Protocol

    from anyio import Lock

    from ptstream.cli.markdown import Rendered

    When = Literal["auto", "always", "never"]

    class Form(Protocol):
        """How text is put on a terminal: taken in pieces, given back as what to write."""

        def feed(self, text: str) -> str: ...
        def end(self) -> str: ...


PATIENCE = 1.0
"""Seconds that stderr waits for a terminal that takes nothing, so that no message keeps a process alive."""

_DIM, _BOLD, _RED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[1;31m", "\x1b[0m"

_SURELY = 512
"""Bytes that a descriptor which says it is writable takes without blocking: the least PIPE_BUF of POSIX."""

_LEAST = 8
"""Cells below which a table's flexible column is of no use."""


class OutputClosed(PtstreamError):
    """Standard output was closed by its reader, or its terminal hung up."""

    exit_code = 141
    code = "output-closed"


class OutputFailed(PtstreamError):
    """Standard output takes no more, though its reader is still there: a full disk, for one."""

    code = "output-failed"


class Screen:
    """stdout and stderr of a command.

    `out` and `err` are descriptors. `raw` passes the control sequences of a text; names never have any.
    """

    def __init__(
        self,
        out: int = 1,
        err: int = 2,
        *,
        environ: Mapping[str, str] | None = None,
        color: When = "auto",
        raw: bool = False,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._out = _Outlet(out)
        self._err = _Outlet(err)
        self.terminal = self._out.terminal
        self.err_terminal = self._err.terminal
        self.color = _wanted(color, environ, self.terminal)
        self.err_color = _wanted(color, environ, self.err_terminal)
        self.filtered = self.terminal and not raw
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._form: Form = Filter()
        self._rendered: Rendered | None = None
        self._aside = Filter()
        self._mid_line: _Outlet | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now; 80 and 24 where there is no terminal."""
        for outlet in (self._out, self._err):
            try:
                size = os.get_terminal_size(outlet.fd)
            except OSError:
                continue
            if all(size):
                return size.columns, size.lines
        return 80, 24

    def text(self, piece: str | bytes) -> None:
        """Writes the next piece of the text, all of it, before returning.

        Bytes may end inside a character. Raises `OutputClosed` or `OutputFailed`.
        """
        self._out.write(self._shaped(piece))

    def finish(self) -> None:
        """Ends the text: a terminal gets what was held back, and a newline if the last line lacks one."""
        self._out.write(self._last())

    async def show(self, piece: str | bytes) -> None:
        """`text` for an event loop: waits for the reader without blocking, and can be cancelled meanwhile."""
        await self._out.send(self._shaped(piece))

    async def show_end(self) -> None:
        """`finish` for an event loop."""
        await self._out.send(self._last())

    def render(self) -> bool:
        """Shows the text that follows as Markdown, where the terminal allows it. If so, `redraw` must run too."""
        if not (self.filtered and self.color):
            return False
        from time import monotonic

        from ptstream.cli.markdown import Rendered

        self._form = self._rendered = Rendered(lambda: self.size, monotonic)
        return True

    async def redraw(self) -> None:
        """Shows what came last of a rendered text while nothing comes. Runs until it is cancelled."""
        from anyio import sleep

        while self._rendered:
            await sleep(self._rendered.pause)
            await self._out.send(self._placed(self._rendered.draw()))

    async def draw(self, sequences: str) -> None:
        """Writes what this program drew itself, control sequences included. Waits as `show` does."""
        await self._out.send(sequences.encode("utf-8", "replace"))

    def note(self, line: str) -> None:
        """A line beside the text, on stderr. Never raises: there is nobody left who could be told."""
        self._say(clean(line, one_line=True) + "\n", _DIM, fresh=True)

    async def aside(self, text: str) -> None:
        """A piece of a model's reasoning, on stderr. Waits as `show` does. A closed stderr is no error."""
        try:
            await self._err.send(self._said(self._aside.feed(text), _DIM))
        except (OutputClosed, OutputFailed):
            return

    def error(self, error: Exception) -> None:
        """What went wrong, on stderr. Further lines are indented: none can pass for a message of ours."""
        first, *more = clean(str(error)).strip().splitlines() or [type(error).__name__]
        self._say("ptstream: ", _RED, fresh=True)
        self._say("".join(f"{line}\n" for line in (first, *(f"  {line}" for line in more))))

    def data(self, value: Any) -> None:
        """One JSON value, on a line of its own."""
        import json

        line = json.dumps(value, ensure_ascii=False)
        if self.terminal and not line.isprintable():
            line = json.dumps(value)
        # Only a lone surrogate cannot be encoded, and Python's escape for it is JSON's.
        self._out.write(f"{line}\n".encode("utf-8", "backslashreplace"))

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        flexible: int,
        optional: Sequence[int] = (),
        right: Sequence[int] = (),
    ) -> None:
        """Rows of one line each; the numbers are those of columns.

        A pipe gets every row whole, its cells separated by tabs, and no header. A terminal gets columns that
        fit: the `flexible` one is cut, and when too little would be left of it, the `optional` ones go, in
        their order. Those in `right` are aligned to the right.
        """
        body = [[clean(cell, one_line=True) for cell in row] for row in rows]
        if self.terminal and body:
            lines = _columns([list(header), *body], self.size[0], flexible, optional, right)
            lines[0] = _painted(lines[0], _BOLD if self.color else "")
        else:
            lines = ["\t".join(row) for row in body]
        self._out.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))

    def close(self) -> None:
        """Gives back what `show` opened. The descriptors that the screen was given stay open."""
        self._out.close()
        self._err.close()

    def _shaped(self, piece: str | bytes) -> bytes:
        """The bytes that show this piece."""
        if self.filtered:
            text = piece if isinstance(piece, str) else self._decoder.decode(piece)
            return self._placed(self._form.feed(text))
        if self.terminal:
            return self._placed(piece)
        return piece.encode("utf-8", "replace") if isinstance(piece, str) else piece

    def _placed(self, piece: str | bytes) -> bytes:
        """The bytes that put this piece of the text where it belongs on a terminal."""
        data = piece.encode("utf-8", "replace") if isinstance(piece, str) else piece
        return self._gap(self._out, data) + data

    def _last(self) -> bytes:
        """The bytes that end the text."""
        if not self.terminal:
            return b""
        data = self._placed(self._form.feed(self._decoder.decode(b"", True)) + self._form.end())
        if self._mid_line is not self._out:
            return data
        self._mid_line = None
        return data if self._rendered else data + b"\n"

    def _say(self, text: str, style: str = "", fresh: bool = False) -> None:
        self._err.try_write(self._said(text, style, fresh))

    def _said(self, text: str, style: str = "", fresh: bool = False) -> bytes:
        """The bytes that say this on stderr."""
        hidden = self._hidden()
        gap = self._gap(self._err, text.encode("utf-8", "replace"), fresh)
        return hidden + gap + _painted(text, style if self.err_color else "").encode("utf-8", "replace")

    def _hidden(self) -> bytes:
        """Takes what is being rendered out of the way of stderr."""
        if not (self._rendered and self.err_terminal):
            return b""
        if self._mid_line is self._out:
            self._mid_line = None
        return self._rendered.hide().encode()

    def _gap(self, outlet: _Outlet, data: bytes, fresh: bool = False) -> bytes:
        """The newline before `data`, if it is to begin a line or would go on in one that is not its own."""
        if not data:
            return b""
        before, self._mid_line = self._mid_line, None if data.endswith(b"\n") else outlet
        if before is outlet:
            return b"\n" if fresh else b""
        return b"\n" if before is not None and self.terminal and self.err_terminal else b""


class _Outlet:
    """A descriptor to write to. It belongs to others too: the shell, a pager, the rest of a pipeline."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.terminal = os.isatty(fd)
        self._alone: int | None = None
        self._shared = False
        self._turn: Lock | None = None

    def write(self, data: bytes) -> None:
        """Writes all of `data`, also where somebody has made the descriptor non-blocking."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                select([], [self.fd], [])
            except OSError as error:
                raise _refusal(error) from error

    def try_write(self, data: bytes) -> None:
        """Writes as much of `data` as is taken with `PATIENCE`."""
        rest = memoryview(data)
        try:
            fd = self._own() if self.terminal else self.fd
            while rest and select([], [fd], [], PATIENCE)[1]:
                rest = rest[os.write(fd, rest[:_SURELY]) :]
        except OSError:
            return

    async def send(self, data: bytes) -> None:
        """Writes all of `data`, waiting in the event loop.

        Not in a thread: one that hangs in `write` cannot be cancelled and holds up the exit, and the way
        there costs a piece more than its write. Not by O_NONBLOCK on the descriptor as it is: the flag would
        be the shell's too. So the terminal or pipe is opened once more; where that fails, only as much is
        written as a descriptor that says it is writable surely takes.
        """
        from anyio import Lock

        self._turn = self._turn or Lock(fast_acquire=True)
        async with self._turn:
            try:
                await self._send(memoryview(data))
            except OSError as error:
                raise _refusal(error) from error

    async def _send(self, rest: memoryview) -> None:
        from anyio import wait_writable

        fd = self._own()
        while rest:
            if self._shared:
                await wait_writable(fd)
            try:
                rest = rest[os.write(fd, rest[:_SURELY] if self._shared else rest) :]
            except BlockingIOError:
                await wait_writable(fd)

    def close(self) -> None:
        """Closes what was opened here."""
        if self._alone not in (None, self.fd):
            os.close(self._alone)
        self._alone = None

    def _own(self) -> int:
        """A descriptor that does not block, or the shared one, which may."""
        if self._alone is None:
            try:
                self._alone = _reopened(self.fd)
            except OSError:
                self._alone, self._shared = self.fd, True
        return self._alone


def _reopened(fd: int) -> int:
    """What `fd` writes to, opened for us alone and non-blocking; `fd` itself if it never makes one wait."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        raise OSError("a socket cannot be opened twice")
    if not stat.S_ISFIFO(mode) and not os.isatty(fd):
        return fd
    path = f"/proc/self/fd/{fd}" if os.path.isdir("/proc/self/fd") else os.ttyname(fd)
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)


def _refusal(error: OSError) -> PtstreamError:
    """What a failed write means. EIO comes from a terminal that has hung up, EBADF from `>&-`."""
    if error.errno in (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.EBADF):
        return OutputClosed("standard output was closed")
    return OutputFailed(f"standard output: {error.strerror}")


def _wanted(color: When, environ: Mapping[str, str], terminal: bool) -> bool:
    if color != "auto":
        return color == "always"
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") not in ("", "dumb")


def _painted(text: str, style: str) -> str:
    return f"{style}{text}{_PLAIN}" if text and style else text


def _columns(
    rows: list[list[str]], width: int, flexible: int, optional: Sequence[int], right: Sequence[int]
) -> list[str]:
    """The rows as lines of at most `width` cells."""
    needs = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    shown = list(range(len(needs)))
    for column in (*optional, None):
        room = width - sum(needs[i] + 2 for i in shown if i != flexible)
        if room >= min(_LEAST, needs[flexible]) or column is None:
            break
        shown.remove(column)
    needs[flexible] = max(1, min(needs[flexible], room))
    return [_line([_fitted(row[i], needs[i], i in right) for i in shown]) for row in rows]


def _fitted(text: str, width: int, right: bool) -> str:
    text = cut(text, width)
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _line(parts: list[str]) -> str:
    return "  ".join(parts).rstrip()


def cells(text: str) -> int:
    """How many cells a line takes on a terminal. `text` must be clean."""
    if _is_narrow(text):
        return len(text)
    from wcwidth import width

    return width(text)


def cut(text: str, width: int) -> str:
    """The line, its end replaced by "…" if it takes more than `width` cells."""
    if cells(text) <= width:
        return text
    if _is_narrow(text):
        return text[: width - 1].rstrip() + "…"
    from wcwidth import clip

    return clip(text, 0, width - 1).rstrip() + "…"


def erased(lines: Sequence[str], columns: int) -> str:
    """What takes these lines off a terminal, if its cursor is still at the end of the last of them.

    A terminal wraps its lines again when it is resized: what counts is how many rows they take now. Row by row,
    because tmux puts a screen that is erased from its first row on (CSI J) into its history.
    """
    import re

    rows = sum(max(1, -(-cells(re.sub(r"\x1b\[[\d;]*m", "", line)) // columns)) for line in lines)
    return "\r" + "\x1b[2K\x1b[A" * (rows - 1) + "\x1b[2K"


def _is_narrow(text: str) -> bool:
    """Whether each character certainly takes one cell: no need to load the tables of `wcwidth`."""
    return text.isascii() or (
        text.isprintable() and all(char < "\u0300" or "\u0370" <= char < "\u0483" for char in text)
    )
