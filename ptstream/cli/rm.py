"""`ptstream rm`: delete streams, by id or by age. One that still runs only with `--force` or a yes: it is cancelled."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.control_sequences import clean
from ptstream.cli.fast_path import failed
from ptstream.cli.options import StatusFilter, seconds_of
from ptstream.cli.screen import Screen
from ptstream.cli.several import first_bad, named, streams_of
from ptstream.cli.with_streams import run
from ptstream.errors import UsageError
from ptstream.stream_json import title
from ptstream.streams import Status, Stream
from ptstream.streams_protocol import Streams

EXAMPLES = """
ptstream rm 7h2k 9qm4
ptstream rm --older-than 30d --dry-run
ptstream rm --older-than 1w --status error --keep 20
ptstream rm -f 7h2k                 whether it is there or not
"""


def command(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", show_default=False, help="Ids, their beginnings, names, or @last."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Those that ended longer ago: 90s, 5m, 12h, 30d, 2w.", show_default=False),
    ] = None,
    status: StatusFilter = None,
    keep: Annotated[int, typer.Option(metavar="N", min=0, help="But never the N newest.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which, and delete none.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also those that are running.")] = False,
) -> None:
    """The command."""
    if bool(references) == bool(older_than):
        raise UsageError("rm takes ids, or --older-than AGE")
    if references and (status or keep):
        raise UsageError("--status and --keep go with --older-than")
    screen = screen_of(ctx)
    age = seconds_of(older_than, "--older-than") if older_than else None
    run(
        ctx,
        screen,
        lambda streams: rm(
            streams, screen, references or [], age=age, status=status, keep=keep, dry_run=dry_run, force=force
        ),
    )


async def rm(
    streams: Streams,
    screen: Screen,
    references: Sequence[str],
    *,
    age: float | None,
    status: Status | None,
    keep: int,
    dry_run: bool,
    force: bool,
) -> int:
    """Delete the streams that are named, or those that ended `age` seconds ago; the exit code."""
    if age is not None:
        meant, code = list(await streams.idle_since(time.time() - age, status=status, keep=keep)), 0
    else:
        several = await named(streams, screen, references)
        meant, code = streams_of(several), first_bad(each for each in several if isinstance(each, int))
    if dry_run:
        _say(screen, meant)
    if dry_run or not meant:
        return code
    _check_running(screen, meant, force=force)
    for error in await streams.delete([stream.id for stream in meant]):
        code = code or failed(screen, error)
    return code


def _say(screen: Screen, streams: Sequence[Stream]) -> None:
    """Which would be deleted."""
    for stream in streams:
        screen.text(f"{stream.id}\t{stream.status}\t{clean(title(stream), one_line=True)}\n")


def _check_running(screen: Screen, streams: Sequence[Stream], *, force: bool) -> None:
    """Before any is deleted: asks, on a terminal, whether those that run are meant. Raises UsageError if not."""
    running = [stream for stream in streams if stream.status is Status.STREAMING]
    if force or not running:
        return
    which = ", ".join(f"{stream.id} ({title(stream)})" if title(stream) else stream.id for stream in running)
    verb = "is" if len(running) == 1 else "are"
    if screen.err_terminal and os.isatty(0):
        screen.note(f"still running: {which}. End and delete? [y/N]")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise UsageError("nothing was deleted")
    raise UsageError(f"nothing was deleted, since {which} {verb} running: cancel it first, or use --force")
