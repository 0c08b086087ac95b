"""What others have named or said reaches a terminal as text alone, and in the lines that are meant for it."""

from __future__ import annotations

import re
import shlex

import pexpect
import pytest

from ptstream.client.stream_fields import from_json
from ptstream.errors import DaemonUnreachable
from ptstream.stream_json import as_json
from ptstream.streams import GenerationRequest
from tests.conftest import PTSTREAM, Cli, engaged, locked

HOSTILE = "a\x1b]0;PWN\x07\x1b[2Jb\u202e\u200f\U000e0041\rstatus       faked\u2028owner        faked"

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\U000e0000-\U000e0fff]")


def on_a_terminal(cli: Cli, *words: str, before: str = "") -> str:
    """What a terminal is sent, standard error included."""
    line = f"{before} {shlex.join([*PTSTREAM, *words])}"
    shown = pexpect.run(shlex.join(["sh", "-c", line]), env=cli.environment | {"NO_COLOR": "1"}, encoding="utf-8")
    return str(shown).replace("\r\n", "\n")


@pytest.fixture
def hostile(cli: Cli) -> Cli:
    """A home in which every field of a stream is hostile."""
    request = GenerationRequest(prompt=HOSTILE, model=HOSTILE, generator=None)
    engaged(cli.home, lambda engine: engine.create(request, title=HOSTILE))
    with locked(cli.home) as sql:
        sql(f"UPDATE streams SET status = 'error', error = '{HOSTILE}', note = '{HOSTILE}'")
    return cli


@pytest.mark.parametrize("words", [("ls",), ("show", "@last"), ("wait", "@last"), ("rm", "--dry-run", "@last")])
def test_fields_of_a_stream(hostile: Cli, words: tuple[str, ...]) -> None:
    shown = on_a_terminal(hostile, *words)
    assert "b" in shown
    assert not FORBIDDEN.search(shown)
    assert not re.search(r"^(status|owner) +faked", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "words", [("cat", "x", HOSTILE), ("cat", f"--{HOSTILE}"), (HOSTILE,), ("show", HOSTILE), ("ls", "-n", HOSTILE)]
)
def test_words_that_are_not_understood(cli: Cli, words: tuple[str, ...]) -> None:
    """As a shell puts the names of files on a line, for an asterisk."""
    assert not FORBIDDEN.search(on_a_terminal(cli, *words))


def test_a_pipe_whose_tee_was_mistyped(cli: Cli) -> None:
    said = "printf 'one\\033]0;PWN\\007\\342\\200\\256 two\\n' |"
    assert "one two\n" in on_a_terminal(cli, "tee", "--nosuch", before=said)
    assert "one\x1b]0;PWN\x07\u202e two\n" in on_a_terminal(cli, "tee", "--raw", "--nosuch", before=said)
    assert cli.run("tee", "--nosuch", input="one\x1b[2J", code=2).stdout == b"one\x1b[2J"


def test_an_id_from_elsewhere_is_no_command(cli: Cli) -> None:
    fields = as_json(engaged(cli.home, lambda engine: engine.create()))
    assert from_json(fields).id == fields["id"]
    for id in ("x;touch ran", "$(touch ran)", "", fields["id"].upper(), fields["id"] + "\n", None, ["a"] * 12):
        with pytest.raises(DaemonUnreachable):
            from_json(fields | {"id": id})
