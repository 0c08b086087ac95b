"""`ptstream rm`: delete streams, by id or by age. One that still runs only with `--force` or a yes: it is cancelled."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import anyio
import typer

from ptstream.cancellation import delete
from ptstream.cli.app import elsewhere, session
from ptstream.cli.hot import failed
from ptstream.cli.options import StatusFilter, seconds_of
from ptstream.cli.screen import Screen
from ptstream.cli.untrusted import clean
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.recovery import recover_all
from ptstream.engine.sqlite.store import Store
from ptstream.errors import PtstreamError, UsageError
from ptstream.fields import title
from ptstream.streams import Status, Stream

EXAMPLES = """
ptstream rm 7h2k 9qm4
ptstream rm --older-than 30d --dry-run
ptstream rm --older-than 1w --status error --keep 20
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
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        if older_than:
            raise UsageError("over ssh rm takes ids")
        raise typer.Exit(anyio.run(remote.rm, *far, references or [], dry_run, force))
    home, screen = session(ctx)
    with Store(home) as store:
        if store.exists:
            recover_all(store)
        if older_than:
            meant = store.idle_since(time.time() - seconds_of(older_than, "--older-than"), status=status, keep=keep)
            code = 0
        else:
            meant, code = _named(store, screen, references or [])
        if dry_run:
            say(screen, meant)
        else:
            check_running(screen, meant, force=force)
            code = _delete(store, screen, meant) or code
    raise typer.Exit(code)


def _named(store: Store, screen: Screen, references: list[str]) -> tuple[list[Stream], int]:
    """The streams that were found, and the exit code of those that were not."""
    found: dict[str, Stream] = {}
    code = 0
    for reference in references:
        try:
            stream = store.find(reference)
            found[stream.id] = stream
        except PtstreamError as error:  # the others are deleted all the same
            code = code or failed(screen, error)
    return list(found.values()), code


def say(screen: Screen, streams: list[Stream]) -> None:
    """Which would be deleted."""
    for stream in streams:
        screen.text(f"{stream.id}\t{stream.status}\t{clean(title(stream), one_line=True)}\n")


def check_running(screen: Screen, streams: list[Stream], *, force: bool) -> None:
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


async def _removed(store: Store, id: str) -> None:
    async with attached(store) as engine:
        await delete(engine, id)


def _delete(store: Store, screen: Screen, streams: list[Stream]) -> int:
    """Delete them, and what they leave in file and log; the exit code."""
    code = deleted = 0
    for stream in streams:
        try:
            anyio.run(_removed, store, stream.id)
            deleted += 1
        except PtstreamError as error:
            code = code or failed(screen, error)
    if deleted and not store.shrink():
        screen.note("a reader holds on to the log: what was deleted leaves it with the next rm, or when all have ended")
    return code
