"""A place that a line names: a server by its URL, a home by its directory, or one file."""

from __future__ import annotations

import os
import urllib.parse

from ptstream.cli.options import text_of
from ptstream.engine import ENGINES
from ptstream.settings import Home, find_home

FILES = (".db", ".sqlite", ".sqlite3")
"""How the name of a file ends that is not there yet; what has any other name becomes a home."""


def place(word: str, here: Home, option: str) -> Home:
    """The home that `word` means, or the one here with another engine. `@FILE` stands for the URL that a file holds.

    Raises UsageError for such a file that cannot be read, ConfigurationError for a directory that is not ours alone.
    """
    word = (text_of(word, option) or "").strip()
    if word.partition(":")[0] in ENGINES or "://" in word:
        return here._replace(store=word)
    path = os.path.abspath(os.path.expanduser(word))
    above = Home(os.path.dirname(os.path.dirname(path)))
    if path == above.database:  # what `ptstream path` prints
        return find_home(above.path)
    if os.path.isfile(path) or (path.endswith(FILES) and not word.endswith("/") and not os.path.isdir(path)):
        return here._replace(store="file://" + urllib.parse.quote(os.fsencode(path)))
    return find_home(path)
