"""Where things lie, and what is done where /proc is not: every use of it has a fall-back."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from ptstream import settings, wire
from ptstream.config import Settings, load
from ptstream.engine.sqlite.liveness import boot_id
from ptstream.engine.sqlite.store import Store
from ptstream.errors import ConfigurationError
from ptstream.filesystem import NETWORK_FILESYSTEMS, filesystem_of, lacking
from ptstream.generators.process_group import descendants
from ptstream.settings import Home, find_home
from tests.conftest import PTSTREAM, Cli, needs, owning


def test_the_home() -> None:
    assert find_home("/x", {"PTSTREAM_HOME": "/y"}).path == "/x"
    assert find_home(None, {"PTSTREAM_HOME": "/y", "XDG_DATA_HOME": "/z"}).path == "/y"
    assert find_home(None, {"XDG_DATA_HOME": "/z"}).path == "/z/ptstream"
    plain = os.path.join(os.path.expanduser("~"), ".local/share/ptstream")
    assert find_home(None, {"XDG_DATA_HOME": "relative"}).path == find_home(None, {}).path == plain


def test_a_home_is_made_private(folder: Path) -> None:
    (folder / "open").mkdir(mode=0o755)
    home = Home(str(folder / "open"))
    home.make()
    assert stat.S_IMODE(os.stat(home.path).st_mode) == 0o700


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = folder / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {folder} nfs4 rw 0 0\n/dev/vdb {folder}/in ext4 rw 0 0\n")
    assert filesystem_of(str(folder / "home"), str(mounts)) == "nfs4"
    assert filesystem_of(str(folder / "in" / "home"), str(mounts)) == "ext4"
    assert filesystem_of("/", str(mounts)) == "ext4"
    assert filesystem_of(str(folder), str(folder / "missing")) is None
    monkeypatch.setattr(settings, "filesystem_of", lambda _: "nfs4")
    with pytest.raises(ConfigurationError, match="--home"):
        Home(str(folder / "home")).make()


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "cifs", "smb3", "fuse.sshfs", "davfs"),
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs"),
        *("lustre", "gpfs", "beegfs", "ceph", "gfs2", "ocfs2", "orangefs", "panfs", "fuse.glusterfs", "fuse.juicefs"),
        *("fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.mountpoint-s3"),
    ],
)
def test_what_is_not_of_this_machine_is_known_by_name(kind: str) -> None:
    assert kind in NETWORK_FILESYSTEMS


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"])
def test_what_may_be_of_this_machine_is_tried(kind: str) -> None:
    assert kind not in NETWORK_FILESYSTEMS


def test_a_local_file_system_lacks_nothing(folder: Path) -> None:
    deep = folder / ("d" * 150)
    deep.mkdir()
    for place in (folder, deep):
        assert lacking(str(place)) is None
        assert not [name for name in os.listdir(place) if name.startswith(".trial")]


def _refusing(number: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


NO_LOCKS = ("fcntl.flock", _refusing(errno.ENOLCK), "locks do not hold")
LOCKS_FOR_ALL = ("fcntl.flock", lambda *_: None, "locks do not hold")
NO_RECORD_LOCKS = ("fcntl.lockf", _refusing(errno.ENOLCK), "record locks do not hold")
RECORD_LOCKS_FOR_ALL = ("fcntl.fcntl", lambda *_: None, "record locks do not hold")
NO_MAPPING = ("mmap.mmap", _refusing(errno.ENODEV), "memory cannot be shared")
NO_SOCKETS = ("socket.socket", _refusing(errno.EPERM), "no socket can be made")


@pytest.mark.parametrize(
    ("call", "instead", "what"),
    [NO_LOCKS, LOCKS_FOR_ALL, NO_RECORD_LOCKS, RECORD_LOCKS_FOR_ALL, NO_MAPPING, NO_SOCKETS],
)
def test_a_file_system_that_lacks_something_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, instead: Any, what: str
) -> None:
    """The system's calls as they answer there: no test has such a file system at hand."""
    home = Home(str(folder / "home"))
    monkeypatch.setattr(call, instead)
    with pytest.raises(ConfigurationError, match=f"where {what}.*--home"):
        home.make()
    assert not os.path.exists(home.tails)


def test_a_copied_home_is_tried_by_its_first_owner(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.home.make()
    monkeypatch.setattr("mmap.mmap", _refusing(errno.ENODEV))

    async def own() -> None:
        with Store(cli.home) as store:
            async with owning(store):
                raise AssertionError("it was taken")

    with pytest.raises(ConfigurationError, match="memory cannot be shared"):
        anyio.run(own)
    cli.home.make()  # which is not tried each time


@needs("bindfs")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_real_file_system_without_shared_memory(folder: Path) -> None:
    """Also for a home that was made elsewhere, and copied there."""
    source, place = folder / "source", folder / "place"
    for each in (source, place):
        each.mkdir(mode=0o700)
    Cli(Home(str(source / "copied"))).run("create", "x")
    if subprocess.run(["bindfs", "-o", "direct_io", str(source), str(place)], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with contextlib.suppress(OSError), open(place / "tried", "w+b") as file:
            file.write(bytes(4096))
            file.flush()
            mmap.mmap(file.fileno(), 4096).close()
            pytest.skip("this kernel shares memory even there")
        for name in ("copied", "new"):
            cli = Cli(Home(str(place / name)))
            for words in (("create", "x"), ("tee",), ("drive", "--", "true"), ("daemon", "start")):
                said = cli.run(*words, code=4).stderr.decode()
                assert f"{cli.home.path} is on a file system (fuse) where memory cannot be shared" in said
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_what_passes_is_not_held_against_it(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("mmap.mmap", _refusing(number))
    assert lacking(str(folder)) is None


def test_permissions_that_do_not_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "open").mkdir(mode=0o755)
    for chmod in (lambda *_: None, _refusing(errno.EPERM)):
        monkeypatch.setattr("os.chmod", chmod)
        with pytest.raises(ConfigurationError, match="keeps no permissions"):
            Home(str(folder / "open")).make()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_home_of_another_users_is_refused(folder: Path) -> None:
    theirs = folder / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65534, 65534)
    with pytest.raises(ConfigurationError, match=rf"another user; .* inside it: --home {theirs}/ptstream$"):
        Home(str(theirs)).make()
    Home(str(theirs / "ptstream")).make()
    (folder / "volume" / "lost+found").mkdir(parents=True)
    os.chown(folder / "volume" / "lost+found", 65534, 65534)
    Home(str(folder / "volume")).make()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
@pytest.mark.parametrize("words", [("create", "hi"), ("ls",), ("cat", "@last"), ("drive", "--", "true"), ("tee",)])
def test_without_a_home_directory_nothing_is_made(folder: Path, cli: Cli, words: tuple[str, ...]) -> None:
    """A user without an entry, as containers have it, and without HOME."""
    folder.chmod(0o777)
    environment = {"PATH": os.environ["PATH"]}
    nobody = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"]
    nobody += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # Python may be where only root looks
    line = [*nobody, *PTSTREAM, *words]
    named = ({"PTSTREAM_HOME": "~/streams"}, {"PTSTREAM_HOME": "~nosuchuser/streams"})
    for more in ({}, {"HOME": "here"}, {"HOME": ""}, *named):
        done = subprocess.run(
            line, env=environment | more, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert done.returncode == 4, (more, done.stderr)
        assert b"--home or PTSTREAM_HOME" in done.stderr
        assert b"Traceback" not in done.stderr
    assert os.listdir(folder) == []


@pytest.mark.parametrize("proc", ["/proc/self/fd", "/nowhere"])
def test_a_socket_in_a_deep_directory(folder: Path, proc: str) -> None:
    deep = folder / ("d" * 150)
    deep.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with wire.short_path(str(deep / "s"), proc) as path:
            assert len(path) <= wire.SOCKET_PATH_MAX
            listener.bind(path)
            listener.listen()
        with wire.short_path(str(deep / "s"), proc) as path:
            client.connect(path)
    assert (deep / "s").is_socket()


def test_the_boot_without_proc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert boot_id("/nowhere") == "unknown"
    (folder / "sysctl").write_text("#!/bin/sh\necho 5A4F-11\n")
    (folder / "sysctl").chmod(0o755)
    assert boot_id("/nowhere") == "5A4F-11"
    assert boot_id() == boot_id()


def test_descendants_without_proc() -> None:
    assert descendants(os.getpid(), "/nowhere") == []


def test_the_config_file(home: Home) -> None:
    assert load(home) == Settings()
    home.make()
    Path(home.config).write_text('model = "m"\nidle_timeout = 0\n[endpoints.e]\nbase_url = "http://x/v1"\n')
    found = load(home)
    assert (found.model, found.idle_timeout, found.first_timeout) == ("m", None, 120.0)
    assert found.endpoints["e"].base_url == "http://x/v1"


@pytest.mark.parametrize(
    "text",
    [
        "model =",
        "modle = 'x'",
        "model = 3",
        "max_bytes = 0",
        "max_delay = -1",
        "idle_timeout = nan",
        "first_timeout = true",
        "endpoints = 3",
        "[endpoints.e]\nmodel = 'x'",
        "[endpoints.e]\nbase_url = 3",
        "[endpoints.e]\nbase_url = 'x'\nkey = 'secret'",
        "model = '\udcff'",
    ],
)
def test_an_odd_config_file(home: Home, text: str) -> None:
    home.make()
    Path(home.config).write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        load(home)


def test_a_config_that_cannot_be_read(home: Home) -> None:
    home.make()
    os.mkdir(home.config)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(home)
