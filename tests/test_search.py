"""Search: every place in all that is kept, the unfinished included, at offsets that `cat` takes."""

from __future__ import annotations

import json
import random

import pytest

from ptstream.errors import UsageError
from ptstream.settings import Home
from ptstream.store import search as module
from ptstream.store.search import search
from ptstream.store.sqlite import Store
from tests.conftest import FIRST, Cli, Gate, detached, kept, stop_daemon


def kept_as(cli: Cli, text: str) -> str:
    """The id of an ended stream with this text."""
    done = cli.run("tee", input=text)
    return str(done.stderr.decode().split()[0])


def test_offsets_are_those_of_cat(cli: Cli) -> None:
    id = kept_as(cli, "ein Fluß\nund noch ein Fluß, größer\nNICHTS\n")
    lines = [line.split("\t") for line in cli.out("search", "fluß").splitlines()]
    assert lines == [[id, "4", "ein Fluß"], [id, "23", "und noch ein Fluß, größer"]]
    for _, offset, _ in lines:
        assert cli.out("cat", id, "--offset", offset).startswith("Fluß")
    assert cli.out("search", "ICHT").split("\t")[1] == str(len("ein Fluß\nund noch ein Fluß, größer\nN".encode()))
    assert cli.run("search", "Nichts", code=1).stdout == b""  # with a capital, as it stands
    assert json.loads(cli.out("search", "--json", "-n", "1", "fluß"))["offset"] == 4
    cli.run("search", "", code=2)
    assert cli.run("search", "f.u", code=1).stdout == b""  # no pattern


def test_what_is_being_written(cli: Cli, gate: Gate) -> None:
    old = kept_as(cli, "one two, long ago")
    id = detached(cli, *gate.command)
    assert kept(cli, id) == FIRST
    assert [line.split("\t")[0] for line in cli.out("search", "two").splitlines()] == [id, old]
    stop_daemon(cli.home)
    assert [line.split("\t")[0] for line in cli.out("search", "two").splitlines()] == [id, old]


@pytest.mark.parametrize("_", range(5))
def test_wherever_the_blocks_begin(cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch, _: int) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    text = "".join(chance.choice("abéß€😀\n") for _ in range(3000))
    kept_as(cli, text)
    monkeypatch.setattr(module, "BLOCK", chance.choice([1, 7, 100, 1000]))
    query = chance.choice(["ab", "é", "€😀", "a\nb", text[chance.randrange(2000) :][:40]]).lower()
    expected, at = [], text.find(query)
    while at >= 0:
        expected.append(len(text[:at].encode()))
        at = text.find(query, at + len(query))
    assert [hit.offset for hit in search(store, query)] == expected


def test_a_line_is_as_much_as_is_shown(cli: Cli, store: Store) -> None:
    kept_as(cli, "x" * 1000 + "HERE" + "y" * 1000)
    (hit,) = search(store, "HERE")
    assert hit.line == "x" * 80 + "HERE" + "y" * 80


def test_it_ends_when_it_is_enough(cli: Cli, store: Store) -> None:
    kept_as(cli, "found")
    assert list(search(store, "found", lambda: True)) == []


def test_nothing(home: Home, store: Store, cli: Cli) -> None:
    with pytest.raises(UsageError):
        next(search(store, ""))
    assert cli.run("search", "x", code=1).stderr == b""
