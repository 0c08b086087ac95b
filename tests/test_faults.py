"""The fault harness in its short form: some of every kill, at random moments that follow from a printed seed."""

from __future__ import annotations

import random
import signal
import sys

import pytest

from tests.faults import catalogue
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
    from ptstream.store import recover
    from tests.faults import kills

    monkeypatch.setattr(recover, "left_over", lambda *_: b"")
    # The command that meets the stream first is another process: here only we do.
    monkeypatch.setattr("tests.faults.verdict._meet_first", lambda *_: None)
    monkeypatch.setattr("tests.faults.scenes.EARLY", 0)
    tally = Tally("a loss")
    kills.program(Run(1), tally, 2, "drive", 1)
    assert tally.times == 2
    assert tally.lost > 0
    assert "seed 1, case " in tally.wrong[0]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
