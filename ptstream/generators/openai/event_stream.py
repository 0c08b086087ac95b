"""Server-sent events as endpoints send them, and what some send instead, as JSON objects.

Bytes in any cuts go in. Events (WHATWG HTML, 9.2.6), with or without the blank line after each; NDJSON; one JSON body,
an array of objects included. Its lines decide which of these a body is, not its content type. Pure, free of I/O; what
the objects mean is left to `answer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypeAlias, cast

from ptstream import strict_json
from ptstream.generators.openai.web_page import page_words
from ptstream.strict_json import TooComplex, check


class Mark(Enum):
    """What a body says besides objects."""

    DONE = "[DONE]"
    """That was all of it."""

    ALIVE = ":"
    """It lives: a comment, or an event that says no more."""


Item: TypeAlias = Mapping[str, Any] | Mark


class Malformed(ValueError):
    """The message is the beginning of what is no part of an answer."""


class Incomplete(ValueError):
    """The body ended in the middle of an object."""


class WebPage(ValueError):
    """The body is a page for people. The message is its title, or how it begins."""


class Trailing(ValueError):
    """After objects came words that are none. The message is what they say."""


LINE_END = re.compile(rb"\r\n|\r|\n")

PADDING = "\ufeff\0 \t"
"""What may stand before a line: a byte order mark, and what some proxies and keep-alives put there."""

FIELD = re.compile(r"(data|event|id|retry|error) *(?:: ?(.*))?", re.DOTALL)
"""A line of an event. `error` is none of the standard's: llama.cpp sends it."""

USUAL = "data: {"
"""How nearly every line begins that says anything."""

UNKNOWN_FIELD = re.compile(r"[A-Za-z][\w-]*(:|$)")

MAX_LINES = 100_000
"""Lines that may belong together."""

MAX_CHARACTERS = 4 * 1024 * 1024
"""Characters that may belong together, read in one step of some 20 ms: a picture of 3 MB in base64, or all that a model
says at once, four times over."""

SHORT = 64
"""Characters within which a word has to stand that is no object."""

PAGE_LINES = 500
"""Lines of a web page that are waited for: by then it has said what it is."""

BETWEEN = re.compile(r"[\s,\[\]]*")
"""What may stand between two objects, and around all of them."""

SPEAKING = ("", "message", "error")
"""Names of events whose data is to be understood; what has another and is no object says nothing."""

PINGS = ("ping", "heartbeat", "keepalive", "keep-alive")
"""Words that say nothing."""


class EventStream:
    """Gives the items of a body as soon as they are whole.

    Raises Malformed, WebPage, TooComplex; at the end Incomplete and Trailing, too.
    """

    def __init__(self) -> None:
        self.spoke = False
        """Whether it has given an item: a body that says nothing before its end has not."""
        self._given = False
        self._done = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._after_cr = False
        self._event = ""
        self._data = _JoinedLines()
        self._loose = _JoinedLines()

    def feed(self, run: bytes) -> Iterator[Item]:
        """The items that are whole now."""
        for line in map(_text, self._lines(run)):
            if (item := self._object_alone(line)) is not None:
                yield item
            elif line or self._data or self._event:
                yield from self._spoken(self._read(line))

    def _object_alone(self, line: str) -> Item | None:
        """The object of an event that is one line and no more, as nearly all are: what `_read` would give, sooner."""
        if not line.startswith(USUAL) or self._data or self._event:
            return None
        check(line)
        try:
            item, end = strict_json.next_mended(line, len(USUAL) - 1)
        except ValueError:
            return None
        if end < len(line) and line[end:].strip():
            return None
        self.spoke = self._given = True
        return cast(Item, item)

    def end(self) -> Iterator[Item]:
        """What remains when nothing more comes: a last line, or event, that nothing has ended."""
        last = self._taken()
        yield from self._spoken(self._read(_text(last)))
        yield from self._spoken(self._dispatched(at_end=True))
        yield from self._spoken(self._loose_values())

    def _spoken(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self.spoke = True
            self._given = self._given or not isinstance(item, Mark)
            self._done = self._done or item is Mark.DONE
            yield item

    def _lines(self, run: bytes) -> Iterator[bytes]:
        """The lines that are whole now, without their ends: CR, LF or both."""
        if self._after_cr and run.startswith(b"\n"):
            run = run[1:]
        self._after_cr = run.endswith(b"\r") if run else self._after_cr
        *whole, rest = LINE_END.split(run)
        for line in whole:
            self._line.append(line)
            yield self._taken()
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            _check_size(self._line_size)

    def _taken(self) -> bytes:
        line, self._line, self._line_size = b"".join(self._line), [], 0
        return line

    def _read(self, line: str) -> Iterator[Item]:
        if not line.strip():
            yield from self._dispatched()
        elif line.startswith(":"):
            yield Mark.ALIVE
        elif field := FIELD.fullmatch(line):
            yield from self._field(field[1], field[2] or "")
        elif not (self.spoke and UNKNOWN_FIELD.match(line) and '{"' not in line):  # which the standard passes over
            yield from self._loose_line(line)

    def _field(self, name: str, value: str) -> Iterator[Item]:
        if name == "event":
            yield from self._dispatched()
            self._event = value.strip().lower()
        elif name == "error":
            self._event, self._data = name, _JoinedLines(value)
            yield from self._dispatched()
        elif name == "data" and not self._data and (items := _values(value)) is not None:
            yield from self._named(items)  # at once: some send no blank line after it
        elif name == "data":
            self._data.add(value)

    def _dispatched(self, *, at_end: bool = False) -> Iterator[Item]:
        """The event whose lines have been gathered."""
        data, self._data = str(self._data), _JoinedLines()
        if data.strip():
            items = _values(data)
            if items is None:
                items = [self._unreadable(data, at_end=at_end)]
            yield from self._named(items)
        self._event = ""

    def _named(self, items: list[Item]) -> Iterator[Item]:
        """The items of an event, which may be called an error."""
        for item in items:
            failed = self._event == "error" and not isinstance(item, Mark) and "error" not in item
            yield {"error": item} if failed else item

    def _unreadable(self, data: str, *, at_end: bool) -> Item:
        """What an event means that holds no JSON. Raises Malformed, Incomplete."""
        if self._event == "error":
            return {"error": data}
        if self._event not in SPEAKING or self._done or data.strip().lower() in PINGS:
            return Mark.ALIVE
        if at_end and data.lstrip().startswith(("{", "[")):
            raise Incomplete
        raise Malformed(data)

    def _loose_line(self, line: str) -> Iterator[Item]:
        """A line that is no part of an event: an object, or part of one, or something else."""
        if not self._loose and (items := _values(line)) is not None:
            yield from items
            return
        self._loose.add(line)
        if self._loose.count == PAGE_LINES and self._loose.begin.startswith("<"):
            yield from self._loose_values()

    def _loose_values(self) -> Iterator[Item]:
        text, self._loose = str(self._loose), _JoinedLines()
        items, rest = _peeled(text)
        yield from items
        if not rest or self._done:
            return
        if rest.startswith(("{", "[")):
            raise Incomplete
        if self._given and '{"' not in rest:
            raise Trailing(page_words(rest) if rest.startswith("<") else rest)
        raise WebPage(page_words(rest)) if rest.startswith("<") else Malformed(rest)


class _JoinedLines:
    """Lines that belong together, as many as may."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self._size = sum(map(len, lines))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __str__(self) -> str:
        return "\n".join(self._lines)

    @property
    def count(self) -> int:
        return len(self._lines)

    @property
    def begin(self) -> str:
        return self._lines[0]

    def add(self, line: str) -> None:
        """One more. Raises TooComplex."""
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) > MAX_LINES:
            raise TooComplex(f"more than {MAX_LINES:,} lines")
        _check_size(self._size)


def _check_size(size: int) -> None:
    if size > MAX_CHARACTERS:
        raise TooComplex(f"more than {MAX_CHARACTERS // 1024**2} MiB")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").lstrip(PADDING)


def _values(text: str) -> list[Item] | None:
    """The objects that `text` is made of, one after the other or in an array; None if it is made of something else."""
    items, rest = _peeled(text)
    return None if rest else items


def _peeled(text: str) -> tuple[list[Item], str]:
    """The objects that `text` begins with, and what follows them."""
    word = text.strip() if len(text) <= SHORT else ""
    if word.upper().strip('"') == Mark.DONE.value:
        return [Mark.DONE], ""
    if word == "null":
        return [Mark.ALIVE], ""
    check(text)
    items: list[Item] = []
    place = _beyond(text, 0)
    try:
        while text.startswith("{", place):
            value, place = strict_json.next_mended(text, place)
            items.append(value)
            place = _beyond(text, place)
    except ValueError:
        pass  # what follows says what it is
    return items, text[place:].strip()


def _beyond(text: str, place: int) -> int:
    between = BETWEEN.match(text, place)
    return between.end() if between else place
