"""The commands that must start fast: `cat`, `ls`, `path`, completion. No typer, no event loop, plain `sqlite3`."""

from __future__ import annotations

import os
import sys

from ptstream.cli.output import OutputClosed
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite import at_rest
from ptstream.engine.sqlite.database import Database
from ptstream.errors import OffsetBeyondEnd, PtstreamError, StreamNotFound, UsageError
from ptstream.settings import Home, find_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ptstream.cli.stream_table import Table
    from ptstream.streams import Stream


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
    with Database(home) as database:
        ended = at_rest.ended(database.read, reference)
        for data in _running(home, reference, offset) if ended is None else _ended(database, *ended, offset):
            screen.text(data)
    screen.finish()
    return 0


def _ended(database: Database, id: str, end: int, offset: int) -> Iterator[bytes]:
    """The text of a stream that has ended, as `cursor.py` reads it."""
    if offset > end:
        raise OffsetBeyondEnd(f"stream {id} ended at byte {end}, before byte {offset}")
    while offset < end:
        data = at_rest.text(database.read, id, offset, end)
        if not data:
            raise StreamNotFound(f"stream {id} has been deleted")
        yield data
        offset += len(data)


def _running(home: Home, reference: str, offset: int) -> Iterator[bytes]:
    """The text of any other, as far as it is there."""
    from ptstream.engine.sqlite.cursor import TextCursor, read_now  # late, as below: what has ended needs none of it
    from ptstream.engine.sqlite.recovery import as_it_is
    from ptstream.engine.sqlite.store import Store

    with Store(home) as store:
        stream = as_it_is(store, store.find(reference))
        yield from read_now(TextCursor(store, stream.id, offset), stream.bytes)


def ls(
    home: Home,
    screen: Screen,
    *,
    quiet: bool = False,
    limit: int | None = None,
    json: bool = False,
) -> int:
    """List streams, newest first, with the ends of those whose owners died."""
    if limit is not None and limit < 0:
        raise UsageError("-n takes a number of streams")
    if json:
        show_list(screen, _listed(home, limit), quiet=quiet, json=True)
        return 0
    with Database(home) as database:
        streams: Sequence[Stream | at_rest.Listed] = at_rest.listed(database.read, limit)
    if any(stream.status == at_rest.STREAMING for stream in streams):
        streams = _listed(home, limit)
    _show(screen, streams, quiet=quiet)
    return 0


def _listed(home: Home, limit: int | None) -> list[Stream]:
    from ptstream.engine.sqlite.recovery import listed
    from ptstream.engine.sqlite.store import Store

    with Store(home) as store:
        return listed(store, limit)


def show_list(screen: Screen, streams: Sequence[Stream], *, quiet: bool = False, json: bool = False) -> None:
    """Print the streams in the form that was asked for."""
    if json and not quiet:
        _json_lines(screen, streams)
    else:
        _show(screen, streams, quiet=quiet)


def _show(screen: Screen, streams: Sequence[Stream | at_rest.Listed], *, quiet: bool) -> None:
    if quiet:
        for stream in streams:
            screen.text(f"{stream.id}\n")
    else:
        from ptstream.cli.stream_table import table_of

        print_table(screen, table_of(screen, streams))


def _json_lines(screen: Screen, streams: Sequence[Stream]) -> None:
    from ptstream.stream_json import as_json

    for stream in streams:
        screen.data(as_json(stream))


def print_table(screen: Screen, table: Table) -> None:
    """Print a table as wide as it fits."""
    screen.table(table.header, table.rows, flexible=table.flexible, optional=table.optional, right=table.right)


def path(home: Home, screen: Screen) -> int:
    """Print where the database is: a path, or a server's URL without what is secret in it."""
    screen.text(os.fsencode(home.location) + (b"" if screen.terminal else b"\n"))
    screen.finish()
    return 0
