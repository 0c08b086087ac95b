"""What commands show is what it was when somebody looked at it: see `captured.py` for how that is made anew."""

from __future__ import annotations

import re

from tests.captured import FOLDER, captures
from tests.conftest import needs

READ_ON_BOTH = {"0", "1", "2", "3", "4", "9", *(str(number) for number in range(31, 37))}
"""SGR's numbers of what is read on a light terminal and on a dark one: neither black nor white, nor a bright colour."""

OF_COMMANDS = ("error", "watch-two")
"""Where a command's own colours are seen, too."""


@needs("tmux")
def test_it_looks_as_it_did() -> None:
    known = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.txt")}
    now = captures()
    assert known.keys() == now.keys()
    for name, text in now.items():
        assert text == known[name], f"{name} has changed: python -m tests.captured, and look at it"


def test_it_is_read_on_light_and_on_dark() -> None:
    for path in FOLDER.glob("*.txt"):
        if not path.name.startswith(OF_COMMANDS):
            said = re.findall(r"\x1b\[([\d;]*)m", path.read_text("utf-8"))
            assert set(";".join(said).split(";")) <= READ_ON_BOTH | {""}, path.name


def test_no_row_is_wider_than_its_terminal() -> None:
    """What is wrapped by itself is wrapped at words: no row of a list, of help or of what `show` says is full."""
    for path in FOLDER.glob("*.txt"):
        name, width, _ = path.name.split(".")
        if name in ("ls", "ls-l", "show", "help"):
            rows = re.sub(r"\x1b\[[\d;]*m", "", path.read_text("utf-8")).splitlines()
            assert max(map(len, rows)) <= int(width)
