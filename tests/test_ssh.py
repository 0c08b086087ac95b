"""Another machine over ssh: a real sshd on loopback stands for it, its user's home another one than the test's."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptstream.settings import Home
from tests.conftest import (
    Cli,
    kept,
    needs,
    stop_daemon,
    until,
)

pytestmark = [
    needs("ssh"),
    pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin:/usr/bin") is None, reason="no sshd"),
]

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
        bin = folder / "bin"
        bin.mkdir()
        command = bin / "ptstream"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ptstream.cli.entry "$@"\n')
        command.chmod(0o755)
        environment = self.there.environment | {"PATH": f"{bin}:{os.environ['PATH']}"}
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
        )
        self.cli = Cli(Home(str(folder / "near")))
        self.cli.environment |= {"PTSTREAM_HOST": "ssh://box", "PTSTREAM_SSH": f"ssh -F {folder}/ssh_config"}

    @contextlib.contextmanager
    def listening(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its sshd runs."""
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        assert sshd
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        with open(self.folder / "sshd.log", "ab") as log:
            line = [sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")]
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
        with made.listening():
            yield made
        stop_daemon(made.home)
        assert not os.path.exists(made.cli.home.path), "nothing of this is kept here"


def test_a_command_runs_there(box: Box) -> None:
    done = box.cli.run("drive", "--", "sh", "-c", "echo hello; pwd")
    assert done.stdout.decode() == f"hello\n{USER.pw_dir}\n"
    id = done.stderr.decode().splitlines()[0]
    assert kept(box.there, id) == done.stdout.decode()
