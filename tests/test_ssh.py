"""Another machine over ssh: a real sshd on loopback stands for it, its user's home another one than the test's."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest

from ptstream import wire
from ptstream.client.daemon_client import Client
from ptstream.client.ssh import connect, host_named
from ptstream.client.there import There
from ptstream.errors import BadAnswer, SshFailed
from ptstream.settings import Home
from ptstream.streams import GenerationRequest
from tests.conftest import (
    FIRST,
    LIMIT,
    PTSTREAM,
    SECOND,
    Cli,
    Gate,
    Lines,
    ended,
    hear_nothing,
    kept,
    needs,
    on_path,
    read_exactly,
    stop_daemon,
    together,
    told,
    until,
)
from tests.terminal import Terminal
from tests.test_names import late_question

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [needs("ssh"), pytest.mark.skipif(SSHD is None, reason="sshd is not installed")]

USER = pwd.getpwuid(os.getuid())


class Box:
    """The machine elsewhere: its sshd, and its ptstream as seen there (`there`) and from here (`cli`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(str(folder / "far"))
        self.there = Cli(self.home)
        self.port = _free_port()
        for name in ("host", "user"):
            line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(line, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        # SHLVL: bash reads no ~/.bashrc, which may print something.
        environment = self.there.environment | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "SHLVL": "2"}
        words = " ".join(f'"{name}={value}"' for name, value in environment.items() if name not in ("HOME", "LANG"))
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"AcceptEnv *\nAllowAgentForwarding yes\nSetEnv {words}\n"
        )
        key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        (folder / "ssh_config").write_text(
            f"Host box\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
            "  SendEnv LANG LC_*\n  ForwardAgent yes\n  BatchMode yes\n  LogLevel ERROR\n"
            # Against quantum computers, which are not who listens here, a connection takes four times as long.
            "  KexAlgorithms curve25519-sha256\n"
        )
        self.cli = Cli(Home(str(folder / "near")))
        self.cli.environment |= {"PTSTREAM_HOST": "ssh://box", "PTSTREAM_SSH": f"ssh -F {folder}/ssh_config"}

    @contextlib.contextmanager
    def listening(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its sshd runs."""
        assert SSHD
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        with open(self.folder / "sshd.log", "ab") as log:
            line = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
            with subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=log) as process:
                until(self._answers)
                yield process
                process.terminate()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """The machine elsewhere."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        made = Box(Path(path))
        with on_path(made.folder), made.listening():
            yield made
        stop_daemon(made.home)
        assert not os.path.exists(made.cli.home.path), "nothing of this is kept here"


def children(pid: int, name: str) -> list[int]:
    """Its child processes of this name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            comm, _, rest = path.read_text().partition("(")[2].rpartition(")")
            if comm == name and int(rest.split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def terminal(box: Box, *words: str) -> Any:
    """The command in a terminal here."""
    return Terminal(words, box.cli.environment)


# --- what runs there, and what does not get there


def test_a_command_runs_there_in_its_users_directory(box: Box, tmp_path: Path) -> None:
    done = box.cli.run("drive", "--", "sh", "-c", "pwd; echo to stderr >&2; exit 3", code=5, cwd=tmp_path)
    assert done.stdout.decode() == f"{USER.pw_dir}\n"
    id, *more = done.stderr.decode().splitlines()
    assert more == ["to stderr", f"ptstream: stream {id} ended in error: sh: exit code 3: to stderr"]
    assert kept(box.there, id) == done.stdout.decode()


def test_neither_environment_nor_keys_nor_locale_get_there(box: Box) -> None:
    """Not even those that this user's ssh sends as a rule, as the first line shows."""
    agent = str(box.folder / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as process:
        until(lambda: os.path.exists(agent))
        more = {"OPENAI_API_KEY": "hush", "LC_TIME": "tlh", "LANG": "tlh", "SSH_AUTH_SOCK": agent}
        ssh = ["ssh", "-F", str(box.folder / "ssh_config"), "box", "env"]
        sent = subprocess.run(ssh, env=box.cli.environment | more, capture_output=True, check=True).stdout.decode()
        got = box.cli.out("drive", "--", "env", env=more)
        process.terminate()
    assert "LC_TIME=tlh" in sent
    assert "SSH_AUTH_SOCK" in sent
    variables = dict(line.partition("=")[::2] for line in got.splitlines() if "=" in line)
    assert variables["PTSTREAM_HOME"] == box.home.path
    assert variables["HOME"] == USER.pw_dir
    assert not {"OPENAI_API_KEY", "LC_TIME", "SSH_AUTH_SOCK", "PTSTREAM_HOST", "PTSTREAM_SSH"} & set(variables)
    assert "tlh" not in got
    assert "hush" not in got


def test_a_prompt_and_its_file_are_read_here(box: Box, tmp_path: Path) -> None:
    (tmp_path / "question").write_text("why?")
    done = box.cli.run("drive", "-p", "@question", "--", "cat", input="piped", cwd=tmp_path)
    assert done.stdout.decode() == "piped\n\nwhy?"
    id = box.cli.out("create", "@question", "--name", "asked", "--json", cwd=tmp_path)
    assert json.loads(id)["id"] == told(box.there, "asked")["id"]
    assert told(box.there, "asked")["prompt"] == "why?"


def test_a_model_is_asked_for_there(box: Box) -> None:
    """By that user's configuration. What cannot be asked, as it is mistyped, leaves no stream behind."""
    config = Path(box.home.config)
    box.home.make()
    config.write_text('model = "nosuch/model"\n')
    done = box.cli.run("drive", "-p", "x", code=4, env={"PTSTREAM_MODEL": "replay:/here"})
    config.unlink()
    assert done.stderr.startswith(b"ptstream: no model or endpoint is called nosuch/model")
    assert json.loads(box.there.out("ls", "--json", "-n", "1"))["title"] != "x"


def test_a_pending_stream_gets_its_words_when_it_is_driven(box: Box) -> None:
    id = box.cli.out("create").strip()
    assert box.cli.out("drive", id, "--", "echo", "now") == "now\n"
    done = box.cli.run("drive", id, "--", "echo", "other", code=2)
    assert b"was given another command" in done.stderr
    done = box.cli.run("drive", id)
    assert done.stdout == b"now\n"
    assert b"nothing is run again" in done.stderr


def test_a_generator_of_that_users_own(box: Box) -> None:
    path = box.folder / "own.py"
    path.write_text("async def hi(stream):\n    yield f'hi, {stream.prompt}'\n")
    assert box.cli.out("drive", "--generator", f"{path}:hi", "-p", "you") == "hi, you"


def test_a_next_turn_and_a_stream_that_is_not_kept(box: Box) -> None:
    box.cli.run("wait", box.cli.out("drive", "-d", "--name", "first", "--", "echo", "one").strip())
    done = box.cli.run("drive", "--from", "first@2", "--no-keep", "--", "echo", "two")
    assert done.stdout == b"two\n"
    box.cli.run("show", done.stderr.decode().splitlines()[0], code=3)


# --- reading


def same(box: Box, lines: Lines) -> list[tuple[tuple[str, ...], Any]]:
    """What each line does there, which is what it does over ssh."""
    near = together(box.cli, lines, code=None)
    far = together(box.there, lines, code=None)
    for (words, here), (_, there) in zip(near, far, strict=True):
        assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr), words
    return far


def test_a_next_turn_there_of_what_was_the_last_stream_when_it_began(box: Box, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Said.")
    model = f"replay:{tmp_path}/text?rate=0"
    one = box.there.run("drive", "-m", model, "-p", "one").stderr.decode().split()[0]
    with box.cli.started("drive", "--from", "@last", "-m", model, "-p", "two", stdin=subprocess.PIPE) as driver:
        late_question(driver, lambda: box.there.run("drive", "-m", model, "-p", "other"))
        assert ended(driver) == 0
    assert told(box.there, "@last")["parent"] == one


def test_every_command_says_here_what_it_says_there(box: Box) -> None:
    id = box.cli.out("drive", "-d", "--name", "a+b:.ü", "--title", "T", "--", "printf", "one ü\\ntwo").strip()
    assert box.cli.run("wait", "@last").stdout == b""
    lines: Lines = (
        *(("cat", id[:8]), ("cat", "--offset", "2", "a+b:.ü"), ("cat", "--wait", "@last"), ("watch", "@last")),
        *(("watch", "--json", id), ("ls",), ("ls", "--json"), ("ls", "-q", "-n", "2"), ("ls", "--status", "done")),
        *(("show", id), ("show", "--json", "a+b:.ü"), ("search", "one"), ("search", "--json", "-n", "1", "one")),
    )
    for words, there in same(box, (*lines, ("rm", "--dry-run", id))):
        assert there.returncode == 0, words
        assert there.stdout, words
    same(box, (("watch", "--offset", "now", id), ("ls", "-n", "0"), ("cancel", id), ("ls", "-n", "1")))


def test_every_command_refuses_here_what_it_refuses_there(box: Box) -> None:
    id = box.cli.out("drive", "-d", "--", "echo", "x").strip()
    box.cli.run("wait", id)
    lines: Lines = (
        *((name, "nosuchthing") for name in ("cat", "watch", "rm", "drive")),
        *((name, "is this a stream") for name in ("show", "wait", "cancel")),
        *(("cat", ""), ("cat", "a/b"), ("show", ".."), ("cat", id, "--offset", "99"), ("watch", id, "--offset", "99")),
        *(("search", "nowhere to be found"), ("cancel", "--drain", id), ("drive",), ("create", "--name", "a/b", "p")),
        *(("watch", "--offset", "x", id), ("rm",)),
    )
    for words, there in same(box, lines):
        assert there.returncode, words


def test_a_drive_a_watch_and_a_wait_are_live(box: Box, gate: Gate) -> None:
    with box.cli.started("drive", "--name", "live", "--", *gate.command) as drive:
        assert read_exactly(drive, len(FIRST)) == FIRST.encode()
        with box.cli.started("watch", "live") as watch, box.cli.started("wait", "live") as wait:
            assert read_exactly(watch, len(FIRST)) == FIRST.encode()
            assert b"is streaming still" in box.cli.run("wait", "--timeout", "0.1", "live", code=8).stderr
            gate.open()
            for process, rest in ((drive, SECOND), (watch, SECOND), (wait, "")):
                assert process.communicate(timeout=LIMIT)[0].decode() == rest
                assert ended(process) == 0


def test_cancel_there(box: Box, gate: Gate) -> None:
    id = box.cli.out("drive", "-d", "--", *gate.command).strip()
    with box.cli.started("watch", id) as watch:
        assert read_exactly(watch, len(FIRST)) == FIRST.encode()
        done = box.cli.run("cancel", "@last")
        assert done.stderr.decode() == f"stream {id} has ended (cancelled), {len(FIRST)} bytes are kept\n"
        assert ended(watch) == 6


def test_rm_there(box: Box) -> None:
    ids = [box.cli.out("create", word).strip() for word in ("a", "b")]
    done = box.cli.run("rm", ids[0], "nosuchthing", ids[1], code=3)
    assert b"nosuchthing" in done.stderr
    box.cli.run("show", ids[1], code=3)
    idle = box.cli.out("create", "c").strip()
    assert idle in box.cli.out("rm", "--older-than", "0s", "--dry-run")
    box.cli.run("rm", "--older-than", "0s", "--status", "pending")
    box.cli.run("show", idle, code=3)


def test_rm_there_of_what_runs(box: Box, gate: Gate) -> None:
    running = box.cli.out("drive", "-d", "--", *gate.command).strip()
    pending = box.cli.out("create", "a").strip()
    for words in ((running,), (pending, running)):
        assert b"nothing was deleted" in box.cli.run("rm", *words, code=2).stderr
    assert told(box.there, pending)["status"] == "pending"
    box.cli.run("rm", "--force", pending, running)
    box.cli.run("show", running, code=3)


# --- leaving


@pytest.mark.parametrize("name", ["drive", "watch"])
def test_ctrl_c_detaches(box: Box, gate: Gate, name: str) -> None:
    """At a terminal, where ssh is interrupted too."""
    words = ["--", *gate.command]
    if name == "watch":
        words = [box.cli.out("drive", "-d", *words).strip()]
    child = terminal(box, name, *words)
    child.expect("one two.")
    child.sendintr()
    child.expect("goes on · ptstream watch ([^ ]+) · ptstream cancel")
    id, before = child.match[1], child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "connecting" not in before
    gate.open()
    box.cli.run("wait", id)
    assert kept(box.there, id) == FIRST + SECOND


def test_ctrl_backslash_cancels_and_keeps_the_connection(box: Box, gate: Gate) -> None:
    child = terminal(box, "drive", "--", *gate.command)
    child.expect("one two.")
    child.sendcontrol("\\")
    child.expect("was cancelled")
    before = child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    assert "connecting" not in before


# --- a connection that breaks


def cut(process: subprocess.Popen[bytes], count: int) -> None:
    """Kill all its ssh processes, of which there are so many."""
    for pid in until(lambda: len(found := children(process.pid, "ssh")) == count and found):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("name", "connections"), [("drive", 2), ("watch", 1)])
def test_after_a_cut_no_byte_is_missed_and_none_comes_twice(
    box: Box, folder: Path, name: str, connections: int
) -> None:
    os.mkfifo(folder / "go")
    go = os.open(folder / "go", os.O_RDWR)
    wait = f"read x < '{folder}/go'"
    words = ["--", "sh", "-c", f"echo so >&2; seq 20000; {wait}; seq 20000 40000; echo far >&2; {wait}"]
    first = "".join(f"{n}\n" for n in range(1, 20001))
    second = "".join(f"{n}\n" for n in range(20000, 40001))
    if name == "watch":
        words = [box.cli.out("drive", "-d", *words).strip()]
    with box.cli.started(name, *words) as process:
        text = read_exactly(process, len(first) - 7)  # it is in the middle of what was sent
        cut(process, connections)
        text += read_exactly(process, 7)
        os.write(go, b"\n")
        text += read_exactly(process, len(second))
        cut(process, connections)
        os.write(go, b"\n")
        rest, stderr = process.communicate(timeout=LIMIT)
    os.close(go)
    assert (text + rest).decode() == first + second
    assert ended(process) == 0
    said = stderr.decode().splitlines()
    assert sum("connecting again (1 of 5)" in line for line in said) == 2
    assert [line for line in said if line in ("so", "far")] == (["so", "far"] if name == "drive" else [])


def test_the_death_of_the_daemon_there_is_the_streams_end(box: Box, gate: Gate) -> None:
    with box.cli.started("drive", "--", *gate.command) as process:
        assert read_exactly(process, len(FIRST)) == FIRST.encode()
        pid = json.loads(box.there.out("daemon", "status", "--json"))["pid"]
        os.kill(pid, signal.SIGKILL)
        rest, stderr = process.communicate(timeout=LIMIT)
    assert rest == b""
    assert b"its owner died at byte 9" in stderr
    assert ended(process) == 5


@pytest.mark.anyio
async def test_a_host_that_stays_away_is_given_up(box: Box, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    id = box.there.out("drive", "-d", "--", *gate.command).strip()
    until(lambda: kept(box.there, id) == FIRST)
    monkeypatch.setenv("PTSTREAM_SSH", box.cli.environment["PTSTREAM_SSH"])
    notes: list[str] = []
    text = b""
    with pytest.raises(SshFailed) as failure:
        async with connect(host_named("ssh://box"), hear_nothing) as (client, asker):
            far = There(client, asker, notes.append, pauses=(0.01, 0.01))
            async with aclosing(far.follow(id)) as runs:
                async for data in runs:
                    text += data
                    (box.folder / "authorized_keys").rename(box.folder / "away")
                    for pid in children(os.getpid(), "ssh"):
                        os.kill(pid, signal.SIGKILL)
    (box.folder / "away").rename(box.folder / "authorized_keys")
    assert text.decode() == FIRST
    assert failure.value.exit_code == 69
    assert [note.rpartition("(")[2] for note in notes] == ["1 of 2)", "2 of 2)"]


@pytest.mark.anyio
async def test_a_drive_is_asked_for_again_by_who_is_connected_by_then(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTSTREAM_SSH", box.cli.environment["PTSTREAM_SSH"])
    async with connect(host_named("ssh://box"), hear_nothing) as (client, asker):
        far = There(client, asker, lambda _: None, pauses=(0.01,) * 5)
        id = (await far.create(GenerationRequest(command=("pwd",)))).id
        for pid in children(os.getpid(), "ssh"):
            os.kill(pid, signal.SIGKILL)
        assert not (await far.drive(id)).attached
        async with aclosing(far.follow(id)) as runs:
            assert b"".join([data async for data in runs]).decode() == f"{USER.pw_dir}\n"


# --- what cannot be


def test_a_host_that_cannot_be_reached(box: Box) -> None:
    done = box.cli.run("ls", env={"PTSTREAM_HOST": f"ssh://127.0.0.1:{_free_port()}"}, code=69)
    assert b"Connection refused" in done.stderr  # ssh's own words
    assert done.stderr.endswith(b"ptstream: ssh cannot connect to 127.0.0.1\n")
    done = box.cli.run("watch", "@last", env={"PTSTREAM_HOST": "ssh://nowhere.invalid"}, code=69)
    assert b"ssh cannot connect to nowhere.invalid" in done.stderr
    done = box.cli.run("ls", env={"PTSTREAM_SSH": "no-such-ssh -v"}, code=4)
    assert b"PTSTREAM_HOST needs no-such-ssh, which is not installed" in done.stderr


def test_a_user_and_a_port_are_passed_on(box: Box) -> None:
    for url in (f"ssh://{USER.pw_name}@127.0.0.1:{box.port}", f"ssh://{USER.pw_name}@box/"):
        box.cli.run("ls", env={"PTSTREAM_HOST": url})
    box.cli.run("ls", env={"PTSTREAM_HOST": "ssh://no-such-user@box"}, code=69)


@pytest.mark.parametrize(
    "url",
    [
        *("ssh://-oProxyCommand=touch${IFS}hit", "ssh://-oProxyCommand=x@box", "ssh://user@-box", "ssh://$(touch hit)"),
        *("box", "http://box", "ssh://", "ssh://box:x", "ssh://box/path", "ssh://a:b@box", "ssh://box\n", "ssh://`x`"),
    ],
)
def test_a_host_that_is_none(box: Box, tmp_path: Path, url: str) -> None:
    done = box.cli.run("ls", env={"PTSTREAM_HOST": url}, code=4, cwd=tmp_path)
    assert b"PTSTREAM_HOST is " in done.stderr
    assert b"a:b" not in done.stderr, "a password"
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("remote", "code", "said"),
    [
        ("""echo '{"ptstream": "0.0.9", "caller": "x"}' #""", 4, "ptstream at box is of version 0.0.9, and this is"),
        ("echo hello; ptstream", 69, "box said b'hello"),
        ("no-such-ptstream", 69, "no such command (PTSTREAM_REMOTE"),
        ("exit 9 #", 69, "ended (exit 9)"),
        ("ptstream --home /proc/x", 4, "at box: the home /proc/x cannot be made"),
    ],
)
def test_what_is_not_ptstream_there(box: Box, remote: str, code: int, said: str) -> None:
    done = box.cli.run("ls", env={"PTSTREAM_REMOTE": remote}, code=code)
    assert said in done.stderr.decode()


HOSTILE = r"\033]0;PWN\007\033[2J\342\200\256said\rptstream: fake\n\nlast\342\200\250words"
"""For printf: a title, a clear, a direction, and what would stand in a line of its own."""

SAID = ["box: said", "box: ptstream: fake", "box: last", "box: words"]


@pytest.mark.parametrize("then", ["exit 3", "exec ptstream --home $FAR"])
def test_what_is_said_there_comes_to_a_terminal_filtered_and_marked(box: Box, tmp_path: Path, then: str) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nprintf '{HOSTILE}' >&2\n{then} dial-stdio\n")
    ssh.chmod(0o755)
    more = {"PTSTREAM_SSH": str(ssh), "PATH": f"{box.folder}/bin:{os.environ['PATH']}", "NO_COLOR": "1"}
    more["FAR"] = box.home.path
    words = [*PTSTREAM[1:], "ls", "-q"]
    shown: Any = pexpect.run(shlex.join([PTSTREAM[0], *words]), env=box.cli.environment | more)
    lines = shown.decode().splitlines()  # what is listed may come in between
    assert [line for line in lines if line.startswith("box: ")][: len(SAID)] == SAID
    assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f]", shown)
    assert box.cli.run("ls", env=more, code=None).stderr.decode().splitlines()[: len(SAID)] == SAID


def test_a_flood_there_is_bounded_here_and_ends_with_ssh(box: Box, tmp_path: Path) -> None:
    """One line of 20 MB; and a process that stays behind with ssh's stderr."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nsleep 5 &\nhead -c 20000000 /dev/zero | tr '\\0' z >&2\nexit 255\n")
    ssh.chmod(0o755)
    done = box.cli.run("ls", env={"PTSTREAM_SSH": str(ssh)}, code=69)
    assert done.stderr.count(b"z") == 20_000_000
    assert max(map(len, done.stderr.splitlines())) < 10_000
    assert done.stderr.endswith(b"ptstream: ssh cannot connect to box\n")


@pytest.mark.parametrize("status", ["200 OK", "500 No"])
def test_an_answer_without_end_is_not_kept(box: Box, tmp_path: Path, status: str) -> None:
    ssh = tmp_path / "ssh"
    greeting = shlex.quote(wire.greeting("x").decode().strip())
    head = rf"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n"
    endless = "head -c 80000000 /dev/zero; exec cat >/dev/null"
    ssh.write_text(f"#!/bin/sh\nprintf '%s\\n' {greeting}\nhead -c 1 >/dev/null\nprintf '{head}'\n{endless}\n")
    ssh.chmod(0o755)
    done = box.cli.run("ls", env={"PTSTREAM_SSH": str(ssh)}, code=1)
    assert b"it sends more than 64 MiB at once" in done.stderr


@pytest.mark.anyio
async def test_nor_is_an_event_without_end() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2**20

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=endless())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x") as http:
        with pytest.raises(BadAnswer, match="more than 64 MiB at once"):
            async for _ in Client("x", http).remarks("y"):
                pass


def test_another_ptstream_there_can_be_named(box: Box) -> None:
    home = Home(str(box.folder / "other"))
    id = box.cli.out("create", "x", env={"PTSTREAM_REMOTE": f"ptstream --home {home.path}"}).strip()
    assert told(Cli(home), id)["prompt"] == "x"
    stop_daemon(home)


def test_some_commands_work_here_alone(box: Box) -> None:
    lines: Lines = (
        *(("tee",), ("demo",), ("models",), ("web",), ("path",), ("daemon", "run")),
        *(("daemon", "status"), ("daemon", "stop"), ("daemon", "start"), ("daemon", "logs")),
    )
    for words, done in together(box.cli, lines, code=2):
        assert f"ptstream {' '.join(words)} works on this machine alone" in done.stderr.decode()


def test_a_home_that_the_line_names_is_here(box: Box, home: Home) -> None:
    id = box.cli.out("--home", home.path, "create", "x").strip()
    assert told(Cli(Home(home.path)), id)["prompt"] == "x"


def test_completion_and_help_open_no_connection(box: Box) -> None:
    more = {"PTSTREAM_SSH": "/nonexistent"}
    assert box.cli.out("__complete", "watch", "", env=more) == ""
    assert box.cli.out("__complete", "wat", env=more) == "watch\n"
    assert box.cli.out("completion", "bash", env=more)
    assert box.cli.out("daemon", "--help", env=more)


# --- the other end


def asked(box: Box, id: str, caller: str) -> int:
    """How a drive on behalf of the caller is answered."""
    transport = httpx.HTTPTransport(uds=box.home.socket)
    with httpx.Client(transport=transport, base_url=wire.BASE_URL) as http:
        http.patch(wire.STREAM.format(id=id), json={"command": ["true"]})
        words = {"caller": caller, "stderr": False, "on_drop": False}
        return http.post(wire.DRIVE.format(id=id), json=words).status_code


def test_dial_stdio_lasts_until_nothing_more_is_asked_and_its_caller_as_long(box: Box) -> None:
    one, other = (box.there.out("create").strip() for _ in range(2))
    with box.there.started("dial-stdio", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        caller = json.loads(process.stdout.readline())["caller"]
        process.stdin.write(b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"HTTP/1.1 200 OK\r\n"
        assert asked(box, one, caller) == 200
        process.stdin.close()
        assert ended(process) == 0
    until(lambda: asked(box, other, caller) == 409)
    assert told(box.there, other)["status"] == "pending"


def test_dial_stdio_ends_with_the_daemon(home: Home, cli: Cli) -> None:
    with cli.started("dial-stdio", stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert "caller" in json.loads(process.stdout.readline())
        cli.run("daemon", "stop")
        assert ended(process) == 0


def test_a_chat_goes_on_over_new_connections(box: Box, tmp_path: Path) -> None:
    """One ends when nothing is asked for a while, and by Ctrl-C, which is every process's at the terminal."""
    (tmp_path / "text").write_text("One two three four.")
    chat: Any = Terminal(("chat", "-m", f"replay:{tmp_path}/text?rate=4"), box.cli.environment | {"NO_COLOR": "1"})
    chat.expect_exact("Ctrl-D leaves")
    chat.send("Why?\r")
    chat.expect_exact("One two three four.")
    chat.expect("done .*\r\n")
    for connection in children(chat.pid, "ssh"):
        os.kill(connection, signal.SIGTERM)
    chat.send("And then?\r")
    chat.expect_exact("One two")
    chat.sendintr()
    chat.expect("goes on .* watch ([0-9a-z]{12})")
    chat.send("So?\r")
    chat.expect_exact("One two three four.")
    chat.expect("done .* ([0-9a-z]{12})\r\n")
    assert len(box.there.out("show", "--thread", chat.match[1]).splitlines()) == 3
    chat.send("\x04")
    chat.expect(pexpect.EOF)
