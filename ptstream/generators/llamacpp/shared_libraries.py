"""The shared libraries that llama.cpp's wheel for Linux needs and does not bring, and where they are found.

The system's own come first. No slim image has libgomp: there the copy is used that a package of the extra `local`
carries.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

GOMP = "libgomp.so.1"

CARRIER = "simsimd"
"""The package whose wheels hold a copy of libgomp, under a name of their own. It is never imported."""

PACKAGES = {
    GOMP: "apt install libgomp1, dnf install libgomp or zypper install libgomp1",
    "libstdc++.so.6": "apt install libstdc++6, dnf install libstdc++ or zypper install libstdc++6",
}
"""What to install for each library that a system may lack."""


def missing() -> str | None:
    """Which library is not to be had here, and how to install it, in one line; None if all are."""
    for name, remedy in PACKAGES.items():
        if not (_loads(name) or (name == GOMP and _carried())):
            return f"llama.cpp needs {name}, which this machine lacks: {remedy}"
    return None


@contextmanager
def environment() -> Iterator[Mapping[str, str] | None]:
    """The environment to start llama.cpp's process in, None for our own.

    The process must have loaded its libraries before the context is left.
    """
    copy = None if _loads(GOMP) else _carried()
    if copy is None:
        yield None
        return
    # The loader wants the library by its own name, and takes a folder only from the environment.
    with tempfile.TemporaryDirectory(prefix="ptstream-") as folder:
        os.symlink(copy, os.path.join(folder, GOMP))
        # First, since what the user's folders have of it, if anything, does not load.
        folders = filter(None, (folder, os.environ.get("LD_LIBRARY_PATH")))
        yield {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}


def _loads(name: str) -> bool:
    """Whether the loader finds a library; only Linux's wheels need any."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _carried() -> str | None:
    """The path of the copy, None if its package is not installed."""
    from importlib import metadata  # heavy, and needed on slim systems only

    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files(CARRIER) or ():
            if file.name.startswith("libgomp") and os.path.isfile(path := file.locate()):
                return os.path.abspath(path)
    return None
