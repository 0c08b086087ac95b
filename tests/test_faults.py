"""The fault harness in its short form: some of every kill, at random moments that follow from a printed seed."""

from __future__ import annotations

import itertools
import random
import re
import signal
import sys
from typing import Any

import pytest
from hypothesis import strategies as st

from tests import postgres
from tests.faults import catalogue
from tests.faults.fuzz.growth import Pumped, grows_evenly
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.runs import Run
from tests.faults.tally import Tally
from tests.faults.text import common, numbered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness needs Linux")

FEW = {
    "daemon": 2,
    "terminal": 1,
    "watcher-live": 1,
    "tee": 2,
    "drives": 1,
    "persists": 1,
    "calls": 2,
    "return": 1,
    "full": 1,
    "another-user": 1,
}
"""Fault → how often."""


@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost(name: str) -> None:
    fault = next(fault for fault in catalogue.FAULTS if fault.name == name)
    if why := fault.missing():
        pytest.skip(why)
    run, tally = Run(random.randrange(2**32), quick=True), Tally(fault.title)
    print("seed", run.seed)
    fault.run(run, tally, FEW[name])
    assert tally.wrong == []
    assert (tally.lost, tally.repeated, tally.endless) == (0, 0, 0)
    assert tally.times


def test_nothing_is_lost_where_several_machines_share_a_server() -> None:
    """Its primary is killed, and its standbys are."""
    postgres.needed()
    from tests.faults.cluster import failures  # late: psycopg may not be there

    run, tally = Run(random.randrange(2**32), quick=True), Tally("several machines")
    print("seed", run.seed)
    failures.rounds(failures.primary, failures.standbys, streams=2, places=2)(run, tally, 2)
    assert tally.wrong == []
    assert (tally.times, tally.lost, tally.repeated, tally.endless) == (2, 0, 0, 0)


ROUNDS = {"http": 4, "terminal": 4, "markdown": 3, "page": 3, "bodies": 5, "config": 4, "ssh": 1}
"""Fuzzer → its rounds: one of all that it looks for, but for what starts a process each time."""


@pytest.mark.parametrize("name", ROUNDS)
def test_whatever_strangers_send_does_no_harm(name: str) -> None:
    fault = next(fault for fault in catalogue.FAULTS if fault.name == f"fuzz-{name}")
    if why := fault.missing():
        pytest.skip(why)
    run, tally = Run(random.randrange(2**32), quick=True, rounds=ROUNDS[name]), Tally(fault.title)
    print("seed", run.seed)
    fault.run(run, tally, 1)
    assert tally.wrong == []
    assert tally.times


def test_what_does_not_hold_is_found_made_short_and_found_again_by_its_seed() -> None:
    def check(text: str) -> None:
        if "w" in text:
            raise Wrong("there is a w", text)

    runs = [Tally("a fuzzer") for _ in range(2)]
    for tally in runs:
        search(Run(7, rounds=2), tally, [Look(st.text("vwx"), check)])
        tally.times = 0  # what making it short takes depends on the machine
    assert runs[0] == runs[1]
    (wrong,) = runs[0].wrong  # the second round knows it
    assert wrong == "seed 7, case 0: there is a w: w\n    'w'"


def test_what_never_ends_and_what_grows_too_fast_is_found() -> None:
    tally = Tally("a fuzzer")
    looks: list[Look[Any]] = [
        Look(st.just("x" * 40), lambda text: re.match("(x+x+)+y", text), 1, 0.1),
        Look(st.just(Pumped("", "x", "")), lambda pumped: grows_evenly(pumped, _cubic, (64, 256, 1024)), 1),
    ]
    search(Run(7, rounds=2), tally, looks)
    hang, growth = tally.wrong
    assert "TooSlow" in hang
    assert "grows faster than what comes" in growth


def _cubic(text: str) -> None:
    """Far beyond what is too much: so that no other work on the machine can hide it."""
    for _ in itertools.product(text, text[::2], text[::56]):
        pass


def test_the_text_of_the_harness_is_nowhere_the_same_twice() -> None:
    text, size = numbered("a", 50_000), 160
    assert len(text.decode()) < len(text) < 51_000
    places = range(0, len(text) - size, 97)
    assert [text.find(text[at : at + size]) for at in places] == list(places)
    assert numbered("b", 100)[:2] != text[:2]


def test_common() -> None:
    assert common(b"", b"x") == 0
    assert common(b"abc", b"abc") == 3
    assert common(b"abcd", b"abxd") == 2
    assert common(b"abc", b"abcd") == 3


def test_a_loss_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: were what a killed owner's tail holds not recovered, it would say so."""
    from ptstream.engine.sqlite import recovery
    from tests.faults import kills

    monkeypatch.setattr(recovery, "left_over", lambda *_: b"")
    # The command that meets the stream first is another process: here only we do.
    monkeypatch.setattr("tests.faults.verdict._meet_first", lambda *_: None)
    monkeypatch.setattr("tests.faults.scenes.EARLY", 0)
    tally = Tally("a loss")
    kills.program(Run(1), tally, 2, "drive", 1)
    assert tally.times == 2
    assert tally.lost > 0
    assert "seed 1, case " in tally.wrong[0]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
