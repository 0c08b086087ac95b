"""Coming back, and who is left alone: readers whose daemon dies go on from their offset; living owners keep theirs.

The streams here belong to owners that live on (`tee`, a program), read through daemons that come and go.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from ptstream.streams import Status
from tests.faults.ears import Feeder
from tests.faults.ground import Actor, Body, Ground, ground
from tests.faults.runs import Run
from tests.faults.scenes import heard, moment, text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge, judge_reader

RATE = 12_000
"""Bytes a second that a text takes to come, here."""


def readers(run: Run, tally: Tally, count: int) -> None:
    """`drive` attached to a stream that goes on, and a client that asks again by offset, while daemons die."""
    for number in range(count):
        with run.case(tally, number) as chance, ground(chance) as here:
            _kill_what_readers_read_through(here, tally)


def _kill_what_readers_read_through(here: Ground, tally: Tally) -> None:
    told, owner, feeder = fed_tee(here, 24_000)
    daemon = here.daemon()
    attached = here.ptstream("drive", told.id)
    client = _Client(here, told.id)
    told.readers += [heard(attached.out), client.received]
    for _ in range(here.chance.choice([1, 1, 2])):
        moment(here, lambda: len(attached.out.data), len(told.text), lambda: not feeder.open)
        daemon.kill()
        here.kill_strays()  # the driver may have been faster
        tally.times += 1
        if here.chance.random() < 0.7:
            daemon = here.daemon()
            client.go_on()
    here.ended(owner, attached)
    client.finish()
    daemon.kill()
    here.kill_strays()
    told.whole = True
    seen = judge(here, tally, [told])
    for received in (bytes(attached.out.data), client.received()):
        judge_reader(tally, told.id, received, seen[told.id].text)
    tally.check(attached.process.returncode == 0, f"drive: {attached.process.returncode} {attached.said!r}")


class _Client:
    """Reads over HTTP, and after a broken connection asks again from the number of bytes it has."""

    def __init__(self, here: Ground, id: str) -> None:
        self._here, self._id = here, id
        self._before = b""
        self._body: Body | None = here.live(id)

    def received(self) -> bytes:
        """All of it, over all connections."""
        return self._before + (self._body.drain() if self._body else b"")

    def go_on(self) -> None:
        """Ask the daemon that is there now. A body that had reached the end stays."""
        if self._body is not None and self._body.whole:
            return
        self._before, self._body = self.received(), None
        self._body = self._here.live(self._id, len(self._before))

    def finish(self) -> None:
        """To the end; through a new daemon if this one is dead."""
        assert self._body is not None
        self._here.ears.until(lambda: not self._open, "the end of a body or of its connection")
        if not self._body.whole:
            last = self._here.daemon()
            self.go_on()
            self._here.ears.until(lambda: not self._open, "the end of the last body")
            last.kill()

    @property
    def _open(self) -> bool:
        return self._body is not None and self._body.open and not self._body.whole


def living(run: Run, tally: Tally, count: int) -> None:
    """A daemon that starts and an `rm` that sweeps reap nobody's living streams, stopped processes' included."""
    for number in range(count):
        with run.case(tally, number) as chance, ground(chance) as here:
            _sweep_among_the_living(here, tally)


def _sweep_among_the_living(here: Ground, tally: Tally) -> None:
    told, tee, _ = fed_tee(here, 8_000)
    path, text = text_file(here, "program", 8_000)
    words = [here.home.path, here.chance.choice(["drive", "persist"]), "400", "9", path]
    program = here.spawn([sys.executable, "-P", "-m", "tests.faults.program", *words])
    here.ears.until(lambda: program.out.data.count(b"\n") > 3 or program.gone, "a program that drives")
    other = Told(_id_of(here, program), text)
    stopped = here.chance.choice([[], [tee], [program], [tee, program]])
    _signal(stopped, signal.SIGSTOP)
    here.daemon().kill()  # it has settled and swept before it answers
    with here.store() as store:
        store.delete(store.create().id)
        here.ask("rm", store.create().id)
        for stream in (told, other):
            state = store.state(stream.id)
            alive = state.status is Status.STREAMING or state.status is Status.DONE
            tally.check(alive, f"{stream.id} of a living owner was ended: {state}")
    tally.times += 1
    _signal(stopped, signal.SIGCONT)
    here.ended(tee, program)
    told.whole = other.whole = True
    judge(here, tally, [told, other])


def _signal(actors: Sequence[Actor], number: int) -> None:
    for actor in actors:
        actor.signal(number)


def _id_of(here: Ground, program: Actor) -> str:
    with here.store() as store:
        return store.find(bytes(program.out.data).decode().split()[0]).id


def fed_tee(here: Ground, size: int) -> tuple[Told, Actor, Feeder]:
    """A `tee` that has shown something and goes on, its stream, and what feeds it."""
    _, text = text_file(here, "tee", size)
    reading, writing = os.pipe()
    actor = here.ptstream("tee", stdin=reading)
    os.close(reading)
    feeder = Feeder(here.ears, writing, text, here.chance.choice([5, 63, 700]), RATE)
    here.feeders.append(feeder)
    here.ears.until(lambda: actor.out.data or actor.gone, "a tee that shows something")
    return Told(actor.said.split()[0], text, [heard(actor.out)]), actor, feeder
