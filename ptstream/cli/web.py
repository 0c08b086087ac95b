"""`ptstream web`: the page, opened in a browser by a link for one use."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from pathlib import Path
from typing import Annotated

import anyio
import typer

from ptstream.cli.app import session
from ptstream.client import control
from ptstream.client.launch import connect_or_start
from ptstream.client.unix_socket import connect
from ptstream.errors import DaemonUnreachable, UsageError
from ptstream.settings import Home

EXAMPLES = """
ptstream web               opens it
ptstream web --no-browser  prints the link: over ssh, forward its port (ssh -L 7878:127.0.0.1:7878 box)
ptstream web --lock        ends the sessions of all browsers that were let in
"""


def command(
    ctx: typer.Context,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link, and open nothing.")] = False,
    lock: Annotated[bool, typer.Option("--lock", help="End all browsers' sessions; open nothing.")] = False,
) -> None:
    """The command."""
    home, screen = session(ctx)
    if lock:
        if no_browser:
            raise UsageError("--lock and --no-browser do not go together")
        anyio.run(_lock, home)
        screen.note("no browser is let in any more: ptstream web lets one in")
        return
    link = anyio.run(_link, home)
    if no_browser or not _has_screen() or not _opened(home, link):
        screen.text(f"{link}\n")
        screen.note("good for one use, within two minutes")
    else:  # browsers in a sandbox may not read the home
        screen.note("opened; if nothing is to be seen, ptstream web --no-browser prints the link")


def _opened(home: Home, link: str) -> bool:
    """Open it by way of a file of ours: all users of the machine see a browser's arguments."""
    descriptor = os.open(home.page, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f'<!doctype html><title>ptstream</title><meta http-equiv="refresh" content="0; url={link}">\n')
    return webbrowser.open(Path(home.page).as_uri())


async def _link(home: Home) -> str:
    async with connect_or_start(home) as daemon:
        return await control.invite(daemon)


async def _lock(home: Home) -> None:
    """Sessions that no daemon knows of just now lie in the home alone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(home.sessions)
    with contextlib.suppress(DaemonUnreachable):
        async with connect(home) as daemon:
            await control.lock(daemon)


def _has_screen() -> bool:
    """Whether a browser would be seen: one in a terminal would take it over, and over ssh it is another machine's."""
    import sys

    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
