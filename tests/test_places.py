"""Where things lie, and what is done where /proc is not: every use of it has a fall-back."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from ptstream import settings, wire
from ptstream.errors import ConfigurationError
from ptstream.generators.command import descendants
from ptstream.settings import Home, Settings, filesystem_of, find_home, load
from ptstream.store.owners import boot_id


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_home_of_another_users_is_refused(folder: Path) -> None:
    (folder / "theirs").mkdir(mode=0o700)
    os.chown(folder / "theirs", 65534, 65534)
    with pytest.raises(ConfigurationError, match="another user"):
        Home(str(folder / "theirs")).make()


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
