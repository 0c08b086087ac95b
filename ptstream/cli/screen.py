"""Everything that prints: what goes to stdout and to stderr, and in which form, decided once.

stdout is the text or the data, stderr everything else. A pipe gets the bytes as they are; a terminal gets
them filtered (`control_sequences.py`), in colour where that is wanted. What is said and when, and how a command ends
when its output is closed, is left to the commands. `cat` and `ls` begin with this module: whatever copying
bytes does not need is imported where it is used.
"""

from __future__ import annotations

import codecs
import os

from ptstream.cli.columns import cells, columns, cut
from ptstream.cli.control_sequences import CommandFilter, Filter, clean
from ptstream.cli.output import Output, OutputClosed, OutputFailed

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from typing import Any, Literal, Protocol

    from ptstream.cli.markdown import Rendered

    When = Literal["auto", "always", "never"]

    class TextFormatter(Protocol):
        """How text is put on a terminal: taken in pieces, given back as what to write."""

        def feed(self, text: str) -> str: ...
        def end(self) -> str: ...


_DIM, _BOLD, _RED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[1;31m", "\x1b[0m"


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
        self._environ = environ = os.environ if environ is None else environ
        self._out = Output(out)
        self._err = Output(err)
        self.terminal = self._out.terminal
        self.err_terminal = self._err.terminal
        self.color = _wanted(color, environ, self.terminal)
        self.err_color = _wanted(color, environ, self.err_terminal)
        self.filtered = self.terminal and not raw
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        smart = is_smart(environ)
        self._formatter: TextFormatter = CommandFilter(self.color) if smart else Filter()
        self._rendered: Rendered | None = None
        self._remark_filter: TextFormatter = CommandFilter(self.err_color) if self.err_terminal and smart else Filter()
        self._mid_line: Output | None = None
        self._status = 0  # cells of a line on stderr that goes when anything else comes

    @property
    def out(self) -> int:
        """The descriptor of the text."""
        return self._out.fd

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now; 80 and 24 where there is no terminal."""
        for output in (self._out, self._err):
            try:
                size = os.get_terminal_size(output.fd)
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

        from ptstream.cli.markdown import Rendered, reflows

        self._formatter = self._rendered = Rendered(lambda: self.size, monotonic, reflows=reflows(self._environ))
        return True

    def render_whole(self) -> None:
        """Shows the text that follows as Markdown, wherever it goes to: all that is there of it is there at once."""
        from ptstream.cli.markdown_whole import WholeMarkdown

        self.filtered = True
        self._formatter = WholeMarkdown(lambda: self.size, color=self.color)

    async def redraw(self) -> None:
        """Shows what came last of a rendered text while nothing comes. Runs until it is cancelled."""
        from anyio import sleep

        while self._rendered:
            await sleep(self._rendered.pause)
            await self._out.send(self._placed(self._rendered.draw()))

    async def part(self) -> None:
        """Makes final what stands there of a rendered text, for somebody else who writes to the terminal."""
        if self._rendered:
            await self._out.send(self._placed(self._rendered.part()))

    async def draw(self, sequences: str) -> None:
        """Writes what this program drew itself, control sequences included. Waits as `show` does."""
        await self._out.send(sequences.encode("utf-8", "replace"))

    async def status(self, line: str) -> None:
        """A line on stderr, if that is a terminal, that stands there until anything else is written."""
        if self.err_terminal and self._mid_line is None:
            line = cut(clean(line, one_line=True), self.size[0] - 1)
            before, self._status = self._status, cells(line)
            shown = _painted(line, _DIM if self.err_color else "") + " " * (before - self._status)
            await self._err.send(f"\r{shown}".encode("utf-8", "replace"))

    def _clear_status(self) -> None:
        if self._status:
            self._err.try_write(b"\r" + b" " * self._status + b"\r")
            self._status = 0

    def note(self, line: str) -> None:
        """A line beside the text, on stderr. Never raises: there is nobody else to report it to."""
        self._say(clean(line, one_line=True) + "\n", _DIM, fresh=True)

    async def remark(self, text: str, *, fresh: bool = False) -> None:
        """A piece of what is said beside the text, on stderr; `fresh` begins a line.

        Waits as `show` does. A closed stderr is no error.
        """
        shown = self._remark_filter.end() + self._remark_filter.feed(text) if fresh else self._remark_filter.feed(text)
        await self._send_remark(shown, fresh)

    def overheard(self, name: str) -> Callable[[str], Awaitable[None]]:
        """What puts lines of another program on stderr: each begins with `name`, so that none can pass for ours."""

        async def hear(line: str) -> None:
            await self.remark(f"{name}: {' '.join(clean(line).splitlines())}\n", fresh=True)

        return hear

    async def aside_end(self) -> None:
        """Ends what was said beside the text: on a terminal, its last line too."""
        rest = self._remark_filter.end()
        if self.err_terminal and self._mid_line is self._err and not rest.endswith("\n"):
            rest += "\n"
        await self._send_remark(rest)

    async def _send_remark(self, shown: str, fresh: bool = False) -> None:
        try:
            await self._err.send(self._said(shown, _DIM, fresh))
        except (OutputClosed, OutputFailed):
            return

    def error(self, error: Exception) -> None:
        """What went wrong, on stderr. Further lines are indented: none can pass for a message of ours."""
        first, *more = clean(str(error)).strip().splitlines() or [type(error).__name__]
        self._say("ptstream: ", _RED, fresh=True)
        self._say("".join(f"{line}\n" for line in (first, *(f"  {line}" for line in more))))

    def data(self, value: Any) -> None:
        """One JSON value, on a line of its own."""
        from ptstream import strict_json

        line = strict_json.dumps(value, ensure_ascii=False)
        if self.terminal and not line.isprintable():
            line = strict_json.dumps(value)
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
            lines = columns([list(header), *body], self.size[0], flexible, optional, right)
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
        self._clear_status()
        if self.filtered:
            text = piece if isinstance(piece, str) else self._decoder.decode(piece)
            return self._placed(self._formatter.feed(text))
        if self.terminal:
            return self._placed(piece)
        return piece.encode("utf-8", "replace") if isinstance(piece, str) else piece

    def _placed(self, piece: str | bytes) -> bytes:
        """The bytes that put this piece of the text where it belongs on a terminal."""
        data = piece.encode("utf-8", "replace") if isinstance(piece, str) else piece
        return self._gap(self._out, data) + data

    def _last(self) -> bytes:
        """The bytes that end the text."""
        self._clear_status()
        if not (self.terminal or self.filtered):
            return b""
        data = self._placed(self._formatter.feed(self._decoder.decode(b"", True)) + self._formatter.end())
        if self._mid_line is not self._out:
            return data
        self._mid_line = None
        return data if self._rendered or not self.terminal else data + b"\n"

    def _say(self, text: str, style: str = "", fresh: bool = False) -> None:
        self._err.try_write(self._said(text, style, fresh))

    def _said(self, text: str, style: str = "", fresh: bool = False) -> bytes:
        """The bytes that say this on stderr."""
        self._clear_status()
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

    def _gap(self, output: Output, data: bytes, fresh: bool = False) -> bytes:
        """The newline before `data`, if it is to begin a line or would go on in one that is not its own."""
        if not data:
            return b""
        before, self._mid_line = self._mid_line, None if data.endswith(b"\n") else output
        if before is output:
            return b"\n" if fresh else b""
        return b"\n" if before is not None and self.terminal and self.err_terminal else b""


def is_smart(environ: Mapping[str, str]) -> bool:
    """Whether the terminal knows more than the ends of lines."""
    return environ.get("TERM", "dumb") not in ("", "dumb")


def _wanted(color: When, environ: Mapping[str, str], terminal: bool) -> bool:
    if color != "auto":
        return color == "always"
    return terminal and not environ.get("NO_COLOR") and is_smart(environ)


def _painted(text: str, style: str) -> str:
    return f"{style}{text}{_PLAIN}" if text and style else text
