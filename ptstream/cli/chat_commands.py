"""What may be typed at the prompt of `ptstream chat` that is no question: words behind a slash, and keys.

Those that make a turn are left to `chat_session.py`; what the others do stands here.
"""

from __future__ import annotations

import difflib
import os
import re
from contextlib import aclosing
from typing import NamedTuple

from ptstream.cli.chat_turns import Talk
from ptstream.cli.describe import counted
from ptstream.cli.screen import Screen
from ptstream.cli.thread import markdown
from ptstream.errors import UsageError
from ptstream.streams import GenerationRequest
from ptstream.streams_protocol import Streams

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


async def model(streams: Streams, screen: Screen, talk: Talk, name: str) -> None:
    """Ask this model from now on; without a name, say which it is. Raises what keeps it from being asked."""
    last = await talk.last()
    if name:
        if doubt := await streams.check(GenerationRequest(prompt="?", model=name)):
            screen.note(doubt)
            talk.doubt = doubt
        talk.given = talk.given._replace(model=name)
        return
    used = talk.given.model or (last.model if last else None)
    screen.note(f"model {used}" if used else "the default model: ptstream models shows which it is")


async def save(streams: Streams, screen: Screen, talk: Talk, name: str, saved: set[str]) -> None:
    """Write the conversation to a file, as `export --thread` prints it; over one only that is among the `saved`.

    Raises UsageError.
    """
    if not name:
        raise UsageError("/save needs the name of a file")
    turns, path = await talk.turns(), os.path.abspath(os.path.expanduser(name))
    if not turns:
        raise UsageError("there is nothing to save yet")
    try:
        with open(path, "w" if path in saved else "x", encoding="utf-8", errors="replace") as file:
            saved.add(path)
            async with aclosing(markdown(streams, turns)) as parts:
                async for part in parts:
                    file.write(part)
    except FileExistsError as error:
        raise UsageError(f"{name} is there already: give another name") from error
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror}") from error
    screen.note(f"{counted(len(turns), 'turn')} in {name}")
