"""A model file of the user's own, named as `gguf:PATH`."""

from __future__ import annotations

import os

from ptstream.errors import ConfigurationError

PREFIX = "gguf:"

CONTEXT = 8192
"""Tokens that a prompt and its answer share."""

MAGIC = b"GGUF"
"""How such a file begins (ggml, docs/gguf.md)."""


def located(name: str, directory: str) -> str:
    """The path of the file that `gguf:PATH` names, relative to `directory`.

    Raises ConfigurationError for a file that is not there, cannot be read or is none of these.
    """
    # No file's name holds a NUL, and `expanduser` would not take one.
    path = os.path.join(directory, os.path.expanduser(name.removeprefix(PREFIX).partition("\0")[0]))
    # Looked at first: opening a pipe would wait for its writer.
    if "\0" in name or not os.path.isfile(path):
        raise ConfigurationError(f"--model {name}: there is no such file")
    try:
        with open(path, "rb") as file:
            begin = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigurationError(f"--model {name}: {error.strerror}") from error
    if begin != MAGIC:
        raise ConfigurationError(f"--model {name}: this is not a GGUF file")
    return path
