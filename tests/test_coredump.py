"""No image of a process that holds keys and prompts: the daemon, llama.cpp's, a generator's; a user's command may."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from ptstream import coredump, wire
from ptstream.generators import Caller
from ptstream.generators.child_process import running
from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.settings import Home
from tests.conftest import PTSTREAM, Cli, needs
from tests.preloaded import CODE
from tests.test_daemon import pid_of

GGUF = embedded.find(Home("/nowhere"))

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's limits")

UNLIMITED = resource.RLIM_INFINITY


def limit_of(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_CORE)[0]


@linux
def test_the_daemon_leaves_none_and_a_command_has_its_users_limit(cli: Cli) -> None:
    """Not that of whoever started the daemon, nor the daemon's own. What holds for the shell holds for its children."""
    script = "ulimit -S -c; ulimit -H -c; (ulimit -S -c)"
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    running = False
    for size in (0, 8192 * 1024, UNLIMITED, 0):
        if UNLIMITED != hard < size:
            continue
        line = ("drive", "--", "bash", "-c", script)
        if running:
            done = cli.run(LIMITED, str(size), *line, module=CODE)
        else:  # from nothing, as the daemon then is
            done = cli.run(*line, preexec_fn=lambda s=size: _set(s))
        running = True
        soft = "unlimited" if size == UNLIMITED else str(size // 1024)
        most = "unlimited" if hard == UNLIMITED else str(hard // 1024)
        assert done.stdout.decode().split() == [soft, most, soft]
    assert limit_of(pid_of(cli)) == 0


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (int(sys.argv.pop(1)), resource.getrlimit(resource.RLIMIT_CORE)[1]))
from ptstream.cli.entry import main
main()
"""
"""The command, in a process whose limit is its first word."""


def _set(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (size, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@linux
def test_a_generators_process_leaves_none(cli: Cli, folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import resource\nasync def told(stream):\n    yield str(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
    )
    done = cli.run("drive", "--generator", f"{folder}/mine.py:told", preexec_fn=lambda: _set(UNLIMITED))
    assert done.stdout.decode().strip() == "0"


@linux
@pytest.mark.skipif(not GGUF or embedded.problem() is not None, reason="the extra local is not installed")
@pytest.mark.anyio
async def test_llamacpps_process_leaves_none(home: Home) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        async with anyio.create_task_group() as tasks:
            local = LocalServer(home, tasks)
            async with local.reach(GGUF or ""):
                (pid,) = local.running.values()
                assert limit_of(pid) == 0
            local.close()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


@linux
@pytest.mark.anyio
async def test_commands_that_start_at_once_have_each_their_own() -> None:
    sizes = [4096 * (n + 1) for n in range(20)]
    told: dict[int, int] = {}

    async def one(size: int) -> None:
        caller = Caller("/", {"PATH": os.environ["PATH"]}, core=size)
        async with running(["sh", "-c", "read x"], stdin=b"", caller=caller) as child:
            told[size] = limit_of(child._process.pid)

    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        async with anyio.create_task_group() as tasks:
            for size in sizes:
                tasks.start_soon(one, size)
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert told == {size: size for size in sizes}


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_no_process_of_the_users_looks_into_it_and_it_does_itself(folder: Path) -> None:
    """The daemon finds its own descriptors by /proc, on the way to a socket in a deep directory."""
    folder.chmod(0o777)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        told = "fault"
        try:
            told = _looked_into(str(folder / ("d" * 150)))
        finally:
            os.write(writing, told.encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading) as answer:
        assert answer.read() == "refused"


def _looked_into(deep: str) -> str:
    """What a process of the same user gets to see of one that holds keys."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    coredump.forbid()
    assert os.listdir("/proc/self/fd")
    os.mkdir(deep)
    with socket.socket(socket.AF_UNIX) as listener, wire.short_path(f"{deep}/s") as path:
        listener.bind(path)
    if other := os.fork():
        _, status = os.waitpid(other, 0)
        return "refused" if status == 0 else "seen"
    try:
        Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except PermissionError:
        os._exit(0)
    os._exit(1)


@linux
@needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_daemon_is_such_a_process(folder: Path) -> None:
    """What /proc has of it is then root's, whose ever the process is."""
    os.chown(folder, 4242, 4242)
    line = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]
    line += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # Python may be where only root looks
    environment = Cli(Home(str(folder / "home"))).environment
    with subprocess.Popen([*line, *PTSTREAM, "daemon", "run"], env=environment, stderr=subprocess.PIPE) as daemon:
        assert daemon.stderr is not None
        try:
            assert b"listening" in daemon.stderr.readline()
            assert os.stat(f"/proc/{daemon.pid}/environ").st_uid == 0
            assert (folder / "home" / "daemon.sock").stat().st_uid == 4242
        finally:
            daemon.terminate()
