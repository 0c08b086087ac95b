"""Parameters that several commands share, each worded once, and what they are turned into."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import typer

from ptstream import strict_json
from ptstream.errors import UsageError
from ptstream.integers import count_of
from ptstream.streams import Flush, Status

StreamRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="A stream's id, its beginning, its name, or @last.")
]
StreamRefs: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="ID...", show_default=False, help="Ids, their beginnings, names, or @last."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Raw: TypeAlias = Annotated[bool, typer.Option("--raw", help="Pass the text's control sequences to the terminal.")]
Plain: TypeAlias = Annotated[bool, typer.Option("--plain", help="Do not render a model's Markdown.")]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say neither what is waited for nor, at the end, how it went.")
]
Model: TypeAlias = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="The model to ask (see ptstream models).")
]
System: TypeAlias = Annotated[
    str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt (@FILE reads a file).")
]
Options: TypeAlias = Annotated[
    list[str],
    typer.Option("--option", "-o", metavar="KEY VALUE", help="A model's option: temperature 0.2, seed 7, …"),
]
Title: TypeAlias = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="What lists call it.")]
Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="A unique name; for the same request, the same stream.")
]
NewName: TypeAlias = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="A unique name; one that is taken is refused.")
]
Ttl: TypeAlias = Annotated[
    str | None,
    typer.Option("--ttl", metavar="AGE", help="Delete it so long after its end: 12h, 30d.", show_default=False),
]
FlushRule: TypeAlias = Annotated[
    Flush | None, typer.Option("--flush", help="Where text is cut into durable chunks.", show_default=False)
]
StatusFilter: TypeAlias = Annotated[
    Status | None, typer.Option("--status", help="Only streams of this status.", show_default=False)
]
Statuses: TypeAlias = Annotated[
    str | None,
    typer.Option("--status", metavar="STATUS,...", help="Only streams of these: running,error.", show_default=False),
]
Since: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="AGE|TIME", help="Only what came since: 10m, 2026-11-30T08:00.", show_default=False
    ),
]
CursorFileName: TypeAlias = Annotated[
    str | None, typer.Option("--cursor-file", metavar="FILE", help="Go on where the last call with FILE ended.")
]
TailLines: TypeAlias = Annotated[
    int | None,
    typer.Option("--tail", "-n", metavar="N", min=0, help="Begin N lines before the end.", show_default=False),
]


def text_of(value: str | None, what: str) -> str | None:
    """An option's text; `@FILE` stands for what the file holds. Raises UsageError."""
    if value is None or not value.startswith("@") or value == "@":
        return value
    try:
        with open(value[1:], encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{what}: {value[1:]} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{what}: {value[1:]} is not UTF-8 text") from error


def options_of(pairs: Sequence[Any]) -> dict[str, Any] | None:
    """A model's options, each a name and a value as JSON, or as it stands: `0.2`, `true`, `high`. Null: not sent."""
    return {key: _value(word) for key, word in pairs} or None


def _value(word: str) -> Any:
    try:
        return strict_json.loads(word)
    except (ValueError, RecursionError):
        return word


def finite(value: float | None) -> float | None:
    """A number that one can reckon with. Raises BadParameter for NaN and Infinity, which Python takes for numbers."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a valid number.")
    return value


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds_of(value: str, what: str) -> float:
    """An age or a time to live, in seconds. Raises UsageError."""
    number, unit = count_of(value[:-1]), value[-1:]
    if unit not in UNITS or number is None:
        raise UsageError(f"{what} takes a number and one of s, m, h, d, w: 30d, not {value[:40]!r}")
    return float(number * UNITS[unit])


def ttl_of(value: str | None) -> float | None:
    """`--ttl` in seconds. Raises UsageError."""
    return None if value is None else seconds_of(value, "--ttl")


RUNNING = "running"
"""What people call `streaming`."""


def statuses_of(value: str | None) -> tuple[Status, ...]:
    """`--status`: some statuses, a comma between them. Raises UsageError."""
    if value is None:
        return ()
    words = [Status.STREAMING.value if word == RUNNING else word for word in value.split(",")]
    for word in words:
        if word not in list(Status):
            raise UsageError(f"--status takes {', '.join((RUNNING, *Status))}, a comma between them, not {word[:40]!r}")
    return tuple(Status(word) for word in words)


def moment_of(value: str | None, what: str = "--since") -> float | None:
    """An age, or a moment as ISO 8601 has it, in Unix seconds: here, where it names no zone. Raises UsageError."""
    if value is None:
        return None
    if value[-1:] in UNITS and count_of(value[:-1]) is not None:
        return max(0.0, time.time() - seconds_of(value, what))
    try:
        # Times are shown rounded to the millisecond: what one was shown of is meant with it.
        return max(0.0, datetime.fromisoformat(value).timestamp() - 0.0005)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{what} takes an age (90s, 10m, 12h, 7d) or a time (2026-11-30T08:00), not {value[:40]!r}"
        ) from None


SILENCE = 2.0
"""Seconds that a pipe may be silent before one goes on without it, where it is not needed."""

AT_ONCE = 64 * 1024


def prompt_of(value: str | None, say: Callable[[str], None], later: Callable[[str], None], need: Need) -> str | None:
    """The prompt: the given text after what a pipe or a file brings on stdin.

    `say` gets what a person must read now, `later` what is to be printed once the stream has its id. Raises UsageError
    if the prompt is empty.
    """
    given = text_of(value, "the prompt")
    piped = _piped(say, later, Need.BEFORE if given is not None else need)
    parts = [part for part in (piped, given) if part is not None and part.strip()]
    if not parts:
        if given is not None:  # an empty pipe is what jobs have that nobody talks to
            raise UsageError("the prompt is empty")
        return None
    return "\n\n".join(parts)


class Need(StrEnum):
    """What standard input is to a prompt; the value is how one says that it was read."""

    WHOLE = ""
    """All there is: it is waited for, and no note says so."""
    BEFORE = "went before the prompt"
    COMMAND = "went to the command"
    QUESTION = "were taken as the prompt"


def _piped(say: Callable[[str], None], later: Callable[[str], None], need: Need) -> str | None:
    """All of stdin, if it is a pipe, a socket or a file. One that is open and silent is waited for only where needed.

    That is what ssh without a terminal, cron and programs that start others leave to their commands.
    """
    try:
        mode = os.fstat(0).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
            return None
        data = _read_stdin(say, needed=need is Need.WHOLE)
    except OSError:
        return None
    if data is None:
        later("standard input is open and silent: went on without it")
        return None
    if need is not Need.WHOLE and data.strip():
        later(f"{len(data)} bytes of standard input {need}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        later("what standard input holds is not all UTF-8: the rest was replaced by U+FFFD")
        return data.decode("utf-8", "replace")


def _read_stdin(say: Callable[[str], None], *, needed: bool) -> bytes | None:
    """Standard input to its end; None if it says nothing for a while and is not `needed`."""
    import select

    data = bytearray()
    waiting: float | None = 1.0 if needed else SILENCE
    while True:
        if not select.select([0], [], [], waiting)[0]:
            if not needed and not data:
                return None
            say("waiting for the end of standard input (close it with Ctrl-D, or run with </dev/null)")
            waiting = None
            continue
        with suppress(BlockingIOError):  # somebody has made it non-blocking, and was faster
            if not (piece := os.read(0, AT_ONCE)):
                return bytes(data)
            data += piece
