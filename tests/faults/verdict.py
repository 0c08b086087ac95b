"""What must hold after a fault, looked at without a daemon: by `cat`, `ls`, `show`, `wait`, `watch` and the store.

What any reader received is at its place in the store, or laid over it, at once. Stored text is a prefix of what was
generated. Every stream has an end that all commands agree on, or a living owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptstream.engine.sqlite import liveness
from ptstream.engine.sqlite.queries import Standing
from ptstream.engine.sqlite.recovery import recover_all
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ENDS
from ptstream.streams import Status
from tests.faults.ground import Actor, Ground, read
from tests.faults.tally import Tally
from tests.faults.text import common

IMPATIENT = 0.01
"""Seconds that a reader which shall not be able to write waits for that."""


@dataclass(slots=True, eq=False)
class Told:
    """A stream as its audience knows it: what its generator says, and what each reader has received from offset 0."""

    id: str
    text: bytes
    readers: list[Callable[[], bytes]] = field(default_factory=list)
    whole: bool = False
    """Whether it must have come to its generator's end."""
    cut: bool = False
    """Whether its command may be killed too, in the middle of a character, which is then replaced by U+FFFD."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream as the store shows it."""

    text: bytes
    state: Standing


def judge(here: Ground, tally: Tally, streams: Sequence[Told], *, quiet: bool = True) -> dict[str, Seen]:
    """Look at the streams without a daemon, in the order in which a user might, and count what is wrong.

    With `quiet`, no process is left that drives: then nothing may be left but the database.
    """
    laid = _laid_over(here, streams) if here.chance.random() < 0.5 else {}
    _meet_first(here, tally, here.chance.choice(streams).id)
    with here.store() as store:
        seen = {told.id: _seen(store, told.id) for told in streams}
        for told in streams:
            _judge_one(here, tally, told, seen[told.id], laid.get(told.id))
        _ask_the_commands(here, tally, here.chance.choice(streams).id, seen)
    if quiet:
        nothing_left(here, tally)
    return seen


def nothing_left(here: Ground, tally: Tally) -> None:
    """After a sweep and without a living owner there is neither a tail nor a lock of one."""
    with here.store() as store:
        recover_all(store)
    left = os.listdir(here.home.tails) + os.listdir(here.home.owners)
    tally.check(not left, f"left behind: {left}")


def judge_reader(tally: Tally, id: str, received: bytes, stored: bytes) -> None:
    """Of a reader that went to the end: it has all of it, once."""
    same = common(received, stored)
    tally.lost += len(stored) - same
    tally.repeated += len(received) - same
    tally.check(received == stored, f"{id}: a reader got {len(received)} bytes, {len(stored)} are kept, {same} alike")


def _judge_one(here: Ground, tally: Tally, told: Told, seen: Seen, laid: Seen | None) -> None:
    tally.generated += len(seen.text)
    right = common(told.text, seen.text)
    if told.cut and seen.text[right:] == b"\xef\xbf\xbd":
        right = len(seen.text)
    tally.repeated += len(seen.text) - right
    differs = f"{told.id}: stored text differs at byte {right}: {_around(told, seen, right)}"
    tally.check(right == len(seen.text), differs)
    for number, received in enumerate(reader() for reader in told.readers):
        short = len(received) - common(received, seen.text)
        tally.lost += short
        tally.check(not short, f"{told.id}: reader {number} got {len(received)} bytes, kept are {len(seen.text)}")
    if told.whole:
        tally.lost += len(told.text) - right
        ended = seen.state.status is Status.DONE and seen.text == told.text
        tally.check(ended, f"{told.id}: not whole: {seen.state}")
    _judge_end(here, tally, told.id, seen.state)
    if laid is not None:
        same = laid.text == seen.text and (laid.state.status, laid.state.error) == (seen.state.status, seen.state.error)
        before = not laid.state.status.ended and seen.text.startswith(laid.text)
        tally.check(same or before, f"{told.id}: laid over {len(laid.text)} bytes, {laid.state}; kept {seen.state}")


def _around(told: Told, seen: Seen, at: int) -> str:
    return f"{seen.text[at : at + 20]!r} instead of {told.text[at : at + 20]!r}, {seen.state}"


def _judge_end(here: Ground, tally: Tally, id: str, state: Standing) -> None:
    living = state.owner is not None and liveness.alive(here.home, state.owner)
    if state.status is Status.STREAMING and not living:
        tally.endless += 1
        tally.check(False, f"{id}: streaming, and its owner is dead")


def _laid_over(here: Ground, streams: Sequence[Told]) -> dict[str, Seen]:
    """The same while nobody can write."""
    with unwritable(here), here.store(IMPATIENT) as store:
        return {told.id: _seen(store, told.id) for told in streams}


def _seen(store: Store, id: str) -> Seen:
    text, cursor = read(store, id)
    assert cursor.standing is not None
    return Seen(text, cursor.standing)


@contextlib.contextmanager
def unwritable(here: Ground) -> Iterator[None]:
    """Another writer holds the database."""
    with contextlib.closing(sqlite3.connect(here.home.database, isolation_level=None, timeout=5)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _meet_first(here: Ground, tally: Tally, id: str) -> None:
    """Whoever meets a dead owner's stream gives it its end: now one command, now another."""
    words = here.chance.choice([("cat", id), ("cat", id), ("ls",), ("ls", "--json"), ("show", id)])
    asked = here.ask(*words)
    tally.check(asked.process.returncode == 0, f"{words}: exit {asked.process.returncode}: {asked.said[-500:]}")


def _ask_the_commands(here: Ground, tally: Tally, id: str, seen: dict[str, Seen]) -> None:
    """`cat`, `ls`, `show`, and `wait` or `watch`, at once, of streams that have ended."""
    expected = seen[id]
    if not expected.state.status.ended:
        return
    asked = [here.ptstream("cat", id), here.ptstream("ls", "--json"), here.ptstream("show", "--json", id)]
    last = here.chance.choice(["wait", "watch", "watch --live"])
    asked.append(here.ptstream(*last.split(), id))
    here.ended(*asked)
    shown, listed, told, waited = asked
    tally.check(bytes(shown.out.data) == expected.text, f"{id}: cat gives {len(shown.out.data)} bytes")
    for line in bytes(listed.out.data).splitlines():
        _agree(tally, json.loads(line), seen, "ls")
    _agree(tally, json.loads(bytes(told.out.data)), seen, "show")
    _agree_at_exit(tally, waited, expected)
    if last != "wait":
        tally.check(bytes(waited.out.data) == expected.text, f"{id}: {last} gives {len(waited.out.data)} bytes")


def _agree(tally: Tally, fields: dict[str, Any], seen: dict[str, Seen], command: str) -> None:
    if fields["id"] not in seen:
        return
    text, state = seen[fields["id"]].text, seen[fields["id"]].state
    if not state.status.ended:
        return
    said = (fields["status"], fields["bytes"], fields["error"])
    agreed = said == (state.status.value, len(text), state.error)
    tally.endless += not agreed
    tally.check(agreed, f"{fields['id']}: {command} says {said}, the store {state}")


def _agree_at_exit(tally: Tally, actor: Actor, seen: Seen) -> None:
    code = ENDS[seen.state.status].exit_code if seen.state.status in ENDS else 0
    cause = "was cancelled" if seen.state.status is Status.CANCELLED else seen.state.error or ""
    tally.check(
        actor.process.returncode == code and cause in actor.said,
        f"{actor.process.args!r}: exit {actor.process.returncode}, {actor.said!r}, {seen.state}",
    )
