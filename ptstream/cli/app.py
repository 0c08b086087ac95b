"""The typer application: which commands there are, each loaded when it is asked for, examples first in its help."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, cast

import typer
import typer.core
import typer.main
from typer._click.exceptions import ClickException

from ptstream.cli.control_sequences import clean
from ptstream.cli.entry import ALIASES
from ptstream.cli.fast_path import failed
from ptstream.cli.help import HelpContext
from ptstream.cli.screen import Screen
from ptstream.errors import PtstreamError, UsageError
from ptstream.settings import Home, find_home
from ptstream.start_up import loaded


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command's function is, and its line in the list."""

    module: str
    help: str
    function: str | None = None


class Color(StrEnum):
    """When to use colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Line:
    """What the line said before the command's name."""

    flag: str | None
    color: Color
    host: str | None = None
    """The machine whose streams are meant, if not this one's: PTSTREAM_HOST, unless `--home` names one here."""

    @property
    def home(self) -> Home:
        """The home on this machine. Raises ConfigurationError where there can be none."""
        return find_home(self.flag)


COMMANDS = {
    "drive": Command("drive", "Run a model or a command as a stream, printing every piece live."),
    "chat": Command("chat", "Talk with a model at a prompt, each turn a stream."),
    "watch": Command("watch", "Follow a stream from anywhere, until it ends."),
    "cat": Command("cat", "Print a stream's text."),
    "create": Command("create", "Make a pending stream and print its id."),
    "tee": Command("tee", "Pass standard input through and keep it as a stream."),
    "ls": Command("ls", "List streams, newest first."),
    "show": Command("show", "Show what is known of a stream."),
    "wait": Command("wait", "Wait for a stream's end."),
    "cancel": Command("cancel", "Cancel a stream."),
    "rm": Command("rm", "Delete streams."),
    "search": Command("search", "Find a text in all streams, their prompts, titles and names."),
    "export": Command("export", "Take a stream or a conversation away, as Markdown or JSON."),
    "web": Command("web", "Open the page: your streams in a browser."),
    "models": Command("models", "Show the models that were found, or get the embedded one."),
    "demo": Command("demo", "See the idea: two panes on one stream."),
    "path": Command("path", "Print where the database is."),
    "store": Command("store", "Make or migrate the tables where the streams lie."),
    "copy": Command("copy", "Copy streams to another place: a server, a home, or a file."),
    "daemon": Command("daemon", "Run, start, stop or look at the daemon."),
    "completion": Command("completion", "Print a shell's completion script."),
    "dial-stdio": Command("dial_stdio", "Connect standard input and output to the daemon."),
}
"""In the order in which `--help` lists them."""


class _Examples(typer.core.TyperCommand):
    """A command whose help begins with examples; what follows `--` on its line is a command of the user's."""

    context_class = HelpContext
    examples = ""
    takes_command = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if self.takes_command and "--" in args:
            at = args.index("--")
            args, ctx.meta["ptstream.command"] = args[:at], tuple(args[at + 1 :])
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write_examples(self.examples)
        super().format_help(ctx, formatter)


class Group(typer.core.TyperGroup):
    """A group of commands whose help begins with examples."""

    context_class = HelpContext
    examples = ""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write_examples(self.examples)
        super().format_help(ctx, formatter)


@contextlib.contextmanager
def _told_harmlessly() -> Iterator[None]:
    """What is not understood may come from outside: a shell puts the names of files on a line for `*`."""
    try:
        yield
    except ClickException as error:
        error.message = clean(error.message)
        raise


class _Lazy(Group):
    """Loads a command's module when it is run or its own help is asked for, not to list it."""

    table: dict[str, Command] = COMMANDS
    examples = """
ptstream drive -p "Why is the sky?"   a model's answer, kept as it comes
ptstream drive -- make -j4            any command's output, kept
ptstream watch @last                  follow the newest stream from anywhere
ptstream cat @last                    print what is there
ptstream --home /srv/streams ls       the streams of another home
ptstream --color always cat --render @last | less -R   rendered, in a pager
ptstream --version                    which one this is
"""

    def make_context(self, *words: Any, **more: Any) -> Any:
        with _told_harmlessly():
            return super().make_context(*words, **more)

    def invoke(self, ctx: Any) -> Any:
        with _told_harmlessly():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = ALIASES.get(cmd_name, cmd_name)
        return load(name) if name in self.table else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # "Did you mean" looks among the loaded commands alone.
        self.commands = cast(Any, dict.fromkeys([*self.table, *ALIASES]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(", ".join(names_of(name)), command.help) for name, command in self.table.items()])


def names_of(command: str) -> list[str]:
    """The command's name, and its aliases."""
    return [command, *(alias for alias, name in ALIASES.items() if name == command)]


@functools.cache
def load(name: str) -> Any:
    """The click command called `name`, or the group, if its module makes one."""
    module = importlib.import_module(f"ptstream.cli.{COMMANDS[name].module}")
    loaded()
    if hasattr(module, "group"):
        return module.group()
    return make_command(name, module.command, module.EXAMPLES, COMMANDS[name].help)


def make_command(name: str, function: Any, examples: str, help: str) -> Any:
    """A click command of `function`'s parameters."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    takes_command = getattr(function, "takes_command", False)
    # Words that are too many are the command's to judge, where they look like a command without its "--".
    settings = {"help_option_names": ["-h", "--help"], "allow_extra_args": takes_command}
    app.command(name, cls=_Examples, help=help, context_settings=settings)(function)
    command = typer.main.get_command(app)
    assert isinstance(command, _Examples)
    command.examples = examples
    command.takes_command = takes_command
    for parameter in filter(takes_two_words, command.params):
        parameter.nargs = 2
    return command


def takes_two_words(parameter: Any) -> bool:
    """Whether an option has a name and a value behind it, for which typer has no type: its metavar says so."""
    return parameter.param_type_name == "option" and " " in (parameter.metavar or "")


def _version(wanted: bool) -> None:
    if wanted:
        from ptstream import __version__

        Screen().text(f"ptstream {__version__}\n")
        raise typer.Exit()


def _main(
    ctx: typer.Context,
    home: Annotated[
        str | None, typer.Option(metavar="DIR", help="The directory that holds everything (PTSTREAM_HOME).")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    color: Annotated[Color, typer.Option(help="Colour on a terminal (NO_COLOR).", show_default=False)] = Color.AUTO,
) -> None:
    """Persistent text streaming: text that outlives its connection, its terminal and its daemon."""
    ctx.obj = Line(home, color, None if home else os.environ.get("PTSTREAM_HOST") or None)


@functools.cache
def application() -> Any:
    """The whole command, as click has it."""
    app = typer.Typer(
        cls=_Lazy,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_main)
    # typer makes a group only of what has commands; ours are found by `_Lazy`.
    app.command("path")(lambda: None)
    return typer.main.get_command(app)


def run(words: Sequence[str]) -> int:
    """Run the line; its exit code."""
    screen = Screen()
    try:
        application().main(args=list(words), prog_name="ptstream")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if code == UsageError.exit_code and not isinstance(end.__context__, typer.Exit):
            _not_understood(words)
        return code
    except PtstreamError as error:
        return failed(screen, error)
    except OSError as error:  # help or a list that a full disk did not take
        return failed(screen, PtstreamError(f"{error.strerror or error}"))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _not_understood(words: Sequence[str]) -> None:
    """A mistyped option of `tee` must not kill what stands before it in a pipe."""
    if "tee" in words and not os.isatty(0):
        from ptstream.cli.stdin import pass_on

        pass_on(Screen(raw="--raw" in words))


def unwind_on_interrupt() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, for what must be undone. Until then it ends the process at once."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def line_of(ctx: typer.Context) -> Line:
    """What the line said before the command's name."""
    line = ctx.obj
    assert isinstance(line, Line)
    return line


def session(ctx: typer.Context, *, raw: bool = False) -> tuple[Home, Screen]:
    """The home that the line named, and the screen as it is to be, for a command that works on this machine alone.

    Raises UsageError where another machine's streams are meant, ConfigurationError where there can be no home.
    """
    return home_of(ctx), screen_of(ctx, raw=raw)


def screen_of(ctx: typer.Context, *, raw: bool = False) -> Screen:
    """The screen alone."""
    return Screen(color=line_of(ctx).color.value, raw=raw)


def home_of(ctx: typer.Context) -> Home:
    """The home alone. Raises as `session` does."""
    line = line_of(ctx)
    if line.host:
        raise UsageError(
            f"{ctx.command_path} works on this machine alone: unset PTSTREAM_HOST, or name the home here with --home"
        )
    return line.home
