"""`ptstream daemon`: run, start, stop, status, token, logs."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import anyio
import typer

from ptstream import __version__
from ptstream.cli.app import Group, make_command, screen_of, session
from ptstream.cli.control_sequences import clean
from ptstream.cli.describe import counted, duration, size
from ptstream.cli.options import Json
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run as run_with_streams
from ptstream.client import control
from ptstream.client.launch import connect_or_start
from ptstream.client.unix_socket import connect, gone, listening
from ptstream.engine import open_engine
from ptstream.engine.handover import WAITS
from ptstream.errors import ConfigurationError, DaemonUnreachable, PtstreamError, UsageError
from ptstream.settings import Home
from ptstream.streams_protocol import Streams

STOP_TIME = 10.0
"""Seconds that `stop` waits for the daemon to be gone."""


SHOWN = ("host", "pid", "version", "began_at", "running", "trouble")

RUN_EXAMPLES = """
ptstream daemon run                 as a service manager wants it
ptstream daemon run --listen 127.0.0.1:8642 --no-token   for any program of this machine
ptstream daemon run --listen 0.0.0.0:8642 --plain-http   behind a proxy that has TLS
"""

STATUS_EXAMPLES = """
ptstream daemon status --json       for programs
ptstream daemon status --all        all daemons that share this one's streams
"""


class _Daemon(Group):
    examples = """
ptstream daemon status              whether it runs, and what
ptstream daemon status --all        all daemons that share this one's streams
ptstream daemon stop                ends the running streams, text kept
"""


def group() -> Any:
    """The click group."""
    app = typer.Typer(
        cls=_Daemon,
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        help="The daemon runs generators, so that they outlive whoever asked. It starts by itself when it is needed.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_group)
    app.command("run")(run)
    made = typer.main.get_command(app)
    for function, examples, help in COMMANDS:
        name = function.__name__
        made.add_command(make_command(name, function, examples, help), name)  # type: ignore[attr-defined]
    return made


def _group() -> None:
    pass


def run(
    ctx: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer HTTP there, too (config: listen).", show_default=False),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Ask nobody there for a token.")] = False,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Also on a network, where the token is in the clear.")
    ] = False,
) -> None:
    """In the foreground, its log on stderr."""
    from ptstream.daemon import process
    from ptstream.daemon.listen_address import address_of
    from ptstream.daemon.log import begin as begin_log

    home, screen = session(ctx)
    if no_token:
        if not listen:
            raise UsageError("--no-token goes with --listen")
        if not address_of(listen).loopback:
            raise ConfigurationError(f"without a token the daemon listens on this machine alone, not on {listen}")
        screen.note(f"without a token, everybody on this machine can read, write and delete your streams at {listen}")
    begin_log(shown=clean)  # what is logged may hold what a stranger has sent, and goes to a terminal
    if not process.run(home, listen=listen, token=not no_token, plain_http=plain_http):
        raise PtstreamError("this home has a running daemon already: ptstream daemon stop ends it")


def token(ctx: typer.Context) -> None:
    """A client sends it as `Authorization: Bearer`."""
    from ptstream.daemon.keys import token_of

    home, screen = session(ctx)
    home.make()
    screen.text(f"{token_of(home)}\n")


def start(ctx: typer.Context) -> None:
    """In the background."""
    anyio.run(_start, *session(ctx))


async def _start(home: Home, screen: Screen) -> None:
    async with connect_or_start(home) as daemon:
        status = await control.status(daemon)
        screen.note(f"the daemon runs, pid {status['pid']}")
        if status["trouble"]:
            screen.note(status["trouble"])


def stop(ctx: typer.Context) -> None:
    """Each running stream ends with its text and that cause."""
    raise typer.Exit(anyio.run(_stop, *session(ctx)))


async def _stop(home: Home, screen: Screen) -> int:
    socket = listening(home)
    try:
        async with connect(home) as daemon:
            status = await control.stop(daemon)
    except DaemonUnreachable:
        screen.note("the daemon is not running")
        return 0
    with anyio.move_on_after(STOP_TIME):
        await gone(home, socket)
        screen.note(f"the daemon has ended (pid {status['pid']})")
        await _say_what_waits(home, screen)
        return 0
    raise PtstreamError(f"the daemon, pid {status['pid']}, has not ended within {STOP_TIME:g} s")


async def _say_what_waits(home: Home, screen: Screen) -> None:
    """What has not ended with it, and on a machine of its own will, unless there is a next one soon."""
    if home.is_local:
        async with open_engine(home) as engine:
            for each in await engine.handed_over():
                screen.note(f"stream {each.id} goes on with the next daemon, if that begins within {WAITS:g} s")


def status(
    ctx: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="All daemons that keep their streams at the same place.")
    ] = False,
    json: Json = False,
) -> None:
    """Exit code 69 when it is not running."""
    if every:
        screen = screen_of(ctx)
        run_with_streams(ctx, screen, lambda streams: _all(streams, screen, json))
    raise typer.Exit(anyio.run(_status, *session(ctx), json))


async def _all(streams: Streams, screen: Screen, json: bool) -> int:
    found = [daemon.as_json() for daemon in await streams.daemons()]
    if not found:
        screen.note("no daemon is running")
        return DaemonUnreachable.exit_code
    if json:
        for fields in found:
            screen.data(fields)
    else:
        rows = [["" if fields[name] is None else str(fields[name]) for name in SHOWN] for fields in found]
        screen.table(["HOST", "PID", "VERSION", "SINCE", "RUNNING", "TROUBLE"], rows, flexible=5)
    return 0


async def _status(home: Home, screen: Screen, json: bool) -> int:
    try:
        async with connect(home) as daemon:
            status = await control.status(daemon)
    except DaemonUnreachable as error:
        if json:
            screen.data(
                {
                    "pid": None,
                    "version": __version__,
                    "socket": home.socket,
                    "database": home.location,
                    "store": home.store_name,
                    "listen": None,
                    "running": 0,
                    "paused": 0,
                    "trouble": None,
                    "uptime": None,
                }
            )
        else:
            screen.note(str(error))
        return error.exit_code
    if json:
        screen.data(status)
    else:
        screen.text("".join(f"{key:<10} {_said(key, value)}\n" for key, value in status.items() if value is not None))
    return 0


def _said(key: str, value: Any) -> str:
    """A value of the status for a person."""
    if key == "uptime":
        return duration(value)
    if key in ("running", "paused"):
        return counted(value, "stream")
    return clean(str(value), one_line=True)


def logs(
    ctx: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="The last N lines.")] = 50,
) -> None:
    """The end of its log."""
    home, screen = session(ctx)
    text = b""
    for path in (f"{home.log}.1", home.log):  # the older one goes on in the other
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - 1_000_000))
            text += file.read()
    if text:
        screen.text(b"".join(text.splitlines(keepends=True)[-lines:] if lines else []))
        screen.finish()
        screen.note(f"{home.log}, {size(length)}")


COMMANDS = (
    (run, RUN_EXAMPLES, "Run it in the foreground."),
    (start, "ptstream daemon start               in the background", "Start it in the background."),
    (stop, "ptstream daemon stop                ends the running streams, text kept", "Stop it."),
    (status, STATUS_EXAMPLES, "Show whether it runs, and what."),
    (token, 'curl -H "Authorization: Bearer $(ptstream daemon token)" …', "Print what lets in over the network."),
    (logs, "ptstream daemon logs -n 20", "Show the end of its log."),
)
