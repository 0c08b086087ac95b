"""Where the command begins: the fast lines, whose every word this table knows, start in a few milliseconds.

`import typer` alone takes longer than they may; everything else goes to typer with its line untouched, so help,
errors and suggestions have one author. A test holds this table to typer's own parameters.
"""

from __future__ import annotations

import _signal as signal  # `signal` is this, with enums around it that take as long as half a start of Python
import os
import sys

from ptstream.integers import count_of

ALIASES = {"ps": "ls", "logs": "cat", "stop": "cancel"}
"""What hands type that come from elsewhere, and the command that it is here."""

FAST: dict[str, dict[str, type]] = {
    "cat": {"--offset": int, "--raw": bool},
    "ls": {"-q": bool, "--quiet": bool, "-n": int, "--limit": int, "--json": bool},
    "path": {},
    "__complete": {},
}
"""Command → its options that start fast and the kind of their value (bool: a flag)."""

POSITIONALS = {"cat": range(1, 2), "ls": range(1), "path": range(1), "__complete": range(1, 64)}

LONG = {"-q": "quiet", "-n": "limit"}


def parse(words: list[str]) -> tuple[str, list[str], dict[str, int | bool]] | None:
    """Command, positional words and options; None if the line holds anything that only typer understands."""
    name = ALIASES.get(words[0], words[0]) if words else ""
    if name not in FAST:
        return None
    known = FAST[name]
    positional: list[str] = []
    options: dict[str, int | bool] = {}
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith("-") or name == "__complete":
            positional.append(word)
        elif word not in known:
            return None
        elif known[word] is bool:
            options[LONG.get(word, word[2:])] = True
        elif (number := count_of(next(rest, ""))) is not None:
            options[LONG.get(word, word[2:])] = number
        else:
            return None
    return (name, positional, options) if len(positional) in POSITIONALS[name] else None


def secure_descriptors() -> None:
    """A standard stream that is closed must stay so: else the first file that is opened would take its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest free one, and refuses a write as a closed one does


def main() -> None:
    """The `ptstream` command."""
    # Python's own handler would raise while modules load, where it can get lost. What a shell ignores stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN if sys.argv[1:2] == ["tee"] else signal.SIG_DFL)
    secure_descriptors()
    fast = parse(sys.argv[1:])
    elsewhere = os.environ.get("PTSTREAM_HOST") or os.environ.get("PTSTREAM_STORE")
    if fast is None or (elsewhere and fast[0] != "__complete"):
        from ptstream.start_up import begin

        begin()
        from ptstream.cli.app import run
        from ptstream.quick_exit import quick_exit

        quick_exit(run(sys.argv[1:]))
    from ptstream.cli.fast_path import run_fast

    os._exit(run_fast(*fast))  # all is written, unbuffered, and closed, and nothing is registered for the end


if __name__ == "__main__":
    main()
