"""Parameters that several commands share, each worded once, and what they are turned into."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, TypeAlias, TypedDict

import typer

from ptstream.errors import UsageError
from ptstream.streams import Flush, Status

StreamRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="A stream's id, its beginning, its name, or @last.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Raw: TypeAlias = Annotated[bool, typer.Option("--raw", help="Pass the text's control sequences to the terminal.")]
Plain: TypeAlias = Annotated[bool, typer.Option("--plain", help="Do not render a model's Markdown.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="The model to ask (see ptstream models).")
]
System: TypeAlias = Annotated[
    str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt (@FILE reads a file).")
]
Title: TypeAlias = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="What lists call it.")]
Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="A unique name; with the same words, the same stream.")
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


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds_of(value: str, what: str) -> float:
    """An age or a time to live, in seconds. Raises UsageError."""
    number, unit = value[:-1], value[-1:]
    if unit not in UNITS or not number.isdecimal():
        raise UsageError(f"{what} takes a number and one of s, m, h, d, w: 30d, not {value!r}")
    return float(int(number) * UNITS[unit])


def ttl_of(value: str | None) -> float | None:
    """`--ttl` in seconds. Raises UsageError."""
    return None if value is None else seconds_of(value, "--ttl")


def current_directory() -> str:
    """Where the caller stands. Raises UsageError if that has been removed."""
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError("the current directory is gone: change to another") from error


class Here(TypedDict):
    """Where a drive is asked for, as `Client.drive` takes it."""

    directory: str
    environment: dict[str, str]
    umask: int


def here() -> Here:
    """That of this process. Raises UsageError as `current_directory` does."""
    umask = os.umask(0)
    os.umask(umask)
    return Here(directory=current_directory(), environment=dict(os.environ), umask=umask)


def prompt_of(value: str | None, say: Callable[[str], None]) -> str | None:
    """The prompt: the given text after what a pipe or a file brings on stdin. Raises UsageError if it is empty."""
    told = text_of(value, "the prompt")
    piped = _piped(say)
    parts = [part for part in (piped, told) if part is not None and part.strip()]
    if not parts:
        if told is not None:  # an empty pipe is what jobs have that nobody talks to
            raise UsageError("the prompt is empty")
        return None
    return "\n\n".join(parts)


def _piped(say: Callable[[str], None]) -> str | None:
    """All of stdin, if it is a pipe, a socket or a file. After a second of silence somebody is told."""
    import select
    import stat

    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    if not select.select([0], [], [], 1.0)[0]:
        say("waiting for the prompt on standard input (close it with Ctrl-D, or run with </dev/null)")
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError:
        say("what standard input holds is not all UTF-8: the rest was replaced by U+FFFD")
        return data.decode("utf-8", "replace")
