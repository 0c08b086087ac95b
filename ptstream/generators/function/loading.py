"""Which function `--generator` names: `FILE.py:NAME`, or the name of an installed entry point.

Where it can be, a wrong name is refused without importing anything; importing runs in the function's own process.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from ptstream.errors import ConfigurationError, UsageError

GROUP = "ptstream.generators"
"""The entry point group of generators that are installed for everybody."""

MARK = "__ptstream_generator__"

Function = TypeVar("Function", bound=Callable[..., Any])


def generator(name: str) -> Callable[[Function], Function]:
    """Name a generator function within its file: `--generator FILE.py:NAME` then finds it by `name`."""

    def mark(function: Function) -> Function:
        setattr(function, MARK, name)
        return function

    return mark


def load(target: str) -> Callable[..., Any]:
    """The function that `FILE.py:NAME` or an entry point's name stands for. Raises UsageError, and whatever the
    user's code raises when it is imported.
    """
    file, name = split(target)
    return _from_file(file, name) if file else _from_entry_point(target)


def split(target: str) -> tuple[str | None, str]:
    """`FILE.py:NAME` in its two halves; no file for an entry point's name."""
    file, _, name = target.rpartition(":")
    if file.endswith(".py"):
        return file, name
    return (name, "") if name.endswith(".py") else (None, target)


def check_target(target: str, directory: str) -> None:
    """Raises UsageError, ConfigurationError where it can be seen at once that there is no such function."""
    file, name = split(target)
    if file and not name:
        raise UsageError(f"--generator {target} names no function: write {file}:NAME")
    if file and not os.path.isfile(os.path.join(directory, file)):
        raise ConfigurationError(f"--generator {target}: there is no file {file} in {directory}")


def _from_file(file: str, name: str) -> Callable[..., Any]:
    module = _imported(file)
    values = vars(module)
    marked = {getattr(value, MARK): value for value in values.values() if hasattr(value, MARK)}
    function: Callable[..., Any] | None = marked.get(name) or values.get(name)
    if callable(function):
        return function
    own = [key for key, value in values.items() if inspect.isfunction(value) and value.__module__ == module.__name__]
    names = ", ".join(dict.fromkeys([*marked, *own])) or "none at all"
    problem = f"has no function {name}" if name else "needs a function's name"
    raise UsageError(f"{file} {problem}; write {file}:NAME (there is {names})")


def _imported(file: str) -> ModuleType:
    path = os.path.abspath(file)
    # As for a script: what lies beside the file can be imported by it.
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _from_entry_point(name: str) -> Callable[..., Any]:
    from importlib.metadata import entry_points  # heavy, and needed for an installed one only

    found = entry_points(group=GROUP)
    for entry in found:
        if entry.name == name:
            function: Callable[..., Any] = entry.load()
            return function
    names = ", ".join(sorted({entry.name for entry in found})) or "none"
    raise UsageError(f"no generator is called {name}; installed: {names}; one of your own: --generator FILE.py:NAME")
