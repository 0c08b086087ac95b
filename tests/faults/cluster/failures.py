"""What happens to servers and machines while text flows: each fault in rounds, on servers that are healed between them.

What was shown anywhere is kept, whatever died; what its machine outlived comes to its generator's end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from tests.faults.cluster.machines import Machines, machines, network
from tests.faults.cluster.nodes import Node, servers
from tests.faults.ears import Ears
from tests.faults.ground import Actor
from tests.faults.runs import Run
from tests.faults.scenes import Pace
from tests.faults.tally import Tally
from tests.postgres import as_other, free_port
from tests.test_postgres import PGBOUNCER

STREAMS = 6

PACE = Pace(size=5_000, rate=300)
"""About two seconds and a half of text."""

FAR = 9.0
"""Seconds without a word after which the database takes a machine to be gone: 6, and what it takes to notice."""

Fault = Callable[[Machines, Tally], None]


def rounds(
    *faults: Fault, streams: int = STREAMS, places: int = 3, cut: bool = False, disk: bool = False
) -> Callable[[Run, Tally, int], None]:
    """The faults in turn, so many times, on the same servers. One cable can be `cut`, the primary's `disk` is small."""

    def run(run: Run, tally: Tally, count: int) -> None:
        with contextlib.ExitStack() as stack:
            ears = Ears()
            stack.callback(ears.close)
            cable = stack.enter_context(network(1)) if cut else None
            nodes = stack.enter_context(servers(ears, ["127.0.0.1", *([cable.outside] if cable else [])], small=disk))
            for number in range(count):
                with run.case(tally, number) as chance:
                    nodes.heal()
                    with machines(nodes, ears, chance, places, network=cable) as all_:
                        all_.begin(streams, PACE)
                        all_.moment()
                        faults[number % len(faults)](all_, tally)
                        tally.times += 1
                        all_.judge(tally)

    return run


# --- servers


def primary(all_: Machines, _: Tally) -> None:
    """It dies, a standby is promoted, and it comes back as a standby."""
    nodes = all_.servers
    nodes.primary.kill()
    all_.ears.pause(all_.chance.choice([0, 0.5, 3]))
    old = nodes.promote()
    all_.ears.pause(all_.chance.uniform(0, 1))
    nodes.rejoin(old)


def standby(all_: Machines, tally: Tally) -> None:
    """One of the two dies: nobody sees anything of it."""
    all_.chance.choice(all_.servers.standbys).kill()
    before = all_.received
    all_.ears.until(lambda: all_.received > before, "text, without a standby")
    for machine in all_.all:
        all_.say(tally, machine, ["daemon", "status"], lambda asked: "does not answer" not in asked.said)


def standbys(all_: Machines, tally: Tally) -> None:
    """Both die: writers pause and say so, readers keep what they have; when one is back, all goes on."""
    for node in all_.servers.standbys:
        node.kill()
    machine = all_.chance.choice(all_.all)
    if all_.chance.random() < 0.7:
        all_.ears.until(lambda: b"do its standbys live" in _status(machine.ask("daemon", "status")), "a word of it")
        before = all_.received
        all_.ears.pause(0.3)
        tally.check(all_.received == before, f"{all_.received - before} bytes were shown that one disk alone has")
        asked = machine.ask("ls", "-q")
        tally.check(asked.process.returncode == 0, f"ls: {asked.said!r}")
    all_.chance.choice(all_.servers.standbys).start(all_.ears)


def _status(asked: Actor) -> bytes:
    return bytes(asked.out.data + asked.err.data)


def zombie(all_: Machines, _: Tally) -> None:
    """The primary stops and another is promoted; then it goes on, as if nothing were, until it is ended."""
    nodes = all_.servers
    nodes.primary.signal(signal.SIGSTOP)
    all_.ears.pause(all_.chance.uniform(0, 2))
    old = nodes.promote()
    all_.ears.pause(all_.chance.uniform(0, 3))
    old.signal(signal.SIGCONT)
    all_.ears.pause(all_.chance.uniform(0, 3))
    nodes.rejoin(old)


def full(all_: Machines, tally: Tally) -> None:
    """The primary's disk is full; it may even die of it. When there is space, all goes on."""
    node = all_.servers.primary
    ballast = node.data / "ballast"
    with _full(node, ballast):
        all_.ears.pause(all_.chance.uniform(1, 4))
    tally.notes[:] = [f"free again: {node.name} {'runs' if node.runs else 'had ended'}"]
    all_.ears.until(lambda: _up(node), "the server")


def _up(node: Node) -> bool:
    """Whether it can be asked; started, when it has died of it."""
    if not node.runs:
        node.spawn()
    return node.answers()


@contextlib.contextmanager
def _full(node: Node, ballast: Path) -> Iterator[None]:
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(65536)):
                pass
        yield
    finally:
        ballast.unlink()


def snapshot(all_: Machines, tally: Tally) -> None:
    """Somebody has forgotten a transaction, and a dump is made."""
    url = all_.servers.primary.url
    with psycopg.connect(url) as forgotten:
        forgotten.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        forgotten.execute("SELECT count(*) FROM streams")
        all_.servers.primary.run("pg_dump", "-d", url, "-f", os.devnull)
        all_.ears.until(lambda: all(body.whole for bodies in all_.bodies.values() for body in bodies), "all ends")
        tally.check(forgotten.execute("SELECT true").fetchall(), "the snapshot was not held")


def connections(all_: Machines, tally: Tally) -> None:
    """The server has no connection left while daemons have to connect anew: they may lose their streams."""
    node = all_.servers.primary
    all_.may_end()
    with contextlib.ExitStack() as held:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ptstream'"
        with psycopg.connect(node.url, autocommit=True) as administrator:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(psycopg.connect(node.url))
            administrator.execute(kill.encode())
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(psycopg.connect(node.url))
        machine = all_.chance.choice(all_.all)
        all_.say(
            tally,
            machine,
            ["ls"],
            lambda asked: (
                asked.process.returncode in (0, 4, 69)
                and asked.said.count("\n") <= 1
                and ("no connection left" in asked.said or asked.process.returncode == 0)
            ),
        )
        all_.ears.pause(all_.chance.uniform(0, 3))


# --- machines


def daemon(all_: Machines, _: Tally) -> None:
    """A machine fails; its streams are ended by whoever reads them."""
    all_.dies(all_.chance.choice(all_.all))


def daemon_and_primary(all_: Machines, tally: Tally) -> None:
    """Both at once, in either order."""
    one = all_.chance.choice(all_.all)
    if all_.chance.random() < 0.5:
        all_.dies(one)
        primary(all_, tally)
    else:
        all_.servers.primary.kill()
        all_.dies(one)
        all_.servers.rejoin(all_.servers.promote())


def cut_off(all_: Machines, tally: Tally) -> None:
    """A machine is cut off until it is taken to be dead, or not so long, and comes back."""
    away = all_.all[-1]
    cable = all_.network
    assert cable
    long = all_.chance.random() < 0.6
    all_.strict = False
    began = time.monotonic()
    cable.cut()
    try:
        if long:
            for told in away.driven:
                told.whole = False
            all_.ears.pause(FAR + all_.chance.uniform(0, 4))
        else:
            all_.ears.pause(all_.chance.uniform(0, 2))
    finally:
        cable.mend()
    tally.notes[:] = [f"last cut: {time.monotonic() - began:.1f} s"]


# --- a pooler


def pooler(run: Run, tally: Tally, count: int) -> None:
    """A pool of sessions stands between, and dies and comes back."""
    with contextlib.ExitStack() as stack:
        ears = Ears()
        stack.callback(ears.close)
        nodes = stack.enter_context(servers(ears))
        pool = stack.enter_context(_Pooler.of(nodes.primary, ears))
        for number in range(count):
            with run.case(tally, number) as chance, machines(nodes, ears, chance, url=pool.url) as all_:
                all_.begin(STREAMS, PACE)
                all_.moment()
                all_.may_end()
                pool.stop()
                all_.ears.pause(chance.uniform(0, 3))
                pool.start()
                tally.times += 1
                all_.judge(tally)


class _Pooler:
    """PgBouncer before a server."""

    def __init__(self, folder: Path, node: Node, ears: Ears) -> None:
        self._ears = ears
        self._port = free_port()
        self._ini = folder / "ini"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "users").write_text('"postgres" ""\n')
        self._ini.write_text(
            f"[databases]\n* = host={node.data.parent} port={node.port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\nauth_type = any\n"
            f"auth_file = {folder / 'users'}\npool_mode = session\ndefault_pool_size = 80\n"
            "ignore_startup_parameters = options\n"
        )
        folder.chmod(0o755)

    @property
    def url(self) -> str:
        """The server by way of it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    @classmethod
    @contextlib.contextmanager
    def of(cls, node: Node, ears: Ears) -> Iterator[_Pooler]:
        """One that runs; it is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="pts-pool-") as folder:
            made = cls(Path(folder), node, ears)
            made.start()
            try:
                yield made
            finally:
                made.stop()

    def start(self) -> None:
        """Start it."""
        line = ["setpriv", "--pdeathsig", "KILL", *as_other()[1:], str(PGBOUNCER), "-q", str(self._ini)]
        self._process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._ears.until(self._answers, "a pooler that answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False

    def stop(self) -> None:
        """Kill it."""
        if self._process:
            self._process.kill()
            self._process.wait()


def no_network() -> str | None:
    """Why no machine can be cut off."""
    if os.geteuid() != 0:
        return "takes root: it makes networks"
    made = subprocess.run(["ip", "netns", "add", f"pts{os.getpid()}"], capture_output=True, text=True)
    if made.returncode:
        return f"no network can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", f"pts{os.getpid()}"], check=True)
    return None
