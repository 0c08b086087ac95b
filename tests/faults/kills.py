"""`kill -9` at random moments: the daemon, the driver, its terminal, the watcher, `tee`, a program of one's own.

Each function does about `count` kills and says in its tally how many there were: of processes that still lived.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from ptstream.engine.sqlite.queries import Standing
from ptstream.errors import ENDS
from ptstream.streams import whole
from tests.faults.ears import Feeder
from tests.faults.ground import PTSTREAM, Actor, Ground, ground, read, terminal
from tests.faults.runs import Run
from tests.faults.scenes import Pace, await_moment, heard, moment, moments, pending, text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Seen, Told, judge, judge_reader, nothing_left

AT_ONCE = 8
"""Commands that run at the same time: each takes a third of a second of a processor to start."""


TRIES = 3
"""Rounds for each kill, at most: some find everything over."""


def pace_of(streams: int, *, quick: bool = False) -> Pace:
    """The more streams at once, the slower each; all of them take some seconds."""
    pace = Pace(50_000, 900) if streams == 1 else Pace(16_000, 300) if streams <= AT_ONCE else Pace(4_000, 60)
    return replace(pace, size=pace.size // 3) if quick else pace


# --- the daemon


def daemon(run: Run, tally: Tally, count: int, streams: int) -> None:
    """A driver's process, readers over the socket and watchers look on; all of them go to the end by themselves."""
    for number in range(count):
        with run.case(tally, number) as chance, ground(chance) as here:
            _kill_daemon(here, tally, streams)


def _kill_daemon(here: Ground, tally: Tally, streams: int) -> None:
    told = pending(here, streams, Pace(12_000, 900) if streams == 1 else pace_of(streams))
    killed = here.daemon()
    driver = here.ptstream("drive", told[0].id)
    watcher = here.ptstream("watch", *here.chance.choice([[], ["--live"]]), told[0].id)
    bodies = []
    for stream in told[1:] or told:
        here.drive(stream.id)
        bodies.append(here.live(stream.id))
        stream.readers.append(heard(bodies[-1]))
    told[0].readers += [heard(driver.out), heard(watcher.out)]
    moment(here, lambda: len(bodies[0].data), len(told[-1].text), lambda: not bodies[0].open)
    killed.kill()
    tally.times += 1
    seen = judge(here, tally, told, quiet=False)
    here.ended(driver, watcher)
    if seen[told[0].id].state.status.ended:
        _went_to_the_end(tally, told[0].id, seen[told[0].id], [driver, watcher])
    here.kill_strays()  # the driver has started another daemon, if it found none
    if seen[told[0].id].state.status.ended:
        nothing_left(here, tally)
    else:
        judge(here, tally, told[:1])


def _went_to_the_end(tally: Tally, id: str, seen: Seen, actors: list[Actor]) -> None:
    """Each has all of the text, once, and the exit code of its end."""
    for actor in actors:
        judge_reader(tally, id, bytes(actor.out.data), seen.text)
        expected = _exit_code(seen.state)
        tally.check(actor.process.returncode == expected, f"{actor.process.args!r}: {actor.process.returncode}")
        tally.check("Traceback" not in actor.said, actor.said)


def _exit_code(state: Standing) -> int:
    return ENDS[state.status].exit_code if state.status in ENDS else 0


# --- those who only look


def driver(run: Run, tally: Tally, count: int, streams: int) -> None:
    """Of many drivers some are killed: the streams go on, and the others see nothing of it."""
    _kill_clients(run, tally, count, streams, lambda here, id: here.ptstream("drive", id))


def watcher(run: Run, tally: Tally, count: int, live: bool) -> None:
    """The same with watchers."""
    words = ["watch", "--live"] if live else ["watch"]
    _kill_clients(run, tally, count, AT_ONCE, lambda here, id: here.ptstream(*words, id))


def hang_up(run: Run, tally: Tally, count: int, streams: int) -> None:
    """The driver's terminal goes: its process gets SIGHUP, and detaches."""
    _kill_clients(run, tally, count, streams, _on_terminal)


def _on_terminal(here: Ground, id: str) -> Actor:
    ours, other = terminal()
    try:
        return here.ptstream("drive", "--raw", id, pty=(ours, other))
    finally:
        os.close(other)


def _kill_clients(run: Run, tally: Tally, count: int, streams: int, start: Callable[[Ground, str], Actor]) -> None:
    for number in range(TRIES * count):
        if tally.times >= count:
            break
        with run.case(tally, number) as chance, ground(chance) as here:
            told = pending(here, streams, pace_of(streams, quick=run.quick))
            _kill_some_clients(here, tally, told, min(count - tally.times, AT_ONCE), start)


def _kill_some_clients(
    here: Ground, tally: Tally, told: Sequence[Told], count: int, start: Callable[[Ground, str], Actor]
) -> None:
    server = here.daemon()
    for stream in told:
        here.drive(stream.id)
    chosen = [told[number % len(told)] for number in range(count)]
    clients = [start(here, stream.id) for stream in chosen]
    stays = here.ptstream("drive", chosen[0].id)
    order = moments(here, count, len(told[0].text))
    for stream, client, wanted in zip(chosen, clients, order, strict=True):
        await_moment(here, wanted, lambda c=client: len(c.out.data), lambda c=client: c.gone)  # type: ignore[misc]
        tally.times += not client.gone  # one that has come to the end is looked at, but was not killed
        _lose(client, start)
        _kept_at_once(here, tally, stream, client)
    for stream in told:
        stream.whole = True
        here.ears.until(lambda s=stream: _ended(here, s.id), "the end")  # type: ignore[misc]
    here.ended(stays, *clients)
    server.kill()
    seen = judge(here, tally, told, quiet=False)
    judge_reader(tally, chosen[0].id, bytes(stays.out.data), seen[chosen[0].id].text)


def _lose(client: Actor, start: Callable[[Ground, str], Actor]) -> None:
    """Kill it, or take its terminal away."""
    client.out.drain()
    if start is _on_terminal:
        client.out.close()
    else:
        client.kill()


def _kept_at_once(here: Ground, tally: Tally, stream: Told, client: Actor) -> None:
    """What it had received is what anybody can read now."""
    received = client.out.drain()
    stream.readers.append(lambda: received)
    with here.store() as store:
        text, _ = read(store, stream.id)
    tally.lost += 0 if text.startswith(received) else len(received)
    tally.check(text.startswith(received), f"{stream.id}: received {len(received)} bytes, there are {len(text)}")
    if here.chance.random() < 0.2:
        shown = bytes(here.ask("cat", stream.id).out.data)
        tally.check(shown.startswith(received), f"{stream.id}: cat gives {len(shown)} of {len(received)} bytes")


def _ended(here: Ground, id: str) -> bool:
    with here.store() as store:
        return store.state(id).status.ended


# --- owners without a daemon


def tee(run: Run, tally: Tally, count: int) -> None:
    """Several at once, each fed by us in pieces that cut characters."""
    for number in range(TRIES * count):
        if tally.times >= count:
            break
        with run.case(tally, number) as chance, ground(chance) as here:
            _kill_some_tees(here, tally, min(count - tally.times, AT_ONCE))


def _kill_some_tees(here: Ground, tally: Tally, count: int) -> None:
    fed = [_fed_tee(here, number) for number in range(count)]
    for (_, actor), wanted in zip(fed, moments(here, count, len(fed[0][0].text)), strict=True):
        await_moment(here, wanted, lambda a=actor: len(a.out.data), lambda a=actor: a.gone)  # type: ignore[misc]
        tally.times += not actor.gone
        actor.kill()
    named = []
    with here.store() as store:
        for stream, actor in fed:
            if words := actor.said.split():  # it says its id before the first byte
                stream.id = words[0]
                store.get(stream.id)
                named.append(stream)
            else:
                tally.check(not actor.out.data, "tee showed text before its id")
    if named:
        judge(here, tally, named)


def _fed_tee(here: Ground, number: int) -> tuple[Told, Actor]:
    _, text = text_file(here, f"t{number}", 40_000)
    reading, writing = os.pipe()
    actor = here.ptstream("tee", "--name", f"tee{number}", stdin=reading)
    os.close(reading)
    feeder = Feeder(here.ears, writing, text, here.chance.choice([1, 5, 63, 700]), here.chance.uniform(6e3, 12e3))
    here.feeders.append(feeder)
    return Told("", text, [lambda: _whole_characters(heard(actor.out)())]), actor


def _whole_characters(passed: bytes) -> bytes:
    """What `tee` had passed on, as far as it is text: bytes go on at once, and no text has half a character."""
    return passed[: whole(passed)]


def program(run: Run, tally: Tally, count: int, kind: str, streams: int) -> None:
    """A program that uses the library is killed; what its own loop and a watcher had received is kept."""
    for number in range(count):
        with run.case(tally, number) as chance, ground(chance) as here:
            _kill_program(here, tally, kind, streams)


def _kill_program(here: Ground, tally: Tally, kind: str, streams: int) -> None:
    pace = Pace(12_000, 900) if streams == 1 else pace_of(streams)
    files = [text_file(here, f"p{number}", pace.size) for number in range(streams)]
    words = [here.home.path, kind, str(pace.rate), str(pace.characters), *(path for path, _ in files)]
    actor = here.spawn([sys.executable, "-P", "-m", "tests.faults.program", *words])
    size = sum(len(text) for _, text in files)
    moment(here, lambda: _received(actor)[1], size, lambda: actor.gone)
    tally.times += not actor.gone
    actor.kill()
    offsets, _ = _received(actor)
    with here.store() as store:
        told = [
            _of_program(store.find(name).id, offset, files[number][1]) for name, (number, offset) in offsets.items()
        ]
    if told:
        judge(here, tally, told)


def _of_program(id: str, offset: int, text: bytes) -> Told:
    return Told(id, text, [lambda: text[:offset]])


def _received(actor: Actor) -> tuple[dict[str, tuple[int, int]], int]:
    """What its lines say: each stream's text and how far its loop has come; and the sum."""
    offsets: dict[str, tuple[int, int]] = {}
    *lines, _ = bytes(actor.out.data).decode().split("\n")
    for line in lines:
        id, number, offset = line.split()
        offsets[id] = (int(number), int(offset))
    return offsets, sum(offset for _, offset in offsets.values())


# --- by the N-th system call


def system_call(run: Run, tally: Tally, count: int, owner: str) -> None:
    """strace lets an owner, or whoever recovers its streams, die as it enters the N-th of a system call.

    One that lives on, since it made fewer such calls, is looked at too, but not counted.
    """
    for number in range(TRIES * count):
        if tally.times >= count:
            break
        with run.case(tally, number) as chance, ground(chance) as here:
            _kill_by_call(here, tally, owner)


CALLS = (
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "openat",
    "close",
    "unlink",
    "flock",
    "fcntl",
    "ftruncate",
    "rename",
)
"""What the path of a piece to the disk consists of, and the end and its clearing away."""


def _kill_by_call(here: Ground, tally: Tally, owner: str) -> None:
    call, nth = here.chance.choice(CALLS), here.chance.choice([1, 2, 3, here.chance.randrange(4, 40)])
    told = pending(here, 1 if owner == "daemon" else 3, Pace(size=1_500, rate=2000))
    server = here.daemon()
    if owner == "daemon":
        _injected(here, server, call, nth)  # and its children die so, too: the commands
    for stream in told:
        stream.cut = owner == "daemon"
        _drive_if_alive(here, stream)
    if owner == "daemon":
        here.ears.until(lambda: server.gone or all(_ended(here, stream.id) for stream in told), "death or the end")
    else:
        here.ears.pause(here.chance.uniform(0.05, 0.4))
    survived = not server.gone
    server.kill()
    if owner == "recoverer":
        asked = here.spawn(["strace", "-f", *_injection(call, nth), *_recoverer(here, told[0].id)])
        here.ended(asked)
        survived = asked.process.returncode == 0
    tally.times += not survived
    judge(here, tally, told)


def _drive_if_alive(here: Ground, stream: Told) -> None:
    try:
        here.drive(stream.id)
        stream.readers.append(heard(here.live(stream.id)))
    except OSError:
        return


def _recoverer(here: Ground, id: str) -> list[str]:
    return [*PTSTREAM, *here.chance.choice([["cat", id], ["ls"]])]


def _injection(call: str, nth: int) -> list[str]:
    return ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]


def _injected(here: Ground, victim: Actor, call: str, nth: int) -> None:
    """From now on the victim dies as one of its threads enters the n-th such call."""
    tracer = here.spawn(["strace", "-f", "-p", str(victim.process.pid), *_injection(call, nth)])
    here.ears.until(lambda: b"attached" in tracer.err.data or tracer.gone, "strace attaches")
    if tracer.gone and not victim.gone:
        raise subprocess.SubprocessError(f"strace: {tracer.said}")
