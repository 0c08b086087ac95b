"""Generators: where text comes from. What one is given, and the events that it yields.

A generator is an async iterator of events: `str` is a piece of text, everything else is said beside the text. An empty
piece says that it still works.
It knows neither store nor daemon. It raises `GeneratorError` for what went wrong outside, with a message fit
to be the stream's cause; reaching its end without an error means that the text is whole: it must have proof.
`models.resolve` finds the generator for what a stream was asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ptstream.config import Limits, Settings
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, TerminalSize


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's thinking aloud: progress, shown beside the text, never part of it."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the upstream says a generation took, as it says it (token counts by name)."""

    counts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """One line for a person at the driver's terminal."""

    text: str
    kept: bool = False
    """Whether it belongs to the text's end: it is stored with that, and shown wherever the end is."""


@dataclass(frozen=True, slots=True)
class Stderr:
    """What a command writes to its standard error, as it comes: any piece of it, perhaps half a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """For so many seconds, silence is normal: no time-out counts them."""

    seconds: float


Remark: TypeAlias = Reasoning | Note | Stderr
"""What is said beside the text."""

Event: TypeAlias = str | Usage | Remark | Quiet
Generation: TypeAlias = AsyncGenerator[Event, None]
"""Whoever takes one closes it (`aclose`), also when its loop ends early, in the task that iterated it; and leaves no
cancel scope in between that was open before, since a generation may hold a task group of its own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a drive was asked for: commands run there, and keys come from its environment. Never stored."""

    directory: str
    environment: Mapping[str, str] = field(repr=False)
    umask: int = 0o077
    python: str | None = None
    """The caller's Python interpreter, for generators of its own."""
    core: int | None = None
    """The limit on core files that its commands get, in bytes (RLIM_INFINITY: none). None: no core files."""
    stderr: bool = False
    """Whether what a command writes to stderr is text, too."""
    terminal: TerminalSize | None = None
    """The size of the caller's terminal, which a command's is to have at first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A generator that is ready to run: what it is called, where it is, and how its text is cut."""

    model: str
    place: str
    flush: Flush
    generate: Callable[[], Generation] = field(repr=False)
    silence_is_normal: bool = False
    """Whether it may be silent for any time, as a command: then there is no first and no idle time-out."""
    shows_its_text: bool = False
    """Whether it shows what it gave by itself: then it is asked for more only when all of that is kept."""
    survivors: Sequence[str] = ()
    """What of it goes on when a generation is over: processes outside of a command's process group, `name (pid N)`."""
    resume: Callable[[str], Generation] | None = field(default=None, repr=False)
    """Goes on from a text that broke off, saying only what comes after it; None if it cannot."""
    resize: Callable[[TerminalSize], None] | None = field(default=None, repr=False)
    """Gives its terminal another size; None if it has no terminal."""
    limits: Limits | None = None
    """Its own limits, before those of whoever drives it."""
    asked_as: str | None = None
    """The name by which a default model can be asked again, as the next turn of its conversation does."""


__all__ = [
    "Caller",
    "Event",
    "Flush",
    "Generation",
    "GenerationRequest",
    "Home",
    "Note",
    "Quiet",
    "Reasoning",
    "Remark",
    "Settings",
    "Source",
    "Stderr",
    "Usage",
]
