"""The frames in which a function's process reports what the function gives: a JSON object a line, in ASCII.

Each has one key, which says what it is. `function_process` writes them; this is the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ptstream import strict_json
from ptstream.errors import GeneratorError
from ptstream.generators import Event, Note, Reasoning, Usage
from ptstream.generators.surrogates import Surrogates

LONGEST_FRAME = 1024 * 1024
"""Bytes of a frame at most: of text it takes no more than PIECE characters."""


class Frames:
    """What `call_process` writes: a JSON object a line, in ASCII, each with one key."""

    def __init__(self) -> None:
        self.ended = False
        self.failure: str | None = None
        self._rest = b""
        self._surrogates = Surrogates()

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events in it. `ended` and `failure` tell how it went. Raises GeneratorError for a frame too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in (*lines, self._rest):
            if len(line) > LONGEST_FRAME:
                raise GeneratorError(f"the generator says more at once than {LONGEST_FRAME} bytes that is no text")
        for line in lines:
            ((kind, value),) = strict_json.loads(line).items()
            yield from self._event(kind, value)

    def end(self) -> Iterator[str]:
        """What is left to say after the last frame."""
        if text := self._surrogates.end():
            yield text

    def _event(self, kind: str, value: Any) -> Iterator[Event]:
        match kind:
            case "text":
                if text := self._surrogates.feed(value):
                    yield text
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
