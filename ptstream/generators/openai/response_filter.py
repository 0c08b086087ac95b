"""The body of a response on its way to a client, without our secrets (`redaction`). Pure, free of I/O."""

from __future__ import annotations

import re

from ptstream import strict_json
from ptstream.generators.openai.redaction import Redaction

LINE_BYTES = 256 * 1024
"""Bytes of a line that are waited for, and worked on at once: of a longer one the parts go on as they are, the text of
the answer too without the secrets."""

ANSWER = "choices"
TEXT = frozenset(
    (
        "content",
        "text",
        "reasoning",
        "reasoning_content",
        "reasoning_text",
        "thinking",
        "refusal",
        "arguments",
        "summary",
    )
)
"""Where the text of an answer stands, below ANSWER."""

BEGIN = re.compile(r"\s*(?:data *:)?\s*")
LINE_ENDS = re.compile(rb"(?<=\n)|(?<=\r)(?!\n)")


class ResponseFilter:
    """The body of a response on its way, in any cuts: without the secrets, but for those in the text of the answer.

    Whole lines go on, and what holds no secret goes on byte for byte. Nobody can read an event, or an object, before
    its line is whole, so that nobody waits for it.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._line_begin: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """What may go on now."""
        if not self._redaction:
            return data
        place = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        clean = self._without(self._take() + data[:place]) if place else b""
        self._keep(data[place:])
        return clean + self._beginning() if self._size > LINE_BYTES else clean

    def end(self) -> bytes:
        """What remains. Of a body that has broken off that is never asked for: it may be half a secret."""
        return self._without(self._take())

    def _keep(self, data: bytes) -> None:
        self._line_begin.append(data)
        self._size += len(data)

    def _take(self) -> bytes:
        """The beginning of a line, which is not held any more."""
        begun, self._line_begin, self._size = b"".join(self._line_begin), [], 0
        return begun

    def _beginning(self) -> bytes:
        begin, rest = self._redaction.parted(_text(self._take()))
        self._keep(_bytes(rest))
        return _bytes(begin)

    def _without(self, lines: bytes) -> bytes:
        text = _text(lines)
        if not self._redaction.holds(text):
            return lines
        return b"".join(_bytes(self._line(_text(line))) for line in LINE_ENDS.split(lines))

    def _line(self, line: str) -> str:
        if not self._redaction.holds(line):
            return line
        begin = BEGIN.match(line)
        place, end = begin.end() if begin else 0, len(line.rstrip())
        try:
            value = strict_json.loads_mended(line[place:end])
        except ValueError:
            return self._redaction.of(line)
        # Written anew also where only the text holds it: of two fields of one name nobody has seen the first.
        clean = self._redaction.within(value, TEXT, below=ANSWER)
        return line[:place] + strict_json.dumps(clean, compact=True) + line[end:]


def redacted_refusal(redaction: Redaction, body: bytes, *, whole: bool) -> bytes:
    """The body of a refusal without the secrets, JSON if it was; of one that is not `whole`, also without its end."""
    clean = _text(body)
    if not whole:  # what is cut off may have been the rest of a secret
        return _bytes(redaction.parted(clean)[0])
    if not redaction.holds(clean):
        return body
    try:
        return strict_json.dumps(redaction.within_error(strict_json.loads_mended(clean)), compact=True).encode("ascii")
    except ValueError:
        return _bytes(redaction.of(clean))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
