"""Search: every place in all that is kept, the unfinished included, at offsets that `cat` takes."""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import AsyncGenerator

import anyio
import anyio.lowlevel
import pytest
from starlette.requests import Request
from starlette.types import Message

from ptstream import wire
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.read_routes import find_text
from ptstream.engine.protocol import Engine, Hit
from ptstream.engine.sqlite import database_search as module
from ptstream.engine.sqlite.database_search import search
from ptstream.engine.sqlite.store import Store
from ptstream.errors import UsageError
from ptstream.generators import Event, Source
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.settings import Home
from ptstream.streams import Flush
from ptstream.text_search import LONGEST_QUERY, folded
from tests.bounded import processor_seconds
from tests.conftest import FIRST, Cli, Gate, detached, engaged, kept, owning, stop_daemon


def kept_as(cli: Cli, text: str) -> str:
    """The id of an ended stream with this text."""
    done = cli.run("tee", input=text)
    return str(done.stderr.decode().split()[0])


def hits(home: Home, query: str) -> list[Hit]:
    """Every place, as an engine finds it."""

    async def found(engine: Engine) -> list[Hit]:
        async with engine.search(query) as hits:
            return [hit async for hit in hits]

    return engaged(home, found)


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

    def places() -> list[list[str]]:
        return [line.split("\t")[:2] for line in cli.out("search", "two").splitlines()]

    assert kept(cli, id) == FIRST
    assert places() == [[id, "title"], [id, "4"], [old, "4"]]
    stop_daemon(cli.home)
    assert places() == [[id, "title"], [id, "4"], [old, "4"]]


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


def test_a_line_is_as_much_as_is_shown(cli: Cli, home: Home) -> None:
    kept_as(cli, "x" * 1000 + "HERE" + "y" * 1000)
    (hit,) = hits(home, "HERE")
    assert hit.line == "x" * 80 + "HERE" + "y" * 80


def test_it_ends_when_it_is_enough(cli: Cli, store: Store) -> None:
    kept_as(cli, "found")
    assert list(search(store, "found", lambda: True)) == []


def test_nothing(home: Home, cli: Cli) -> None:
    with pytest.raises(UsageError):
        hits(home, "")
    assert cli.run("search", "x", code=1).stderr == b""


ODD = "aAbBsSſßẞiIİıkKKéÉe\u0301σΣςµμΜåÅÅǆǅǄﬀﬁ𐐀𐐨ΐΐᲀвВ😀\n"
"""Letters whose small and capital forms are a trap."""


@pytest.mark.parametrize("_", range(3))
def test_capitals_are_what_unicode_has_for_them_one_for_one(_: int) -> None:
    """As `re` has them, whose time may grow with the square of the text."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(2000):
        text = "".join(chance.choice(ODD) for _ in range(chance.randint(0, 30)))
        query = "".join(chance.choice(ODD) for _ in range(chance.randint(1, 3))).lower()
        places = [found.start() for found in re.finditer(re.escape(query), text, re.IGNORECASE)]
        found, at = [], folded(text).find(folded(query))
        while at >= 0:
            found.append(at)
            at = folded(text).find(folded(query), at + len(query))
        assert found == places, (query, text)


def test_no_character_becomes_more_than_one() -> None:
    planes = "".join(map(chr, range(sys.maxunicode + 1)))
    assert len(folded(planes)) == len(planes)


def test_offsets_stay_right_where_letters_change(cli: Cli) -> None:
    places = ["İSTANBUL", "IŞIK", "FUẞ", "ΟΔΟΣ", "E\u0301TÉ", "𐐀"]
    id = kept_as(cli, "".join(f"İIıẞß😀 {place} 😀\n" for place in places))
    for query, place in zip(["istanbul", "ışık", "fuß", "οδος", "e\u0301té", "𐐨"], places, strict=True):
        (hit,) = map(json.loads, cli.out("search", "--json", query).splitlines())
        assert cli.out("cat", id, "--offset", str(hit["offset"])).startswith(f"{place} 😀")


class Steps:
    """Counts the blocks that a search asks about, and has enough after so many."""

    def __init__(self, most: float = math.inf) -> None:
        self.most = most
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return self.count > self.most


@pytest.mark.parametrize("query", ["a" * 999 + "b", "b" + "a" * 999, "ab" * 499, "A" * 499 + "b" + "A" * 500])
def test_a_search_takes_as_long_as_the_text_whatever_is_looked_for(cli: Cli, store: Store, query: str) -> None:
    """With a pattern this took minutes, all in one step that nothing could end."""
    kept_as(cli, "a" * 2_000_000)
    with processor_seconds(5):
        assert list(search(store, query)) == []


def test_it_can_be_ended_between_any_two_blocks(cli: Cli, store: Store) -> None:
    kept_as(cli, "a" * 10 * module.BLOCK)
    steps = Steps()
    assert list(search(store, "b", steps)) == []
    assert steps.count >= 5  # a block may be twice as large, by what is read at once
    steps = Steps(3)
    assert list(search(store, "b", steps)) == []
    assert steps.count == 4


def test_lines_are_not_looked_for_far_away(cli: Cli, store: Store) -> None:
    """In one line of a million characters that are all hits, each would be sought for its line's ends."""
    kept_as(cli, "a" * 200_000)
    assert sum(1 for _ in search(store, "aa")) == 100_000


def test_a_query_is_bounded(cli: Cli, home: Home) -> None:
    kept_as(cli, "x" * 3000)
    assert len(hits(home, "x" * LONGEST_QUERY)) == 3
    said = cli.run("search", "x" * (LONGEST_QUERY + 1), code=2).stderr.decode()
    assert "1000 characters at most" in said


@pytest.mark.anyio
async def test_a_search_ends_with_its_client(store: Store) -> None:
    async def text() -> AsyncGenerator[Event, None]:
        for _ in range(400):
            yield "a" * 65_535 + "\n"

    async with owning(store) as owner, anyio.create_task_group() as tasks:
        attempt = await owner.start(store.create().id, Source("test", "here", Flush.LINES, text))
        await attempt.ended.wait()
        searches = owner.engine._searches  # type: ignore[attr-defined]
        daemon = Daemon(store.home, owner.engine, owner, LocalServer(store.home, tasks))

        async def receive() -> Message:
            """The client goes as soon as the search has begun."""
            while not searches.borrowed_tokens:
                await anyio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}

        async def stay() -> Message:
            await anyio.sleep_forever()
            return {}

        scope = {"type": "http", "method": "GET", "path": wire.SEARCH, "query_string": b"q=b", "headers": []}
        answer = await find_text(daemon, Request(scope, receive))
        assert json.loads(bytes(answer.body))["complete"] is False
        assert not searches.borrowed_tokens
        # One that is heard to its end.
        answer = await find_text(daemon, Request(scope, stay))
        assert json.loads(bytes(answer.body)) == {"hits": [], "complete": True}
        tasks.cancel_scope.cancel()


def test_hits_do_not_overlap_where_blocks_meet(cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    kept_as(cli, "\n".join(["aaaaaaa"] * 9))
    assert [hit.offset for hit in search(store, "aaa")] == [line * 8 + place for line in range(9) for place in (0, 3)]
