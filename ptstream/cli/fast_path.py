"""The commands that must start fast: `cat`, `ls`, `path`, completion. No typer, no event loop, plain `sqlite3`."""

from __future__ import annotations

import os
import sys
from typing import Any

from ptstream.cli.output import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.cursor import TextCursor, read_now
from ptstream.engine.sqlite.recovery import as_it_is, listed
from ptstream.engine.sqlite.store import Store
from ptstream.errors import PtstreamError, UsageError
from ptstream.names import shown
from ptstream.settings import Home, find_home
from ptstream.streams import Status, Stream


def run_fast(name: str, words: list[str], options: dict[str, Any]) -> int:
    """Run one of them; its exit code."""
    screen = Screen(raw=bool(options.pop("raw", False)))
    try:
        home = find_home()
        if name == "cat":
            return cat(home, screen, words[0], **options)
        if name == "ls":
            return ls(home, screen, **options)
        if name == "path":
            return path(home, screen)
        from ptstream.cli.complete import complete

        return complete(home, words)
    except PtstreamError as error:
        return error.exit_code if name == "__complete" else failed(screen, error)


def failed(screen: Screen, error: PtstreamError) -> int:
    """Say what went wrong, and give its exit code. That nobody reads our output any more is said to nobody."""
    if isinstance(error, OutputClosed):
        # Python flushes stdout as it exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno() if sys.stdout else 1)
    else:
        screen.error(error)
    return error.exit_code


def cat(home: Home, screen: Screen, reference: str, *, offset: int = 0) -> int:
    """Print what is there, from byte `offset` on, in constant memory. A dead owner's stream gets its end first."""
    with Store(home) as store:
        stream = as_it_is(store, store.find(reference))
        for data in read_now(TextCursor(store, stream.id, offset), stream.bytes):
            screen.text(data)
    screen.finish()
    return 0


def ls(
    home: Home,
    screen: Screen,
    *,
    quiet: bool = False,
    limit: int | None = None,
    status: Status | None = None,
    json: bool = False,
) -> int:
    """List streams, newest first, with the ends of those whose owners died."""
    if limit is not None and limit < 0:
        raise UsageError("-n takes a number of streams")
    with Store(home) as store:
        streams = listed(store, limit, status)
    show_list(screen, streams, quiet=quiet, json=json)
    return 0


def show_list(screen: Screen, streams: list[Stream], *, quiet: bool = False, json: bool = False) -> None:
    """Print the streams in the form that was asked for."""
    if quiet:
        _ids(screen, streams)
    elif json:
        _json_lines(screen, streams)
    else:
        _table(screen, streams)


def _ids(screen: Screen, streams: list[Stream]) -> None:
    for stream in streams:
        screen.text(f"{stream.id}\n")


def _json_lines(screen: Screen, streams: list[Stream]) -> None:
    from ptstream.stream_json import as_json

    for stream in streams:
        screen.data(as_json(stream))


def _table(screen: Screen, streams: list[Stream]) -> None:
    from ptstream.cli.describe import age, size
    from ptstream.stream_json import iso

    # For a person sizes and ages are rounded, for a program exact.
    sized, dated = (size, age) if screen.terminal else (str, iso)
    rows = [
        [
            stream.id,
            stream.status.value,
            sized(stream.bytes),
            dated(stream.created_at) or "",
            shown(stream.name),
            _titled(stream),
        ]
        for stream in streams
    ]
    header = ["ID", "STATUS", "SIZE", "AGE", "NAME", "TITLE"]
    if not any(row[4] for row in rows) and screen.terminal:
        header, rows = header[:4] + header[5:], [row[:4] + row[5:] for row in rows]
    screen.table(header, rows, flexible=len(header) - 1, optional=(3, 2), right=(2, 3))


def _titled(stream: Stream) -> str:
    """What a list calls it, behind the beginning of the id of the stream that it answers, if it does."""
    from ptstream.stream_json import title

    if stream.parent is None or stream.seam != 0 or not stream.parent_offset:
        return title(stream)
    return f"↳{stream.parent[:4]} {title(stream)}"


def path(home: Home, screen: Screen) -> int:
    """Print where the database is: a path, or a server's URL without what is secret in it."""
    screen.text(os.fsencode(home.location) + (b"" if screen.terminal else b"\n"))
    screen.finish()
    return 0
