"""Machines that share the streams of one PostgreSQL: homes with a daemon each, and what is driven and read there."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import anyio

from ptstream.engine import open_engine
from ptstream.errors import ENDS
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, State, Status
from tests.faults.cluster.nodes import Servers
from tests.faults.ears import Ears, Late
from tests.faults.ground import Actor, Body, Ground
from tests.faults.scenes import Pace, heard, text_file
from tests.faults.tally import Tally
from tests.faults.text import common
from tests.faults.verdict import Told

RECOVERED = 30.0
"""Seconds in which a stream has an end, after whatever happened: an owner has 10 s to come back after a failover."""

EXIT_STORE = 4

_numbers = itertools.count()


@dataclass(eq=False, slots=True)
class Machine(Ground):
    """A machine: its home, and its daemon."""

    server: Actor | None = None
    namespace: str | None = None
    driven: list[Told] = field(default_factory=list)
    """What its daemon drives."""

    def spawn(self, argv: Sequence[str], **more: object) -> Actor:
        """See Ground's; in the machine's own network, if it has one."""
        if self.namespace is not None:
            argv = ["ip", "netns", "exec", self.namespace, *argv]
        return Ground.spawn(self, argv, **more)  # type: ignore[arg-type]

    def die(self) -> None:
        """All its processes do."""
        for actor in self.actors:
            actor.kill()
        self.kill_strays()


@dataclass(eq=False, slots=True)
class Machines:
    """Some of them, and the streams that they drive and read."""

    servers: Servers
    ears: Ears
    chance: random.Random
    all: list[Machine]
    network: Network | None = None
    """That of the last of them, if it has one of its own."""
    strict: bool = True
    """Whether a command that has not reached the servers yet must wait for them."""
    bodies: dict[str, list[Body]] = field(default_factory=dict)
    watchers: dict[str, list[Actor]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def begin(self, count: int, pace: Pace) -> None:
        """So many streams, each created and driven at one machine, and read live at another and by commands."""
        made = anyio.run(self._create, count, pace)
        for number, told in enumerate(made):
            driving = self.all[number % len(self.all)]
            reading = self.all[(number + 1) % len(self.all)]
            driving.drive(told.id)
            driving.driven.append(told)
            self._read(told, reading.live(told.id))
            if number < len(self.all):
                self._watch(told, reading)
        self.told += made

    def _read(self, told: Told, body: Body) -> None:
        self.bodies.setdefault(told.id, []).append(body)
        told.readers.append(heard(body))

    def _watch(self, told: Told, at: Machine) -> None:
        watcher = at.ptstream("watch", *self.chance.choice([[], ["--live"]]), told.id)
        self.watchers.setdefault(told.id, []).append(watcher)
        told.readers.append(heard(watcher.out))

    async def _create(self, count: int, pace: Pace) -> list[Told]:
        made = []
        async with open_engine(self.all[0].home) as engine:
            for _ in range(count):
                path, text = text_file(self.all[0], f"s{next(_numbers)}", pace.size)
                model = f"replay:{path}?rate={pace.rate}&size={pace.characters}"
                stream = await engine.create(GenerationRequest(prompt="x", model=model))
                made.append(Told(stream.id, text, whole=True))
        return made

    # --- moments

    @property
    def received(self) -> int:
        """Bytes that live readers have."""
        return sum(len(body.data) for bodies in self.bodies.values() for body in bodies)

    def moment(self) -> None:
        """Wait until a random part of all the text has come."""
        wanted = int(sum(len(told.text) for told in self.told) * self.chance.uniform(0.05, 0.6))
        self.ears.until(lambda: self.received >= wanted, f"byte {wanted} of all")

    def dies(self, machine: Machine) -> None:
        """A machine fails: what it drove need not come to its generator's end."""
        machine.die()
        for told in machine.driven:
            told.whole = False

    def may_end(self) -> None:
        """No owner can prove that it lives: any stream may have an owner's death as its end."""
        self.strict = False
        for told in self.told:
            told.whole = False

    # --- after it

    def judge(self, tally: Tally) -> None:
        """Every stream has an end, all that anybody received is kept, and readers to the end have all of it, once."""
        states = anyio.run(self._seen, tally)
        for told in self.told:
            state, text = states[told.id]
            self._judge_one(tally, told, state, text)
        self._ask_a_machine(tally, states)

    async def _seen(self, tally: Tally) -> dict[str, tuple[State, bytes]]:
        """Where the streams stand, waiting for their ends."""
        found = {}
        async with open_engine(self.all[0].home) as engine:
            for told in self.told:
                with anyio.move_on_after(RECOVERED) as scope:
                    await engine.ended(told.id)
                state = await engine.recovered(told.id)
                if scope.cancelled_caught:
                    tally.endless += 1
                    tally.check(False, f"{told.id}: no end after {RECOVERED:g} s: {state}")
                found[told.id] = state, await engine.text(told.id)
        return found

    def _judge_one(self, tally: Tally, told: Told, state: State, text: bytes) -> None:
        tally.generated += len(text)
        right = common(told.text, text)
        tally.repeated += len(text) - right
        tally.check(right == len(text), f"{told.id}: stored text differs at byte {right}: {state}")
        if told.whole:
            tally.lost += len(told.text) - right
            tally.check(state.status is Status.DONE and text == told.text, f"{told.id}: not whole: {state}")
        tally.check(state.bytes == len(text), f"{told.id}: {len(text)} bytes, {state}")
        self._hear_out(tally, told, state)
        for number, received in enumerate(reader() for reader in told.readers):
            short = len(received) - common(received, text)
            tally.lost += short
            tally.check(not short, f"{told.id}: reader {number} got {len(received)} bytes, kept are {len(text)}")
        for body in self.bodies.get(told.id, ()):
            if body.whole:
                tally.lost += len(text) - len(body.data)
                tally.check(body.data == text, f"{told.id}: a body ended at {len(body.data)} of {len(text)}")

    def _hear_out(self, tally: Tally, told: Told, state: State) -> None:
        """What reads on comes to the end; but for those whose machine has died."""
        for body in self.bodies.get(told.id, ()):
            with contextlib.suppress(Late):
                self.ears.until(lambda b=body: b.whole or not b.open, "the end of a body", RECOVERED)  # type: ignore[misc]
            tally.check(body.whole or not body.open, f"{told.id}: a body stays open after {state}")
        for watcher in self.watchers.get(told.id, ()):
            with contextlib.suppress(Late):
                self.ears.until(lambda w=watcher: w.gone, "the end of watch", RECOVERED)  # type: ignore[misc]
            if not watcher.gone:
                tally.endless += 1
            code = ENDS[state.status].exit_code if state.status in ENDS else 0
            never = not self.strict and not watcher.out.data and watcher.process.returncode == EXIT_STORE
            ended = never or watcher.process.returncode in (code, -9)
            tally.check(ended, f"{told.id}: watch: exit {watcher.process.returncode}, {watcher.said!r}, {state}")
            tally.check("Traceback" not in watcher.said, watcher.said)

    def _ask_a_machine(self, tally: Tally, states: dict[str, tuple[State, bytes]]) -> None:
        """A command of any machine says the same."""
        told = self.chance.choice(self.told)
        asked = self.chance.choice(self.all).ask("cat", told.id)
        tally.check(bytes(asked.out.data) == states[told.id][1], f"{told.id}: cat gives {len(asked.out.data)} bytes")

    def say(self, tally: Tally, machine: Machine, words: Sequence[str], wanted: Callable[[Actor], object]) -> Actor:
        """What a command says at a machine, which must be as wanted."""
        asked = machine.ask(*words)
        tally.check(wanted(asked), f"{words}: exit {asked.process.returncode}, {asked.said!r}")
        return asked


@contextlib.contextmanager
def machines(
    servers: Servers,
    ears: Ears,
    chance: random.Random,
    count: int = 3,
    *,
    network: Network | None = None,
    url: str | None = None,
) -> Iterator[Machines]:
    """So many machines with a daemon each; the last one in a network of its own, if there is one. All goes afterwards.

    They reach the servers by `url`, unless they name them themselves.
    """
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(count):
            own = network if number == count - 1 else None
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pts-faults-", ignore_cleanup_errors=True))
            store = url or (servers.url(own.outside) if own else servers.url())
            machine = Machine(
                folder, Home(os.path.join(folder, "home"), store), ears, chance, {"PTSTREAM_STORE": store}
            )
            machine.namespace = own.name if own else None
            stack.callback(machine.clear)
            made.append(machine)
        for machine in made:
            machine.server = machine.daemon()
        yield Machines(servers, ears, chance, made, network)


@dataclass(frozen=True, slots=True)
class Network:
    """The network of one machine: a cable to the servers' one, which can be cut."""

    name: str
    outside: str
    """The address of the servers, as the machine sees them."""
    cable: str

    def cut(self) -> None:
        """Nothing goes either way any more, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """All goes again."""
        _ip("link", "set", self.cable, "up")


@contextlib.contextmanager
def network(number: int) -> Iterator[Network]:
    """A network for one machine. Takes root."""
    name = f"pts{os.getpid()}-{number}"
    cable, inner = f"po{os.getpid() % 100_000}-{number}", f"pi{os.getpid() % 100_000}-{number}"
    outside, inside = (f"10.{200 + number}.{os.getpid() % 250}.{last}" for last in (1, 2))
    _ip("netns", "add", name)
    try:
        _ip("link", "add", cable, "type", "veth", "peer", "name", inner, "netns", name)
        _ip("addr", "add", f"{outside}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        for words in (
            ("addr", "add", f"{inside}/30", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *words)
        yield Network(name, outside, cable)
    finally:
        subprocess.run(["ip", "link", "del", cable], capture_output=True)
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
