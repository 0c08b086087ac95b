"""The frames in which a function's process reports what the function gives: a JSON object a line, in ASCII.

Each has one key, which says what it is. `function_process` writes them; this is the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ptstream import strict_json
from ptstream.errors import GeneratorError
from ptstream.generators import Event, Note, Reasoning, Usage

LONGEST_FRAME = 1024 * 1024
"""Bytes of a frame at most: of text it takes no more than PIECE characters."""


class Frames:
    """What `function_process` writes: a JSON object a line, with one key. Halves of a character it has joined."""

    def __init__(self) -> None:
        self.ended = False
        """Whether the function has come to its end."""
        self.failure: str | None = None
        """Why it did not, in one line."""
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events in it. Raises GeneratorError for a frame too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in (*lines, self._rest):
            if len(line) > LONGEST_FRAME:
                raise GeneratorError(f"the generator says more at once than {LONGEST_FRAME} bytes that is no text")
        for line in lines:
            ((kind, value),) = strict_json.loads(line).items()
            yield from self._event(kind, value)

    def _event(self, kind: str, value: Any) -> Iterator[Event]:
        match kind:
            case "text":
                yield value
            case "reasoning":
                yield Reasoning(value)
            case "note":
                yield Note(value)
            case "usage":
                yield Usage(value)
            case "end":
                self.ended = True
            case "error":
                self.failure = value
