"""The two lines around a text that somebody waits for, of `drive` and of `watch`; neither is for a pipe."""

from __future__ import annotations

import re

import pexpect
import pytest

from ptstream.cli.timing import Timing
from ptstream.streams import Attempt, GenerationRequest, Status, Stream
from tests.conftest import Cli, Gate
from tests.terminal import Terminal

SILENT = "read x < '{}'; printf 'one two.\\nthree four.\\n'"
"""Says nothing until it is let on."""


def silent(gate: Gate) -> tuple[str, ...]:
    found = re.search(r"< '(.*?)'", gate.command[2])
    assert found
    return ("sh", "-c", SILENT.format(found[1]))


@pytest.mark.parametrize("words", [("watch", "@last"), ("watch", "--live", "@last"), ("drive", "@last")])
def test_somebody_who_waits_is_told_for_what_and_how_it_went(served: Cli, gate: Gate, words: tuple[str, ...]) -> None:
    id = served.out("drive", "-d", "--", *silent(gate)).strip()
    child = Terminal(words, served.environment)
    child.expect(r"\rsh · \d+ s · Ctrl-C detaches|\r\x1b\[2msh · \d+ s · Ctrl-C detaches")
    gate.open()
    child.expect(rf"three four\.\r\n\x1b\[2mdone · 21 B · .*\d s in all · {id}\r\n")
    child.expect(pexpect.EOF)


def test_who_wants_it_quiet_is_told_neither(served: Cli, gate: Gate) -> None:
    driver = Terminal(("drive", "--quiet", "--", *silent(gate)), served.environment)
    driver.expect(r"[0-9a-z]{12}\r\n")
    watcher = Terminal(("watch", "-q", "@last"), served.environment)
    gate.open()
    for child in (driver, watcher):
        child.expect(pexpect.EOF)
        assert re.sub(r"\x1b\[\d*m", "", child.before or "") == "one two.\r\nthree four.\r\n"


def test_neither_is_for_a_pipe_or_of_what_has_ended(served: Cli, gate: Gate) -> None:
    served.run("drive", "-d", "--", *silent(gate))
    gate.open()
    done = served.run("watch", "@last")
    assert (done.stdout, done.stderr) == (b"one two.\nthree four.\n", b"")
    child = Terminal(("watch", "@last"), served.environment)
    child.expect(pexpect.EOF)
    assert "in all" not in (child.before or "")


def test_of_what_began_before_it_is_told_what_is_known_of_it() -> None:
    """And nothing that only holds for the reader: all that was there already came at once."""
    request = GenerationRequest(command=("make",))
    stream = Stream("a" * 12, None, None, Status.DONE, 5000, request, None, 0.0, 130.0, None, None)
    attempt = Attempt(1, "o", 1000, 90.0, 130.0, 1, None, {"exit_code": 0}, None, None)
    assert Timing(whole=False).summary(stream, attempt) == f"done · 4.0 kB · 100 B a second · 40 s in all · {'a' * 12}"
    counted = attempt._replace(usage={"completion_tokens": 200})
    line = Timing(whole=False).summary(stream, counted)
    assert line == f"done · 200 tokens · 5 a second · 40 s in all · {'a' * 12}"
    assert Timing().summary(stream, None).startswith("done · 0 B · 0.0 s in all")
