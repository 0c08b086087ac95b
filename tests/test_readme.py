"""What the README says is true: its commands, its program, its table of the original's forms."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ptstream.cli.app import COMMANDS
from ptstream.config import KEYS, Endpoint
from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from tests.conftest import Cli

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_two_blocks_are_a_line_each() -> None:
    first, second = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:2]
    for language, block in (first, second):
        assert language == ""
        assert block.count("\n") == 1
        assert block.startswith("python3 -m venv .venv && ")
    assert "ptstream drive --prompt" in first[1]
    assert "pytest" in second[1]


def test_the_program_runs_twice(home: Home, cli: Cli) -> None:
    program, *_ = blocks("python")
    for _ in range(2):  # as whoever tries it out does
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=cli.environment, check=True)
        assert done.stdout.decode() == "Hi there! You said: helloYou said: helloA loop that you have already."
    with Store(home) as store:
        assert [stream.status for stream in store.streams()] == ["done", "done"]


def test_its_configuration_is_one(home: Home, cli: Cli) -> None:
    (config,) = blocks("toml")
    home.make()
    Path(home.config).write_text(config)
    cli.run("models")
    assert set(KEYS) <= set(re.findall(r"^(\w+) =", config, re.MULTILINE))
    assert all(field in config for field in Endpoint._fields if field != "name")


def test_it_names_every_command() -> None:
    for name in COMMANDS:
        assert re.search(rf"ptstream {name}\b|\b{name}\b.*\|", README), name
