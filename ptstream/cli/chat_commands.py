"""What may be typed at the prompt of `ptstream chat` that is no question: words that begin with a slash, and keys."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from ptstream.errors import UsageError

COMMANDS = {
    "retry": "ask the question again",
    "edit": "change the question",
    "model": "which model, or another",
    "save": "all of it, as Markdown",
    "watch": "the last answer, whole",
    "cancel": "end the last answer",
    "help": "this",
}

ARGUMENTS = {"model": "[NAME]", "save": "FILE"}
"""What stands behind a command."""

KEYS = {
    "Alt-Enter": "next line (or Esc Enter)",
    "Ctrl-X Ctrl-E": "write it in your editor",
    "Ctrl-R, Up": "what was asked before",
    "Ctrl-C": "leave answer, clear line",
    "Ctrl-\\": "end an answer",
    "Ctrl-D": "leave",
    "Space /...": "a question, no command",
}

_COMMAND = re.compile(r"/(\w*)(?:[ \t]+(.*?))?\s*")


class Typed(NamedTuple):
    """A command, and what stands behind it."""

    word: str
    rest: str


def command_of(line: str) -> Typed | None:
    """The command that a line is; None for a question. A space before the slash makes it one.

    Raises UsageError for a word that is no command.
    """
    found = _COMMAND.fullmatch(line)  # of one line alone: what is pasted is a question
    if not found:
        return None
    word, rest = found[1].lower(), found[2] or ""
    if word not in COMMANDS:
        near = [f"did you mean /{each}?" for each in difflib.get_close_matches(word, COMMANDS, n=1)]
        told = " ".join([f"there is no command /{word}:", *(near or ["see /help."])])
        raise UsageError(f"{told} With a space before it, it is a question")
    if rest and word not in ARGUMENTS:
        raise UsageError(f"nothing stands behind /{word}")
    return Typed(word, rest)


def help_lines() -> list[str]:
    """All of it; each line fits into 40 columns."""
    words = {f"/{word} {ARGUMENTS.get(word, '')}".rstrip(): what for word, what in COMMANDS.items()}
    every = words | KEYS
    width = max(map(len, every))
    return [f"{word:{width}}  {what}" for word, what in every.items()]
