"""Two hundred readers of one stream: the generator and the daemon's memory take no notice, each gets exact text."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from pathlib import Path

from ptstream.streams import GenerationRequest
from tests.faults.ground import Actor, Ground, ground
from tests.faults.runs import Run
from tests.faults.scenes import Pace, text_file
from tests.faults.storage import status
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge

SOCKETS, FOLLOWS = 160, 40

PACES = (Pace(600_000, 50, 1200), Pace(600_000, 200, 400))
"""As a hosted model writes, and four times as fast; more text than sockets hold for those who do not read."""

MIB = 1024 * 1024

MOST = 1.0
"""Mebibytes that a reader may cost the daemon: a page, and what its connection has not taken."""


def crowd(run: Run, tally: Tally, count: int) -> None:
    """The same text without readers and with all of them, on this machine."""
    _each_pace(run, tally, {"sockets": SOCKETS, "follows": FOLLOWS})


def network(run: Run, tally: Tally, count: int) -> None:
    """The same over TCP, with a token."""
    _each_pace(run, tally, {"network": SOCKETS + FOLLOWS})


def _each_pace(run: Run, tally: Tally, crowds: dict[str, int]) -> None:
    share = 4 if run.quick else 1
    for number, pace in enumerate(PACES[:1] if run.quick else PACES):
        with run.case(tally, number) as chance, ground(chance) as here:
            _compare(here, tally, pace, {how: count // share for how, count in crowds.items()})


def _compare(here: Ground, tally: Tally, pace: Pace, crowds: dict[str, int]) -> None:
    here.home.make()
    Path(here.home.config).write_text('listen = "127.0.0.1:0"\n', encoding="utf-8")
    daemon = here.daemon()
    alone, plain = _generated(here, daemon, tally, pace, {})
    crowded, memory = _generated(here, daemon, tally, pace, crowds)
    readers = sum(crowds.values())
    tally.times += readers
    tally.notes.append(
        f"{pace.rate} pieces/s, {readers} readers: the generator took {crowded:.2f} s, alone {alone:.2f} s"
        f" ({crowded / alone:.2f}x)"
    )
    tally.notes.append(
        f"the daemon's memory, MiB: {plain[0]:.1f} at first, {plain[1]:.1f} after the text alone,"
        f" {memory[0]:.1f} when the readers are there, {memory[1]:.1f} at the text's end"
    )
    grown = (memory[1] - plain[1]) / readers
    tally.check(grown < MOST, f"{grown:.2f} MiB a reader")
    daemon.kill()


def _generated(
    here: Ground, daemon: Actor, tally: Tally, pace: Pace, wanted: dict[str, int]
) -> tuple[float, list[float]]:
    """One text with so many readers: the seconds it took, and the daemon's memory at its begin and at its end."""
    path, text = text_file(here, "crowd", pace.size)
    with here.store() as store:
        model = f"replay:{path}?rate={pace.rate}&size={pace.characters}"
        told = Told(store.create(GenerationRequest(prompt="x", model=model)).id, text, whole=True)
    here.drive(told.id)
    crowds = [_crowd(here, how, told.id, count) for how, count in wanted.items()]
    for one in crowds:
        here.ears.until(lambda c=one: b"all there" in c.out.data or c.gone, "the readers")  # type: ignore[misc]
    memory = [_memory(daemon)]
    with here.store() as store:
        here.ears.until(lambda: store.state(told.id).status.ended, "the end")
        memory.append(_memory(daemon))
        attempt = store.attempts(told.id)[0]
    here.ended(*crowds)
    for one in crowds:
        _check_digests(tally, one, hashlib.sha256(text).hexdigest())
    judge(here, tally, [told], quiet=False)
    assert attempt.ended_at is not None
    return attempt.ended_at - attempt.started_at, memory


def _crowd(here: Ground, how: str, id: str, count: int) -> Actor:
    if how == "network":
        how += ":" + status(here)["listen"].rpartition(":")[2]
    words = [how, here.home.path, id, str(count), str(here.chance.random())]
    return here.spawn([sys.executable, "-P", "-m", "tests.faults.crowd", *words])


def _check_digests(tally: Tally, crowd: Actor, expected: str) -> None:
    tally.check(crowd.process.returncode == 0, f"readers: {crowd.said[-1000:]}")
    lines = [line.split() for line in bytes(crowd.out.data).decode().splitlines() if line != "all there"]
    right = Counter(kind for kind, digest in lines if digest == expected)
    tally.check(len(lines) == right.total(), f"{len(lines) - right.total()} of {len(lines)} readers got wrong text")
    tally.check(lines, "no reader came to the end")
    tally.notes.append("right text for " + ", ".join(f"{count} {kind}" for kind, count in sorted(right.items())))


def _memory(actor: Actor) -> float:
    """The resident memory of a living process in MiB."""
    pages = int(Path(f"/proc/{actor.process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MIB
