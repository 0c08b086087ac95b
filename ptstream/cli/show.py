"""`ptstream show`: everything that is known of streams, except their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.columns import cells
from ptstream.cli.control_sequences import clean
from ptstream.cli.fast_path import show_list
from ptstream.cli.options import Json, StreamRefs
from ptstream.cli.screen import Screen
from ptstream.cli.several import one_by_one
from ptstream.cli.thread import Thread, turns_of
from ptstream.cli.with_streams import run_at_once
from ptstream.names import shown as shown_name
from ptstream.stream_json import as_json

EXAMPLES = """
ptstream show @last
ptstream show build test                  both
ptstream show --json 7h2k | jq .attempts
ptstream show --thread 7h2k         the streams of a conversation, in order
"""

LABEL = 13
"""Columns of the names of fields: `parent_offset` is the longest."""

LEAST = 20
"""Columns that a value is wrapped to, at least."""


def command(ctx: typer.Context, references: StreamRefs, thread: Thread = False, json: Json = False) -> None:
    """The command."""
    screen = screen_of(ctx)
    show = show_threads if thread else show_each
    run_at_once(ctx, screen, lambda streams: show(streams, screen, references, json=json))


async def show_each(streams: Asked, screen: Screen, references: Sequence[str], *, json: bool) -> int:
    """Print what is known of each, as JSON a line; the exit code."""
    gap = ""

    async def one(reference: str) -> int:
        nonlocal gap
        fields = await fields_of(streams, (await streams.find(reference)).id)
        if json:
            screen.data(fields)
        else:
            screen.text(gap + "".join(_lines(fields, screen.size[0] if screen.terminal else None)))
            gap = "\n"
        return 0

    return await one_by_one(screen, references, one)


async def fields_of(streams: Asked, id: str) -> dict[str, Any]:
    """The stable fields of a stream, its attempts' included."""
    details = await streams.details(id)
    return as_json(details.stream, details.attempts) | {"pieces": details.pieces, "chunks": details.chunks}


async def show_threads(streams: Asked, screen: Screen, references: Sequence[str], *, json: bool) -> int:
    """Print the streams of the conversation up to each, in order; the exit code."""
    return await one_by_one(screen, references, lambda reference: _thread(streams, screen, reference, json=json))


async def _thread(streams: Asked, screen: Screen, reference: str, *, json: bool) -> int:
    """As `ls` does, or all that is known of each."""
    conversation = [turn.stream for turn in await turns_of(streams, reference, thread=True)]
    if json:
        for stream in conversation:
            screen.data(await fields_of(streams, stream.id))
    else:
        show_list(screen, conversation)
    return 0


def _plain(value: Any) -> str:
    """Counts as `name N, name N`, those within one as `name (name N)`, all else as it is."""
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name} ({_plain(n)})" if isinstance(n, dict) else f"{name} {n}" for name, n in value.items())


def _lines(fields: dict[str, Any], width: int | None, indent: str = "") -> list[str]:
    """A line a field, all values below each other; on a terminal of this width those that are longer are wrapped."""
    lines: list[str] = []
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                lines += [f"{indent}{key.removesuffix('s')}\n", *_lines(entry, width, indent + "  ")]
        elif value is not None:
            value = shown_name(value) if key == "name" else value
            shown = clean(" ".join(value) if isinstance(value, list) else _plain(value))
            first, *more = [row for line in shown.split("\n") for row in _wrapped(line, width)]
            lines.append(f"{indent + key:<{LABEL}} {first}".rstrip() + "\n")
            lines += [f"{' ' * LABEL} {row}".rstrip() + "\n" for row in more]
    return lines


def _wrapped(line: str, width: int | None) -> list[str]:
    room = max((width or 0) - LABEL - 2, LEAST)
    if width is None or cells(line) <= room:
        return [line]
    from wcwidth import wrap

    return wrap(line, room)
