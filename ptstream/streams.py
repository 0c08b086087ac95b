"""The nouns: a stream, its status, its text, its pieces, and what it was asked to say.

Values only, and as named tuples: `cat` loads this, and importing `dataclasses` would cost it half a start of Python.
Who stores them is `store`'s business, who makes them `drive`'s.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Any, NamedTuple

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32 digits, in lower case."""

ID_LENGTH = 12


class Status(StrEnum):
    """Where a stream stands: `pending`, `streaming`, then exactly one of the four ends."""

    PENDING = "pending"
    STREAMING = "streaming"
    DONE = "done"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing comes after this status, ever."""
        return self not in (Status.PENDING, Status.STREAMING)


class Flush(StrEnum):
    """How a generator's text is cut into chunks."""

    SENTENCES = "sentences"
    LINES = "lines"


class Piece(NamedTuple):
    """Text as a reader gets it.

    `offset` is where this text ends, in bytes of UTF-8 from the start of the stream: pass it back to go on.
    """

    text: str
    offset: int


class Body(NamedTuple):
    """All the text of a stream at one moment: `offset` is its end in bytes, `error` the cause of a bad end."""

    text: str
    status: Status
    offset: int
    error: str | None


class Words(NamedTuple):
    """What a stream was asked to say, and by what. None means: left open, may be given when it is driven."""

    prompt: str | None = None
    system: str | None = None
    model: str | None = None
    command: tuple[str, ...] | None = None
    generator: str | None = None
    flush: Flush | None = None


class Attempt(NamedTuple):
    """One claim of a stream by an owner. `begin` is the offset where its text starts; times are Unix seconds."""

    epoch: int
    owner: str
    begin: int
    started_at: float
    ended_at: float | None
    pieces: int
    cause: str | None
    usage: dict[str, Any] | None
    model: str | None
    place: str | None


class Stream(NamedTuple):
    """One text, append-only. `bytes` is the end of its last chunk; times are Unix seconds."""

    id: str
    name: str | None
    title: str | None
    status: Status
    bytes: int
    words: Words
    error: str | None
    created_at: float
    ended_at: float | None
    parent: str | None
    parent_offset: int | None
    seam: int | None = 0
    """Where its own text begins, in bytes: before that stands its parent's. None: not decided until it is driven."""
    note: str | None = None
    """What is to be known of a text that has ended well: that it was cut off at its length."""

    @property
    def prompt(self) -> str | None:
        """What it was asked."""
        return self.words.prompt

    @property
    def system(self) -> str | None:
        """The system prompt it was given."""
        return self.words.system

    @property
    def model(self) -> str | None:
        """The model it was asked of, as the user named it."""
        return self.words.model


def new_id() -> str:
    """A fresh random id: 12 characters of Crockford's base32 (60 bits)."""
    number = int.from_bytes(os.urandom(8))
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(ID_LENGTH))
