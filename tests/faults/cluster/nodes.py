"""A primary and two synchronous standbys, and what a failover manager does with them: promote, rejoin.

A commit waits for one of the others, whichever is the primary. Server processes die with the harness.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.ears import Ears
from tests.postgres import as_other, free_port, needed

QUICK = """
fsync = off
full_page_writes = off
"""
"""For faults that no disk survives less: processes are killed, not machines."""

SETTINGS = """
shared_buffers = 32MB
max_connections = 100
wal_level = replica
wal_keep_size = 256MB
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 100ms
hot_standby_feedback = off
"""

ACCESS = """
local all all trust
local replication all trust
host all all 127.0.0.1/32 trust
host all all 10.0.0.0/8 trust
"""

DISK = "400m"

NAMES = ("n1", "n2", "n3")

PASSED = "pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
"""How far a standby has come."""


class Node:
    """One server: its files in a directory of its own, its port, and its process while it runs."""

    def __init__(self, folder: Path, name: str, addresses: Sequence[str], *, durable: bool) -> None:
        self.name = name
        self._settings = SETTINGS if durable else SETTINGS + QUICK
        self.data = folder / name
        self.port = free_port()
        self.addresses = addresses
        self._folder = folder
        self._programs = needed()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server itself, as its administrator."""
        return f"host={self._folder} port={self.port} user=postgres dbname=postgres connect_timeout=5"

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """What a statement of the administrator's gives. Raises psycopg.Error."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str, *words: str) -> None:
        """Run one of the server's programs to its end."""
        line = [*as_other(), str(self._programs / program), *words]
        done = subprocess.run(line, cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1000:]

    def configure(self) -> None:
        """Write the settings in which the servers differ."""
        others = ", ".join(name for name in NAMES if name != self.name)
        (self.data / "pg_hba.conf").write_text(ACCESS)
        (self.data / "own.conf").write_text(
            f"{self._settings}\nport = {self.port}\nlisten_addresses = '{','.join(self.addresses)}'\n"
            f"unix_socket_directories = '{self._folder}'\nsynchronous_standby_names = 'ANY 1 ({others})'\n"
        )
        base = self.data / "postgresql.conf"
        if "own.conf" not in base.read_text():
            base.write_text(base.read_text() + "\ninclude = 'own.conf'\n")

    def start(self, ears: Ears) -> None:
        """Start it; returns when it can be asked."""
        self.spawn()
        ears.until(self.answers, f"{self.name}, which starts")

    def spawn(self) -> None:
        """Start it."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        line = ["setpriv", "--pdeathsig", "KILL", *as_other()[1:]]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*line, str(self._programs / "postgres"), "-D", str(self.data)],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether it can be asked. Raises AssertionError when it has ended."""
        assert self.runs, (self._folder / f"{self.name}.log").read_text()[-300:]
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.sql("SELECT true"))
        return False

    def signal(self, number: int) -> None:
        """To all its processes."""
        if self._process and self._process.poll() is None:
            for pid in [self._process.pid, *_children(self._process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill(self) -> None:
        """As a machine that fails."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def end(self) -> None:
        """End it in an orderly way, without waiting for its clients."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def cpu(self) -> float:
        """Seconds of processors that it has taken so far, its processes that have ended included."""
        assert self._process
        own, *children = [_ticks(pid) for pid in [self._process.pid, *_children(self._process.pid)]]
        return (sum(own) + sum(user + system for user, system, *_ in children)) / os.sysconf("SC_CLK_TCK")

    def copy_of(self, primary: Node) -> None:
        """Its files anew, from the primary's."""
        for path in self.data.iterdir() if self.data.exists() else ():  # it may be a mount
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        words = ["-D", str(self.data), "-h", str(self._folder), "-p", str(primary.port), "-U", "postgres", "-c", "fast"]
        self.run("pg_basebackup", *words, "-X", "stream", "--no-sync")
        (self.data / "standby.signal").touch()
        (self.data / "postgresql.auto.conf").write_text("")  # whom the primary followed when it was a standby
        self.configure()
        with (self.data / "own.conf").open("a") as file:
            file.write(f"primary_conninfo = '{self._upstream(primary)}'\n")

    def follow(self, primary: Node) -> None:
        """Take what comes from another primary now."""
        self.sql(f"ALTER SYSTEM SET primary_conninfo = '{self._upstream(primary)}'")
        self.sql("SELECT pg_reload_conf()")

    def _upstream(self, primary: Node) -> str:
        return f"host={self._folder} port={primary.port} user=postgres application_name={self.name}"


class Servers:
    """A primary and its standbys."""

    def __init__(self, folder: Path, ears: Ears, addresses: Sequence[str], *, count: int, durable: bool) -> None:
        self.folder = folder
        self._ears = ears
        self.nodes = [Node(folder, name, addresses, durable=durable) for name in NAMES[:count]]
        self.primary = self.nodes[0]

    @property
    def standbys(self) -> list[Node]:
        """Those that are not the primary."""
        return [node for node in self.nodes if node is not self.primary]

    def url(self, host: str = "127.0.0.1") -> str:
        """All of them, for ptstream: whichever is the primary."""
        hosts = ",".join(f"{host}:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/postgres?{urllib.parse.urlencode({'connect_timeout': '2'})}"

    def make(self) -> None:
        """Make the files of all, and start them."""
        self.primary.run(
            "initdb", "-D", str(self.primary.data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"
        )
        self.primary.configure()
        self.primary.start(self._ears)
        for node in self.standbys:
            node.copy_of(self.primary)
            node.start(self._ears)
        self.complete()

    def complete(self) -> None:
        """Returns when all standbys follow."""
        count = len(self.standbys)
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"
        self._ears.until(
            lambda: all(node.answers() for node in self.nodes) and self.primary.sql(streaming) == [(count,)],
            f"{count} standbys of {self.primary.name}",
        )

    def promote(self) -> Node:
        """Make a primary of the living standby that has come furthest, as a failover manager does; the old one."""
        old, living = self.primary, [node for node in self.standbys if node.runs]
        self.primary = max(living, key=lambda node: node.sql(f"SELECT {PASSED}")[0][0])
        self.primary.sql("SELECT pg_promote()")
        for node in living:
            if node is not self.primary:
                node.follow(self.primary)
        return old

    def rejoin(self, node: Node) -> None:
        """The old primary comes back as a standby."""
        node.end()
        node.copy_of(self.primary)
        node.start(self._ears)
        self.complete()

    def heal(self) -> None:
        """All three are there."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
        for node in self.standbys:
            if not node.runs:
                node.start(self._ears)
        self.complete()

    def cpu(self) -> float:
        """Seconds of processors that all of them have taken so far."""
        return sum(node.cpu() for node in self.nodes)

    def kill(self) -> None:
        """All of them."""
        for node in self.nodes:
            node.kill()


@contextlib.contextmanager
def servers(
    ears: Ears,
    addresses: Sequence[str] = ("127.0.0.1",),
    *,
    count: int = 3,
    small: bool = False,
    durable: bool = False,
) -> Iterator[Servers]:
    """So many servers, listening at these addresses; all of it is gone afterwards.

    The first one's disk may be a small one of its own, which takes root. Only what is `durable` waits for disks.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pts-nodes-", ignore_cleanup_errors=True) as path,
        _disk(Path(path) / NAMES[0]) if small else contextlib.nullcontext(),
    ):
        folder = Path(path)
        folder.chmod(0o777)
        made = Servers(folder, ears, addresses, count=count, durable=durable)
        try:
            made.make()
            yield made
        finally:
            made.kill()


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[None]:
    """A file system that is full soon."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "ptstream", str(place)], check=True)
    try:
        shutil.chown(place, *_owner())
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _owner() -> tuple[int, int]:
    user = pwd.getpwnam("postgres")
    return user.pw_uid, user.pw_gid


def _ticks(pid: int) -> tuple[int, ...]:
    """A process's times, and those of its children that have ended: user, system, user, system (proc(5))."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:15]))
    return (0, 0, 0, 0)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
