"""Storage that refuses: a full disk, another's long transaction, a reader that holds a snapshot. Nothing is lost.

The generator is paused rather than its text dropped, `daemon status` says why, and all goes on when the fault does.
What takes no root to do as an ordinary user is in `permissions.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from ptstream import wire
from ptstream.engine.sqlite.checkpoints import CHECKPOINT_BYTES, CHECKPOINT_PAUSE
from ptstream.streams import GenerationRequest
from tests.faults.ground import Actor, Ground, ground, read
from tests.faults.runs import Run
from tests.faults.scenes import heard, text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge, judge_reader

MIB = 1024 * 1024

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM chunks").fetchall()
print("held", flush=True)
sys.stdin.read()
"""
"""Another program that has the database open, in a transaction, until its stdin ends."""


def full(run: Run, tally: Tally, count: int) -> None:
    """The disk is full while a stream runs; then there is space again, or the daemon is killed first."""
    for number in range(2 if run.quick else 4):
        with run.case(tally, number) as chance, small_disk() as folder, ground(chance, folder=folder) as here:
            _fill(here, tally, killed=number % 2 == 1)


def _fill(here: Ground, tally: Tally, *, killed: bool) -> None:
    told = _replayed(here, "full", 100_000, rate=1500, characters=20)
    daemon = here.daemon()
    driver = here.ptstream("drive", told.id)
    told.readers.append(heard(driver.out))
    silent = here.ptstream("drive", "--", "sh", "-c", "echo $$; exec sleep 1000")
    here.ears.until(lambda: len(driver.out.data) > 20_000 and silent.out.data, "text")
    with _filler(here.folder) as filler:
        here.ears.until(lambda: status(here)["paused"] or filler.more(), "a paused generator")
        here.ears.until(lambda: status(here)["trouble"], "the reason in daemon status", 10)
        shown = driver.out.drain()
        with here.store() as store:
            text, _ = read(store, told.id)
        tally.check(text.startswith(shown), f"full: shown {len(shown)} bytes, there are {len(text)}")
        _check_cat(here, tally, told.id, shown)
        _check_cancel(here, tally, silent)
        if killed:
            daemon.kill()
            here.ended(driver)
            _check_cat(here, tally, told.id, shown)
            with here.store() as store:
                _, cursor = read(store, told.id)
            tally.check(cursor.ended, f"no end on a full disk: {cursor.state}")
    if not killed:
        here.ended(driver)
        tally.check("paused" in driver.said, f"the driver's screen did not say why: {driver.said!r}")
        told.whole = True
        here.ears.until(lambda: not status(here)["running"], "the end")
        daemon.kill()
    tally.times += 1
    seen = judge(here, tally, [told])
    judge_reader(tally, told.id, bytes(driver.out.data), seen[told.id].text)


def _check_cat(here: Ground, tally: Tally, id: str, shown: bytes) -> None:
    asked = here.ask("cat", id)
    tally.check(bytes(asked.out.data).startswith(shown), f"cat on a full disk: {asked.said}")


def _check_cancel(here: Ground, tally: Tally, driver: Actor) -> None:
    """There is no room for the mark; what runs is stopped all the same."""
    id, pid = driver.said.split()[0], int(driver.out.data)
    asked = here.ask("cancel", id)
    tally.check(asked.process.returncode == 8, f"cancel on a full disk: {asked.process.returncode} {asked.said}")
    tally.check(not os.path.exists(f"/proc/{pid}"), f"still running: {pid}")


class _Filler:
    """A file that takes all the space there is."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def more(self) -> bool:
        """Take what has become free meanwhile. False, for a condition that goes on waiting."""
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while os.write(self._fd, bytes(size)) == size:
                    pass
        return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


@contextlib.contextmanager
def _filler(folder: str) -> Iterator[_Filler]:
    path = os.path.join(folder, "filler")
    filler = _Filler(path)
    try:
        filler.more()
        yield filler
    finally:
        filler.close()
        os.unlink(path)


@contextlib.contextmanager
def small_disk(size: str = "24m") -> Iterator[str]:
    """A file system of its own in memory; takes root."""
    with tempfile.TemporaryDirectory(prefix="pts-faults-", ignore_cleanup_errors=True) as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


# --- others in the database


def foreign_writer(run: Run, tally: Tally, count: int) -> None:
    """Another program's transaction lasts for seconds: text goes on, and what outruns the store is paused."""
    with run.case(tally, 0) as chance, ground(chance) as here:
        slow = _replayed(here, "slow", 120_000, rate=400, characters=20)
        fast = _replayed(here, "fast", 3 * MIB, rate=0, characters=400)
        daemon = here.daemon()
        here.drive(slow.id)
        body = here.live(slow.id)
        slow.readers.append(heard(body))
        here.ears.until(lambda: len(body.data) > 10_000, "text")
        with _held(here, "BEGIN IMMEDIATE"), here.store() as store:
            before = len(body.data)
            here.ears.until(lambda: status(here)["trouble"], "the reason in daemon status", 15)
            tally.notes.append(f"daemon status: {status(here)['trouble']}")
            here.ears.until(lambda: len(body.data) > before + 20_000, "text in spite of it")
            tally.check(not store.text(slow.id, before + 10_000, 10**9), "the store took text, and was locked")
        here.drive(fast.id)
        with _held(here, "BEGIN IMMEDIATE"):
            here.ears.until(lambda: status(here)["paused"] or _ended(here, fast.id), "a generator that is paused")
        _all_whole(here, tally, [slow, fast], daemon)


def long_reader(run: Run, tally: Tally, count: int) -> None:
    """A reader's snapshot blocks checkpoints: the log grows meanwhile, and no longer than that."""
    with run.case(tally, 0) as chance, ground(chance) as here:
        much = _replayed(here, "much", 12 * MIB, rate=0, characters=400)
        steady = _replayed(here, "steady", 1_000_000, rate=500, characters=20)
        daemon = here.daemon()
        here.drive(steady.id)
        here.ears.until(lambda: wal(here) > 0, "a log")
        with _held(here, "BEGIN"):
            here.drive(much.id)
            here.ears.until(lambda: _ended(here, much.id), "the end of 12 MiB")
            most = wal(here)
            here.ears.until(lambda: status(here)["trouble"], "the reason in daemon status", 10)
            tally.notes.append(f"daemon status meanwhile: {status(here)['trouble']}")
            tally.check(most > 2 * CHECKPOINT_BYTES, f"the log had {most} bytes, and was to be blocked")
        freed = time.monotonic()
        here.ears.until(lambda: wal(here) <= CHECKPOINT_BYTES, "a log that is cut", CHECKPOINT_PAUSE + 15)
        tally.notes.append(
            f"log {most / MIB:.1f} MiB while it was held,"
            f" {wal(here) / MIB:.1f} MiB {time.monotonic() - freed:.0f} s after"
        )
        here.ask("cancel", steady.id)  # it has served; its text until now is what counts
        _ended_and_judged(here, tally, [much, steady], daemon)


def _all_whole(here: Ground, tally: Tally, streams: list[Told], daemon: Actor) -> None:
    for told in streams:
        told.whole = True
    _ended_and_judged(here, tally, streams, daemon)


def _ended_and_judged(here: Ground, tally: Tally, streams: list[Told], daemon: Actor) -> None:
    here.ears.until(lambda: all(_ended(here, told.id) for told in streams), "the end")
    daemon.kill()
    tally.times += 1
    judge(here, tally, streams)


def _ended(here: Ground, id: str) -> bool:
    with here.store() as store:
        return store.state(id).status.ended


def wal(here: Ground) -> int:
    """The size of the write-ahead log."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(here.home.database + "-wal").st_size
    return 0


def status(here: Ground) -> dict[str, Any]:
    """What `daemon status --json` shows."""
    answer: dict[str, Any] = json.loads(here.request("GET", wire.STATUS))
    return answer


@contextlib.contextmanager
def _held(here: Ground, statement: str) -> Iterator[None]:
    """Another program is in a transaction that began with `statement`."""
    reading, writing = os.pipe()
    actor = here.spawn([sys.executable, "-c", HOLDER, here.home.database, statement], stdin=reading)
    os.close(reading)
    try:
        here.ears.until(lambda: actor.out.data or actor.gone, "another's transaction")
        if not actor.out.data:
            raise OSError(actor.said)
        yield
    finally:
        os.close(writing)
    here.ended(actor)


def _replayed(here: Ground, label: str, size: int, *, rate: int, characters: int) -> Told:
    path, text = text_file(here, label, size)
    with here.store() as store:
        id = store.create(GenerationRequest(prompt="x", model=f"replay:{path}?rate={rate}&size={characters}")).id
    return Told(id, text)
