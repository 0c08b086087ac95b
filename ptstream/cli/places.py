"""A place that a line names: a server by its URL, a home by its directory, or one file."""

from __future__ import annotations

import os
import urllib.parse

from ptstream.cli.options import text_of
from ptstream.engine import ENGINES
from ptstream.errors import UsageError
from ptstream.settings import Home, find_home

FILES = (".db", ".sqlite", ".sqlite3")
"""How the name of a file ends that is not there yet; what has any other name becomes a home."""


def place(word: str, here: Home, option: str) -> Home:
    """The home that `word` means, or the one here with another engine. `@FILE` stands for the URL that a file holds.

    Raises UsageError for such a file that cannot be read, and for a directory of other things; ConfigurationError for
    one that is not ours alone.
    """
    word = (text_of(word, option) or "").strip()
    if not word:
        raise UsageError(f"{option} names no place")
    if word.partition(":")[0] in ENGINES or "://" in word:
        return Home(here.path, word)
    path = os.path.abspath(os.path.expanduser(word))
    above = Home(os.path.dirname(os.path.dirname(path)))
    if path == above.database:  # what `ptstream path` prints
        return find_home(above.path)
    if os.path.isfile(path) or (path.endswith(FILES) and not word.endswith("/") and not os.path.isdir(path)):
        return Home(here.path, "file://" + urllib.parse.quote(os.fsencode(path)))
    home = find_home(path)
    if _is_something_else(home):
        raise UsageError(
            f"{path} is a directory of other things, and no home: name a file in it ({path}/streams.db), or another one"
        )
    return home


def _is_something_else(home: Home) -> bool:
    """Whether there is a directory in which nothing is a home's."""
    try:
        lying = os.listdir(home.path)
    except OSError:  # none, or the engine says why not
        return False
    return bool(lying) and not any(map(os.path.exists, (home.database, home.config, home.models)))
