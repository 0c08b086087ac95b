"""What may stand at the end of an unfinished line: commands, options, their values, models and streams.

The models are those of the streams, and of the config file of this machine's daemon. No TAB waits long for a network.
"""

from __future__ import annotations

import os

from ptstream.cli.entry import ALIASES
from ptstream.cli.grammar import WORDS
from ptstream.errors import PtstreamError
from ptstream.names import can_be_typed
from ptstream.settings import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ptstream.engine.sqlite.at_rest import Listed
    from ptstream.streams import Stream

HELP = ("-h", "--help")
"""Options of every command."""

NEWEST = 50
"""Streams that are offered, newest first: no shell shows more of them usefully."""

RUNNING = {"cancel", "wait"}
"""Commands for what has not ended."""

LISTS = {"--status"}
"""Options whose value is several words, with commas between them."""

Candidate = tuple[str, str]
"""A word, and what it is."""


_SECOND = ""
"""The option that a word belongs to which is the second one behind it: what that may be, nobody knows."""


class _Begun:
    """What the words before the last one say.

    `option` is one whose value comes next; `is_users`: whether what comes next belongs to a command of the user's,
    behind `--`; `home` is the value of `--home`.
    """

    def __init__(
        self, command: str, given: set[str], option: str | None, arguments: int, is_users: bool, home: str | None
    ) -> None:
        self.command = command
        self.given = given
        self.option = option
        self.arguments = arguments
        self.is_users = is_users
        self.home = home


def candidates(home: Home, before: list[str], begun: str) -> list[Candidate]:
    """What may stand behind the words `before`, where the next one begins with `begun`; also what begins otherwise."""
    line = _read(before)
    if line is None or line.is_users:
        return []
    words, place = WORDS.get(line.command, {}), Home(line.home, home.store) if line.home else home
    if line.option is not None:
        return _listed(line.option, begun, _values(place, line, words.get(line.option, "")))
    if begun.startswith("-"):
        option, equals, value = begun.partition("=")
        if equals:
            values = _listed(option, value, _values(place, line, words.get(option, "")))
            return [(f"{option}={word}", what) for word, what in values]
        return [(word, "") for word in (*words, *HELP) if word.startswith("-") and word not in line.given]
    if subcommands := _subcommands(line.command):
        return [(word, "") for word in subcommands]
    kind = words.get("argument", "")
    return _values(place, line, kind) if kind == "ID..." or not line.arguments else []


def _listed(option: str, begun: str, values: list[Candidate]) -> list[Candidate]:
    """The values of an option; of one that takes several, behind those that are there."""
    there, comma, _ = begun.rpartition(",") if option in LISTS else ("", "", "")
    return [(f"{there}{comma}{word}", what) for word, what in values if word not in there.split(",")]


def _read(before: list[str]) -> _Begun | None:
    """None: there is no such command."""
    command, given, option, arguments = "", set[str](), None, 0
    home = None
    for word in before:
        words = WORDS.get(command, {})
        if option is not None:
            home = word if option == "--home" else home
            option = _SECOND if words.get(option) == "OPTION" else None
        elif word == "--":
            return _Begun(command, given, None, arguments, True, home)
        elif word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            given.add(name)
            option = name if words.get(name) and not equals else None
            home = value if equals and name == "--home" else home
        elif _subcommands(command):
            command = f"{command} {ALIASES.get(word, word)}".lstrip()
            if command not in WORDS and not _subcommands(command):
                return None
        else:
            arguments += 1
    return _Begun(command, given, option, arguments, False, home)


def _subcommands(command: str) -> list[str]:
    """What follows the name of a group of commands; of no command, all that there are."""
    group = f"{command} " if command else ""
    found = [name.removeprefix(group) for name in WORDS if name and name.startswith(group)]
    return list(dict.fromkeys(name.split()[0] for name in found))


def _values(home: Home, line: _Begun, kind: str | tuple[str, ...]) -> list[Candidate]:
    if isinstance(kind, tuple):
        return [(word, "") for word in kind]
    try:
        if kind == "OPTION":
            from ptstream.streams import MODEL_OPTIONS

            return [(word, "") for word in MODEL_OPTIONS]
        if kind == "MODEL":
            own = None if os.environ.get("PTSTREAM_HOST") else home
            return [(word, "") for word in models_of(own, _newest(home, running=False))]
        if kind.startswith("ID"):
            return _streams(home, line)
    except PtstreamError:
        pass  # a shell's TAB is no place for an error
    return []


def models_of(home: Home | None, newest: Iterable[Stream | Listed]) -> list[str]:
    """The models of the streams, which are the newest, and of the home's config file. Raises PtstreamError."""
    names = [stream.model for stream in newest]
    if home is not None:
        from ptstream.config import load

        settings = load(home)
        names.append(settings.model)
        names += (f"{name}/{each.model}" for name, each in settings.endpoints.items() if each.model)
    return [name for name in dict.fromkeys(names) if name and name.isprintable()]


def _streams(home: Home, line: _Begun) -> list[Candidate]:
    from ptstream.cli.control_sequences import clean
    from ptstream.stream_json import title

    running = line.command in RUNNING
    found = _newest(home, running=running)
    newest = [("@last", "the newest stream")] if found and not running else []
    return newest + [
        (word, clean(f"{stream.status} {title(stream)}", one_line=True)[:60])
        for stream in found
        for word in filter(None, (stream.name, stream.id))
        if can_be_typed(word)
    ]


def _newest(home: Home, *, running: bool) -> Sequence[Stream | Listed]:
    """The newest first. Raises PtstreamError."""
    if os.environ.get("PTSTREAM_HOST") or not home.is_local:
        from ptstream.cli.candidates_elsewhere import newest
        from ptstream.streams import Status

        return newest(home, NEWEST, (Status.STREAMING, Status.PENDING) if running else ())
    from ptstream.engine.sqlite.at_rest import listed
    from ptstream.engine.sqlite.database import Database

    with Database(home) as database:
        return listed(database.read, NEWEST, ("streaming", "pending") if running else ())
