"""The daemon's life and death: nothing that was shown is lost, whoever is killed, and a home has one daemon."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socketserver
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from ptstream import __version__, wire
from ptstream.generators.process_group import descendants
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status
from tests.conftest import (
    FIRST,
    ID,
    LIMIT,
    PTSTREAM,
    ROOT,
    SECOND,
    Cli,
    Gate,
    detached,
    ended,
    engaged,
    gone,
    kept,
    locked,
    needs,
    program,
    read_exactly,
    tails,
    told,
    until,
)

WORDS = " ".join(f"word{n}" for n in range(20000))
"""A text without the end of a sentence: what was shown of it lies in the tail alone."""


@pytest.fixture
def endless(folder: Path) -> tuple[str, ...]:
    """The words of a drive that is not over soon."""
    (folder / "words").write_text(WORDS)
    return ("-m", f"replay:{folder}/words?rate=400", "-p", "x")


def pid_of(cli: Cli) -> int:
    """The process id of the running daemon, which it says itself."""
    with http(cli) as client:
        return int(client.get(wire.STATUS).json()["pid"])


def http(cli: Cli, home: Home | None = None) -> httpx.Client:
    """A client of the daemon that knows HTTP and nothing else."""
    transport = httpx.HTTPTransport(uds=(home or cli.home).socket)
    return httpx.Client(transport=transport, base_url=wire.BASE_URL, timeout=LIMIT)


def daemons(home: Home) -> list[int]:
    """The processes that are this home's daemon, or want to be."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if b"ptstream.daemon" in words and os.fsencode(home.path) in words:
                found.append(int(name))
    return found


def kill(pid: int) -> None:
    """No chance to say a word."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid))


def rest(process: subprocess.Popen[bytes]) -> tuple[bytes, str, int]:
    """What it still prints, what it says, and its exit code."""
    out, err = process.communicate(timeout=LIMIT * 4)
    return out, err.decode(), process.returncode


# --- killed


def test_killed_in_mid_stream_nothing_shown_is_lost(cli: Cli, endless: tuple[str, ...]) -> None:
    with (
        cli.started("drive", "--name", "s", *endless) as driver,
        cli.started("drive", "--name", "s", *endless) as other,
    ):
        shown = read_exactly(driver, 300)
        also = read_exactly(other, 100)
        kill(pid_of(cli))
        for process, before in ((driver, shown), (other, also)):
            more, said, code = rest(process)
            assert code == 5, said
            assert "its owner died at byte" in said
            assert "Traceback" not in said
            text = before + more
            assert WORDS.startswith(text.decode())
    done = cli.run("cat", "s")
    watched = cli.run("watch", "s", code=5)
    assert done.stdout == watched.stdout == text
    assert f"died at byte {len(text)}" in watched.stderr.decode()
    assert daemons(cli.home) == []
    fields = told(cli, "s")
    assert (fields["status"], fields["error"], fields["bytes"]) == (
        "error",
        f"its owner died at byte {len(text)}",
        len(text),
    )
    assert tails(cli.home) == []


def test_a_watcher_and_a_waiter_are_told_of_the_death(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    with cli.started("watch", id) as watcher, cli.started("wait", id) as waiter:
        assert read_exactly(watcher, len(FIRST)) == FIRST.encode()
        kill(pid_of(cli))
        for process in (watcher, waiter):
            out, said, code = rest(process)
            assert (out, code) == (b"", 5)
            assert "died at byte 9" in said


def test_it_ends_when_the_program_that_it_runs_is_removed(cli: Cli, folder: Path, gate: Gate) -> None:
    """As by installing it anew, at another place; but not while a stream runs."""
    shutil.copytree(ROOT / "ptstream", folder / "place" / "ptstream")
    id = detached(cli, *gate.command, env={"PYTHONPATH": str(folder / "place")})
    pid = json.loads(cli.out("daemon", "status", "--json"))["pid"]
    shutil.rmtree(folder / "place")
    gate.open()
    cli.run("wait", id)
    until(lambda: gone(pid))
    assert str(folder / "place") in Path(cli.home.log).read_text()
    assert cli.out("drive", "--", "echo", "hi") == "hi\n"


def test_it_ends_when_its_home_is_removed_and_leaves_the_next_one_alone(cli: Cli) -> None:
    cli.run("daemon", "start")
    first = pid_of(cli)
    shutil.rmtree(cli.home.path)
    assert cli.out("drive", "--", "echo", "hi") == "hi\n"
    until(lambda: gone(first))
    assert not gone(pid_of(cli))
    os.unlink(cli.home.socket)
    until(lambda: not held(cli.home.lock("daemon")))


def test_a_drive_needs_no_daemon_for_what_was_begun_before(cli: Cli, folder: Path) -> None:
    """One that dies as it starts: only a stream that nobody has begun cannot be had without it."""
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'ptstream.daemon' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
    )
    paths = os.pathsep.join(filter(None, [str(folder), cli.environment.get("PYTHONPATH")]))
    id = cli.run("tee", input="kept\n").stderr.decode().split()[0]
    done = cli.run("drive", id, env={"PYTHONPATH": paths}, fresh=True)
    assert done.stdout == b"kept\n"
    refused = cli.run("drive", "--", "echo", "hi", env={"PYTHONPATH": paths}, fresh=True, code=69)
    assert "has not begun" in refused.stderr.decode()


def test_without_its_socket_it_ends_what_it_has_begun(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    os.unlink(cli.home.socket)
    gate.open()
    cli.run("wait", id)
    assert kept(cli, id) == FIRST + SECOND
    until(lambda: not held(cli.home.lock("daemon")))


def held(lock: str) -> bool:
    """Whether a living process holds it."""
    with open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_another_daemon_in_between(cli: Cli, endless: tuple[str, ...]) -> None:
    with cli.started("drive", "--name", "s", *endless) as driver:
        shown = read_exactly(driver, 200)
        driver.send_signal(signal.SIGSTOP)
        kill(pid_of(cli))
        # It takes the stale socket and lock, and ends what the dead one left.
        cli.run("daemon", "start")
        driver.send_signal(signal.SIGCONT)
        more, said, code = rest(driver)
        assert code == 5
        assert "its owner died at byte" in said
    assert (shown + more).decode() == kept(cli, "s")
    assert cli.out("drive", "--", "echo", "hi") == "hi\n"
    assert len(daemons(cli.home)) == 1


def test_a_broken_body_is_not_an_end(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    with http(cli) as client, client.stream("GET", wire.TEXT.format(id=id), params={"live": 1}) as response:
        body = response.iter_raw()
        assert next(body) == FIRST.encode()
        kill(pid_of(cli))
        with pytest.raises(httpx.TransportError):
            list(body)
    with locked(cli.home) as sql:
        assert sql("SELECT status FROM streams").fetchall() == [("streaming",)]  # nobody has looked yet
    cli.run("wait", id, code=5)


# --- told to stop


def test_sigterm_ends_each_stream_with_its_text_and_the_cause(cli: Cli, endless: tuple[str, ...], gate: Gate) -> None:
    command = detached(cli, *gate.command)
    with cli.started("drive", "--name", "s", *endless) as driver:
        shown = read_exactly(driver, 200)
        pid = pid_of(cli)
        os.kill(pid, signal.SIGTERM)
        more, said, code = rest(driver)
        assert code == 5
        assert "the daemon was stopped at byte" in said
        until(lambda: gone(pid))
    assert kept(cli, "s") == (shown + more).decode()
    assert told(cli, command)["error"] == "the daemon was stopped at byte 9"
    assert kept(cli, command) == FIRST
    assert not os.path.exists(cli.home.socket)
    assert tails(cli.home) == os.listdir(cli.home.owners) == []


def test_no_work_is_taken_while_it_stops(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    pending = cli.out("create", "x").strip()
    pid = pid_of(cli)
    with http(cli) as client, locked(cli.home):  # so that the stream's end has to wait
        os.kill(pid, signal.SIGTERM)
        asked = {"directory": "/", "environment": {}, "umask": 0o22, "python": "python3", "stderr": False}
        asked["on_drop"] = False

        def refused() -> Any:
            answer = client.post(wire.DRIVE.format(id=pending), json=asked)
            return answer if answer.status_code != 200 else None

        answer = until(refused)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "daemon-stopping"
    until(lambda: gone(pid))
    assert told(cli, id)["error"] == "the daemon was stopped at byte 9"


def test_one_that_is_to_be_replaced_stays_if_it_is_busy_by_now_or_another(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    pid = pid_of(cli)
    with http(cli) as client:
        assert client.post(wire.STOP, params={"idle": pid}).json()["running"] == 1
        gate.open()
        cli.run("wait", id)
        until(lambda: client.get(wire.STATUS).json()["running"] == 0)
        assert client.post(wire.STOP, params={"idle": pid + 1}).json()["pid"] == pid
        assert cli.out("drive", "--", "echo", "hi") == "hi\n"
        assert client.post(wire.STOP, params={"idle": pid}).status_code == 200
        until(lambda: gone(pid))


def test_readers_that_do_not_read_do_not_keep_it(cli: Cli, folder: Path) -> None:
    (folder / "much").write_text(WORDS * 40)
    id = cli.out("drive", "-d", "-m", f"replay:{folder}/much?rate=0", "-p", "x").strip()
    with http(cli) as client, client.stream("GET", wire.TEXT.format(id=id), params={"live": 1}) as response:
        assert response.status_code == 200
        cli.run("daemon", "stop")
        until(lambda: all(map(gone, daemons(cli.home))))
        assert cli.out("drive", "--", "echo", "hi") == "hi\n"


# --- many at once


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to see what a daemon has open")
def test_who_comes_while_one_ends_is_the_next_one(cli: Cli) -> None:
    """It does not listen any more, but has the lock still."""
    cli.run("daemon", "start")
    cli.run("daemon", "stop")
    with open(cli.home.lock("daemon")) as lock:
        until(lambda: _got(lock.fileno()))
        with cli.started("daemon", "run") as next_one:
            until(lambda: _holds_open(next_one.pid, lock.name))
            fcntl.flock(lock, fcntl.LOCK_UN)
            until(lambda: cli.run("daemon", "status", code=None).returncode == 0)
            next_one.terminate()
            assert ended(next_one) == 0


def _got(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holds_open(pid: int, path: str) -> bool:
    with contextlib.suppress(OSError):
        return any(os.readlink(f"/proc/{pid}/fd/{each}") == path for each in os.listdir(f"/proc/{pid}/fd"))
    return False


def test_twenty_first_commands_make_one_daemon(cli: Cli) -> None:
    """On a machine with no home yet."""
    with contextlib.ExitStack() as stack:
        drives = [stack.enter_context(cli.started("drive", "--", "echo", str(n))) for n in range(20)]
        for n, process in enumerate(drives):
            out, said, code = rest(process)
            assert (out, code) == (f"{n}\n".encode(), 0), said
            assert ID.fullmatch(said.strip())
    assert until(lambda: len(daemons(cli.home)) == 1)
    assert Path(cli.home.log).read_text().count("listening on") == 1


def test_twenty_first_commands_make_one_home(cli: Cli) -> None:
    lines = [("create", "x"), ("ls",), ("tee",), ("create", "--name", "one", "x"), ("cat", "@last")] * 4
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(cli.started(*words)) for words in lines]
        for words, process in zip(lines, processes, strict=True):
            _, said, code = rest(process)
            assert code == 0 or (words[0], code) == ("cat", 3), (words, said)
            assert "Traceback" not in said
    assert len(cli.out("ls", "-q").split()) == 4 + 4 + 1
    if cli.home.is_local:
        assert oct(os.stat(cli.home.path).st_mode)[-3:] == "700"
        assert oct(os.stat(cli.home.database).st_mode)[-3:] == "600"


def test_two_drives_of_one_stream_run_it_once(served: Cli, folder: Path) -> None:
    id = served.out("create", "x").strip()
    command = ("sh", "-c", f"echo ran >> '{folder}/runs'; echo text")
    with served.started("drive", id, "--", *command) as first, served.started("drive", id, "--", *command) as second:
        for process in (first, second):
            out, _, code = rest(process)
            assert (out, code) == (b"text\n", 0)
    assert (folder / "runs").read_text() == "ran\n"
    assert len(told(served, id)["attempts"]) == 1


# --- places


def test_a_long_path_and_an_odd_one(folder: Path) -> None:
    names = ("x" * 150, "sp ace?a=b#c%20'\"$(true)\nnew\\line é 世界", os.fsdecode(b"not-utf8-\xff"))
    with ThreadPoolExecutor(3) as pool:
        for checked in [pool.submit(_works_in, Home(str(folder / name / "home"))) for name in names]:
            checked.result()


def _works_in(home: Home) -> None:
    cli = Cli(home)
    try:
        assert cli.out("drive", "--", "echo", "hi") == "hi\n"
        assert cli.out("watch", "@last") == "hi\n"
        assert cli.out("cat", "@last") == "hi\n"
        assert cli.run("path").stdout == os.fsencode(cli.home.database) + b"\n"
        json.loads(cli.out("daemon", "status", "--json"))
    finally:
        cli.run("daemon", "stop")
    assert not os.path.exists(cli.home.socket)


def test_the_runtime_directory_may_go(cli: Cli, folder: Path, gate: Gate) -> None:
    (folder / "run").mkdir()
    environment = {"XDG_RUNTIME_DIR": str(folder / "run")}
    with cli.started("drive", "--", *gate.command, env=environment) as driver:
        assert read_exactly(driver, len(FIRST)) == FIRST.encode()
        shutil.rmtree(folder / "run")
        cli.run("daemon", "status", env=environment)
        gate.open()
        assert rest(driver)[::2] == (SECOND.encode(), 0)


def test_commands_run_in_directories_of_any_name(served: Cli, folder: Path) -> None:
    odd = folder / os.fsdecode(b"not-utf8-\xff")
    odd.mkdir()
    assert served.run("drive", "--", "sh", "-c", 'printf "%s" "$(pwd | wc -c)"', cwd=odd).stdout.strip() != b""
    line = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *PTSTREAM, "drive", "--", "echo", "hi"],
        cwd=folder,
        env=served.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2, 4)


# --- the wire


def test_any_http_client_reads_the_text(served: Cli, gate: Gate) -> None:
    id = detached(served, *gate.command)
    with http(served) as client:
        with client.stream("GET", wire.TEXT.format(id=id), params={"offset": 4, "live": 1}) as response:
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            body = response.iter_raw()
            assert next(body) == FIRST[4:].encode()
            gate.open()
            assert b"".join(body) == SECOND.encode()
        end = len(FIRST + SECOND)
        assert client.get(wire.TEXT.format(id=id), params={"offset": end}).content == b""
        assert client.get(wire.TEXT.format(id=id), params={"offset": end + 1}).status_code == 416
        for bad in ("-2", "x", "1.5", "٣"):
            assert client.get(wire.TEXT.format(id=id), params={"offset": bad}).status_code == 400
        assert client.get(wire.TEXT.format(id="nosuch")).status_code == 404
        assert client.get("/nosuch").status_code == 404
        assert client.post(wire.DRIVE.format(id=id), content=b"nonsense").status_code == 400
        assert client.post(wire.DRIVE.format(id=id), json={"directory": 1}).status_code == 400


@needs("curl")
def test_curl_shows_it(served: Cli) -> None:
    id = served.run("drive", "--", "echo", "hi").stderr.decode().split()[0]
    url = wire.BASE_URL + wire.TEXT.format(id=id)
    shown = subprocess.run(["curl", "-sN", "--unix-socket", served.home.socket, url], capture_output=True, check=True)
    assert shown.stdout == b"hi\n"


def test_the_socket_is_its_owners_alone(served: Cli) -> None:
    assert oct(os.stat(served.home.socket).st_mode)[-3:] in ("600", "700")
    assert oct(os.stat(served.home.path).st_mode)[-3:] == "700"


# --- what it knows


def test_it_keeps_no_key_and_shows_no_prompt(cli: Cli, gate: Gate) -> None:
    secret, prompt = "sk-verysecret", "a prompt that is private"
    keys = dict.fromkeys(("OPENAI_API_KEY", "PTSTREAM_API_KEY", "XDG_API_KEY"), secret)
    id = detached(cli, *gate.command, words=("-p", prompt), env=keys, fresh=True)
    pid = pid_of(cli)
    with contextlib.suppress(PermissionError):  # only root looks into a daemon
        assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            assert prompt.encode() not in line
            assert secret.encode() not in line
    gate.open()
    cli.run("wait", id)
    cli.run("drive", "-p", prompt, "-m", "openai/x", env=keys | {"OPENAI_BASE_URL": "nonsense"}, code=4)
    cli.run("drive", "-p", prompt, "--", "nosuch", env=keys, code=5)
    assert prompt not in cli.out("daemon", "logs")
    cli.run("daemon", "stop")
    for path in Path(cli.home.path).rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()


def test_a_starters_default_is_not_everybodys(cli: Cli, folder: Path) -> None:
    (folder / "text").write_text("hi")
    named = {"PTSTREAM_MODEL": f"replay:{folder}/text?rate=0"}
    assert cli.out("drive", "-p", "x", env=named) == "hi"
    done = cli.run("drive", "-p", "x", "-d", code=None)
    fields = told(cli, "@last")
    assert not (fields["model"] or "").startswith("replay:"), done.stderr


def test_the_config_file_holds_from_the_next_drive_on(served: Cli) -> None:
    Path(served.home.config).write_text('[endpoints.mine]\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n')
    try:
        id = served.out("drive", "-d", "-m", "mine/m", "-p", "x").strip()
        served.run("cancel", id)
    finally:
        os.unlink(served.home.config)


def test_a_stopped_daemon_is_named_and_waited_for_by_nobody(cli: Cli, gate: Gate) -> None:
    id = detached(cli, *gate.command)
    pid = pid_of(cli)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert cli.run("cat", id).stdout == FIRST.encode()
        with cli.started("daemon", "status") as asking, cli.started("cancel", id) as cancelling:
            assert ended(cancelling) == 8
            assert told(cli, id)["status"] == Status.STREAMING
            assert until(lambda: asking.poll() is not None, 12)
            assert asking.returncode == 69
    finally:
        os.kill(pid, signal.SIGCONT)
    cli.run("wait", id, code=6)


def test_one_bad_stream_takes_no_other_along(served: Cli, gate: Gate) -> None:
    good = detached(served, *gate.command)
    served.run("drive", "--", "sh", "-c", "kill -9 $$", code=5)
    served.run("drive", "-m", "replay:/nonexistent", "-p", "x", code=None)
    served.run("rm", "-f", served.out("drive", "-d", "--", "sleep", "1000").strip())
    gate.open()
    served.run("wait", good)
    assert kept(served, good) == FIRST + SECOND


class DyingDaemon(BaseHTTPRequestHandler):
    """Begins a drive, and is gone before it answers."""

    def do_GET(self) -> None:
        assert isinstance(self.server, DyingServer)
        body = json.dumps({"version": __version__, "store": self.server.home.store_name, "running": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        assert isinstance(self.server, DyingServer)
        self.server.begin()
        os.unlink(self.server.home.socket)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class DyingServer(socketserver.UnixStreamServer):
    """Listens where a home's daemon would."""

    def __init__(self, home: Home, begin: Callable[[], object]) -> None:
        self.home, self.begin = home, begin
        super().__init__(home.socket, DyingDaemon)

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, ("a driver", 0)


DIES = """
import os, signal, sys, anyio
from ptstream.engine import open_engine
from ptstream.settings import Home

async def main():
    async with open_engine(Home(*sys.argv[1:3])) as engine, engine.writer() as writer:
        tail = await writer.tail(await writer.claim(sys.argv[3], "m", "p"))
        tail.append(b"begun")
        await tail.caught_up()
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def test_a_daemon_that_dies_while_it_is_asked(cli: Cli) -> None:
    """What it had begun is in the store, and the driver reads it there."""
    cli.home.make()
    id = engaged(cli.home, lambda engine: engine.create(GenerationRequest(command=("true",)))).id

    def begin() -> None:
        with program(DIES, cli.home.path, cli.home.store, id) as process:
            assert process.wait() == -signal.SIGKILL

    with DyingServer(cli.home, begin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            done = cli.run("drive", id, code=5)
        finally:
            server.shutdown()
            thread.join()
    assert done.stdout == b"begun"
    assert b"its owner died at byte 5" in done.stderr


@needs("unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a process 1")
def test_as_process_1_it_reaps_what_others_leave(cli: Cli) -> None:
    """Their orphans become its children; its commands' own exits stay theirs."""
    line = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *PTSTREAM, "daemon", "run"]
    with subprocess.Popen(line, env=cli.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until(lambda: os.path.exists(cli.home.socket))
        for code in (0, 3, 0, 5):
            # One child ends as an orphan while its command runs, one after it, outside of its group.
            script = f"(sleep 0.05 &); (setsid sleep 0.3 &); sleep 0.1; exit {code}"
            done = cli.run("drive", "--", "sh", "-c", script, code=None)
            assert done.returncode == (5 if code else 0)
            assert code == 0 or f"exit code {code}" in done.stderr.decode()
        (init,) = descendants(process.pid)[:1]
        until(lambda: len(descendants(init)) == 1)  # the daemon alone, which is no process 1
        os.kill(init, signal.SIGTERM)
        assert process.wait(timeout=LIMIT) == 0
    assert not os.path.exists(cli.home.socket)


def test_authorities_that_are_not_there_are_nothing_to_the_socket(cli: Cli) -> None:
    done = cli.run("drive", "--", "echo", "hi", env={"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"})
    assert done.stdout == b"hi\n"
