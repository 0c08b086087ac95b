"""The body of an answer on its way to a client, without our secrets: `redaction` says what those are.

Pure, free of I/O.
"""

from __future__ import annotations

import re

from ptstream import strict_json
from ptstream.generators.redaction import Redaction

LINE_BYTES = 1024 * 1024
"""Bytes of a line that are waited for: of a longer one the parts go on as they are, the text of the answer too without
the secrets."""

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

LINE = re.compile(r"(?P<begin>\s*(?:data *:)?\s*)(?P<value>.*?)(?P<end>\s*)", re.DOTALL)
LINE_ENDS = re.compile(rb"(?<=\n)|(?<=\r)(?!\n)")


class RedactedBody:
    """The body of an answer on its way, in any cuts: without the secrets, but for those in the text of the answer.

    Whole lines go on, and what holds no secret goes on byte for byte. Nobody can read an event, or an object, before
    its line is whole, so that nobody waits for it.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on now."""
        if not self._redaction:
            return data
        self._rest += data
        place = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r")) + 1
        whole, self._rest = self._rest[:place], self._rest[place:]
        return self._without(whole) + (self._beginning() if len(self._rest) > LINE_BYTES else b"")

    def end(self) -> bytes:
        """What is left. A body that has broken off ends with its last whole line: half a secret may be behind that."""
        last, self._rest = self._rest, b""
        return self._without(last)

    def _without(self, lines: bytes) -> bytes:
        text = _text(lines)
        if not self._redaction.holds(text):
            return lines
        return b"".join(_bytes(self._line(_text(line))) for line in LINE_ENDS.split(lines))

    def _line(self, line: str) -> str:
        if not self._redaction.holds(line):
            return line
        parts = LINE.fullmatch(line)
        try:
            value = strict_json.loads_mended(parts["value"] if parts else line)
        except ValueError:
            return self._redaction.of(line)
        told = self._redaction.within(value, TEXT, below=ANSWER)
        if told == value or parts is None:
            return line
        return parts["begin"] + strict_json.dumps(told, compact=True) + parts["end"]

    def _beginning(self) -> bytes:
        begin, rest = self._redaction.parted(_text(self._rest))
        self._rest = _bytes(rest)
        return _bytes(begin)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
