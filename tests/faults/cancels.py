"""Cancelled from another process, whoever owns it: ended in a moment, its text kept, nothing of it left running."""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from contextlib import closing

from ptstream.streams import GenerationRequest, Status
from tests.faults.ears import Feeder
from tests.faults.ground import Ground, ground
from tests.faults.runs import Run
from tests.faults.scenes import text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge

WITHIN = 0.2
"""Seconds from the mark in the store to the end in the store, for nineteen of twenty."""

SILENT = ("sh", "-c", "echo begun; exec sleep 1000")
STUBBORN = ("sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000 & echo begun; wait; wait; sleep 1000")
"""Commands that say nothing more; the second one and its children do not heed SIGTERM."""

AT_ONCE = 8


def cancels(run: Run, tally: Tally, count: int) -> None:
    """Several of each kind at once, each cancelled at its own time, twice."""
    took: list[float] = []
    for number in range(1 if run.quick else 3):
        with run.case(tally, number) as chance, ground(chance) as here:
            took += _cancel_all(here, tally)
    took.sort()
    late = took[int(0.95 * len(took))]
    tally.notes.append(
        f"from the mark to the end: p50 {1000 * statistics.median(took):.0f} ms, p95 {1000 * late:.0f} ms,"
        f" slowest {1000 * took[-1]:.0f} ms of {len(took)}"
    )
    tally.check(late < WITHIN, f"p95 is {late:.3f} s")


def _cancel_all(here: Ground, tally: Tally) -> list[float]:
    daemon = here.daemon()
    told = _driven(
        here, [GenerationRequest(command=SILENT), GenerationRequest(command=STUBBORN)] * (AT_ONCE // 2)
    ) + _silent_models(here)
    readers = [here.ptstream("drive", each.id) for each in told]
    for each, reader in zip(told, readers, strict=True):
        each.readers.append(lambda r=reader: bytes(r.out.data))  # type: ignore[misc]
    told += [_teed(here, number) for number in range(3)]
    programs = [_program(here), _program(here)]
    here.ears.until(lambda: _begun(here, len(told) + 2), "streams that have begun")
    ids = [each.id for each in told] + programs
    here.chance.shuffle(ids)
    for id in ids:
        here.ended(*(here.ptstream("cancel", id) for _ in range(here.chance.choice([1, 2]))))
    with here.store() as store:
        for id in ids:
            state = store.state(id)
            tally.check(state.status is Status.CANCELLED, f"{id}: {state}")
            tally.generated += state.bytes
            tally.endless += not state.status.ended
    here.ended(*readers)
    tally.times += len(ids)
    daemon.kill()
    judge(here, tally, told, quiet=False)
    return _latencies(here)


def _driven(here: Ground, words: Sequence[GenerationRequest]) -> list[Told]:
    with here.store() as store:
        told = [Told(store.create(each).id, b"begun\n") for each in words]
    for each in told:
        here.drive(each.id)
    return told


def _silent_models(here: Ground) -> list[Told]:
    """Streams whose generator has said one piece and sleeps for long before its next."""
    path, text = text_file(here, "silent", 1000)
    told = _driven(here, [GenerationRequest(prompt="x", model=f"replay:{path}?rate=0.001")] * 4)
    for each in told:
        each.text = text
    return told


def _teed(here: Ground, number: int) -> Told:
    """A `tee` whose input gives nothing more and does not end."""
    reading, writing = os.pipe()
    actor = here.ptstream("tee", "--name", f"tee{number}", stdin=reading)
    os.close(reading)
    here.feeders.append(Feeder(here.ears, writing, b"begun\n" * 2, len(b"begun\n"), 0.001))
    here.ears.until(lambda: b"begun" in actor.out.data, "tee's first line")
    return Told(actor.said.split()[0], b"begun\n", [lambda: bytes(actor.out.data)])


def _program(here: Ground) -> str:
    """A program of the library that drives a stream and waits."""
    path, _ = text_file(here, "program", 1000)
    words = [here.home.path, "drive", "0.001", "7", path]
    actor = here.spawn([sys.executable, "-P", "-m", "tests.faults.program", *words])

    here.ears.until(lambda: b"\n" in actor.out.data, "a program's stream")
    return bytes(actor.out.data).decode().split()[0]


def _begun(here: Ground, count: int) -> bool:
    with here.store() as store:
        return sum(store.state(id).epoch > 0 for id in store.streaming()) >= count


def _latencies(here: Ground) -> list[float]:
    with closing(sqlite3.connect(here.home.database)) as connection:
        rows = connection.execute("SELECT ended_at - cancel_at FROM streams WHERE cancel_at IS NOT NULL").fetchall()
    return [row[0] for row in rows]
