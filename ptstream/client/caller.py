"""From where a drive is asked for: commands run there, and keys come from there."""

from __future__ import annotations

import os
import resource
import sys
from typing import TypedDict

from ptstream.errors import UsageError


class Context(TypedDict):
    """Where a process stands, in the wire's words. `core` is the limit on core files, in bytes."""

    directory: str
    environment: dict[str, str]
    umask: int
    core: int
    python: str


def current_directory() -> str:
    """Where the process stands. Raises UsageError if that has been removed."""
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError("the current directory is gone: change to another") from error


def own_context() -> Context:
    """That of this process. Raises UsageError as `current_directory` does."""
    umask = os.umask(0)
    os.umask(umask)
    return Context(
        directory=current_directory(),
        environment=dict(os.environ),
        umask=umask,
        core=resource.getrlimit(resource.RLIMIT_CORE)[0],
        python=sys.executable,
    )
