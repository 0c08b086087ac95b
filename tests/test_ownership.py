"""A home is ours alone, or no command reads a byte of it: whose it is, who may write there, and what lies in it."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

import ptstream
from ptstream import ownership
from ptstream.client.unix_socket import connect
from ptstream.config import Endpoint, load
from ptstream.daemon.keys import token_of
from ptstream.engine.sqlite.liveness import alive, boot_id, sweep
from ptstream.engine.sqlite.recovery import as_it_is
from ptstream.engine.sqlite.statements import CLAIM
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import TailReader
from ptstream.errors import ConfigurationError, DaemonSilent, DaemonUnreachable, StoreUnusable
from ptstream.generators import Caller
from ptstream.generators.llamacpp import embedded
from ptstream.generators.models.api_keys import key_for
from ptstream.generators.models.discovery import discover
from ptstream.settings import Home, find_home
from ptstream.streams import GenerationRequest
from tests.conftest import PTSTREAM, Cli, Lines, sqlite_itself, together
from tests.endpoint import acting_as

STRANGER = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give something away")

EVERY: Lines = (
    *(("ls",), ("ls", "--json"), ("cat", "@last"), ("cat", "--raw", "@last"), ("path",), ("show", "@last")),
    *(("watch", "@last"), ("wait", "@last"), ("search", "x"), ("cancel", "@last"), ("rm", "@last"), ("tee",)),
    *(("create", "x"), ("drive", "@last"), ("drive", "-p", "x"), ("drive", "--", "true"), ("models",)),
    *(
        ("models", "pull"),
        ("web", "--no-browser"),
        ("dial-stdio",),
        ("daemon", "status"),
        ("daemon", "status", "--json"),
    ),
    *(("daemon", "stop"), ("daemon", "start"), ("daemon", "run"), ("daemon", "token"), ("daemon", "logs")),
    ("__complete", "cat", ""),
)
"""Every command that goes into a home."""


def given_away(path: str | os.PathLike[str]) -> None:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The base URL of a server of a stranger's, and the keys that it was sent."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(str(self.headers["authorization"]))
            self.send_response(404)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", keys
        server.shutdown()
        thread.join()


@as_root
def test_no_command_reads_a_home_of_another_users(cli: Cli, asked: tuple[str, list[str]]) -> None:
    """Nor waits for what they planted there, nor sends their server a key, nor leaves anything."""
    url, keys = asked
    os.makedirs(os.path.dirname(cli.home.database))
    os.mkfifo(cli.home.database, 0o666)
    secret = Path(cli.home.path).parent / "secret"
    secret.write_text("my-own-secret")
    secret.chmod(0o600)
    entry = f'[endpoints.vllm]\nbase_url = "{url}"\n'
    Path(cli.home.config).write_text(
        f'model = "vllm/m"\n{entry}key_env = "AWS_SECRET_ACCESS_KEY"\n'
        f'{entry.replace("vllm", "lmstudio")}key_file = "{secret}"\n'
    )
    for path in (cli.home.path, *map(str, Path(cli.home.path).rglob("*"))):
        given_away(path)
    before = sorted(map(str, Path(cli.home.path).rglob("*")))
    for words, done in together(cli, EVERY, code=4, env={"AWS_SECRET_ACCESS_KEY": "my-aws-secret"}):
        if words[0] != "__complete":
            assert "belongs to another user" in (done.stderr + done.stdout).decode(), words
        assert b"Traceback" not in done.stderr, words
    daemon = subprocess.run(
        [*PTSTREAM[:-1], "ptstream.daemon", "--home", cli.home.path], env=cli.environment, capture_output=True
    )
    assert (daemon.returncode, b"another user" in daemon.stderr) == (4, True)
    assert keys == []
    assert sorted(map(str, Path(cli.home.path).rglob("*"))) == before


@as_root
def test_nor_does_a_program(home: Home) -> None:
    os.mkdir(home.path)
    Path(home.config).write_text("nonsense")
    given_away(home.path)

    async def program() -> None:
        async with ptstream.open(home.path):
            raise AssertionError("it was opened")

    with pytest.raises(ConfigurationError, match="another user"):
        anyio.run(program)
    with pytest.raises(ConfigurationError, match="another user"):
        list(ptstream.persist(["x"], path=home.path))


@as_root
def test_a_home_that_sudo_has_made_is_told_as_such(folder: Path) -> None:
    """Where it keeps HOME, as macOS's does."""
    (folder / "home").mkdir(mode=0o700)
    given_away(folder)
    try:
        os.seteuid(STRANGER)
        with pytest.raises(ConfigurationError, match=r"if you made it by sudo, take it back .sudo chown -R 65534 "):
            find_home(str(folder / "home"))
    finally:
        os.seteuid(0)


@as_root
def test_a_daemon_that_may_not_be_spoken_to_is_none_that_is_gone(folder: Path) -> None:
    """What the kernel says of it counts: whether the file is there changes while a daemon makes way for the next."""
    home = Home(str(folder))
    folder.chmod(0o755)

    async def ask() -> None:
        async with connect(home):
            raise AssertionError("nobody answers there")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(home.socket)
        with pytest.raises(DaemonUnreachable, match="is not running"):
            anyio.run(ask)
        os.chmod(home.socket, 0o600)
        with acting_as(STRANGER), pytest.raises(DaemonSilent, match="may not be spoken to"):
            anyio.run(ask)


# --- the home itself


def test_a_link_is_no_home(folder: Path) -> None:
    """Whoever made it: one out of an archive is ours. What it leads to is neither closed nor filled."""
    victim = folder / "victim"
    victim.mkdir(mode=0o755)
    for name, leads in (("home", victim), ("nowhere", folder / "missing")):
        (folder / name).symlink_to(leads)
        cli = Cli(Home(str(folder / name)))
        for _, done in together(cli, (("create", "x"), ("ls",), ("models",), ("daemon", "start")), code=4):
            assert f"{folder}/{name} is a symbolic link; name the directory itself" in done.stderr.decode()
            assert f"--home {leads}\n" in done.stderr.decode()
    assert (stat.S_IMODE(victim.stat().st_mode), os.listdir(victim)) == (0o755, [])
    assert not (folder / "missing").exists()


def test_a_link_above_it_is_nobodys_concern(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "data").symlink_to("disk")
    Home(str(folder / "data" / "home")).make()
    assert (folder / "disk" / "home" / "db").is_dir()


def test_what_is_no_directory_is_no_home(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "file").touch()
    for name in ("fifo", "file"):
        with pytest.raises(ConfigurationError, match="is no directory"):
            find_home(str(folder / name))
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Home(str(folder / "file" / "home")).make()


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o707, 0o1777])
def test_what_others_could_write_is_not_mended_in_silence(folder: Path, mode: int) -> None:
    """What is in it by now may be theirs, though it be ours: they may have moved it there. Also if it is empty."""
    home = Home(str(folder / "home"))
    os.mkdir(home.path)
    os.chmod(home.path, mode)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"can be written by others; .*: chmod 700 {home.path}$"):
            find_home(home.path)
        with pytest.raises(ConfigurationError, match="can be written by others"):
            home.make()
        assert stat.S_IMODE(os.stat(home.path).st_mode) == mode
    os.chmod(home.path, 0o700)
    find_home(home.path).make()


@sqlite_itself
def test_what_others_can_only_look_into_is_read_and_closed_by_who_writes(cli: Cli) -> None:
    cli.home.make()
    os.chmod(cli.home.path, 0o755)
    assert cli.out("ls") == ""
    assert stat.S_IMODE(os.stat(cli.home.path).st_mode) == 0o755
    cli.run("create", "x")
    assert stat.S_IMODE(os.stat(cli.home.path).st_mode) == 0o700


def test_it_is_made_private_whatever_the_umask(folder: Path) -> None:
    """With the directories above it, which others could else replace it in."""
    home = Home(str(folder / "a" / "b" / "home"))
    old = os.umask(0)
    try:
        home.make()
        with Store(home) as store:
            store.create(GenerationRequest(prompt="x"))
    finally:
        os.umask(old)
    for path in (folder / "a").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o700


# --- who may write above it


@pytest.mark.parametrize("mode", [0o777, 0o703])
@pytest.mark.parametrize("missing", [True, False], ids=["missing", "made"])
def test_no_home_below_a_directory_where_others_could_swap_it(folder: Path, mode: int, missing: bool) -> None:
    """They could move another directory of ours into its place: it is ours, and need not be what we take it for."""
    shared = folder / "shared"
    home = Home(str(shared / "mine" / "home"))
    if not missing:
        home.make()
    shared.mkdir(exist_ok=True)
    shared.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others can write {shared}, and .*: chmod \+t {shared}, or name"):
        find_home(home.path)
    with pytest.raises(ConfigurationError, match="others can write"):
        home.make()
    assert missing == (not os.path.exists(home.path))
    shared.chmod(0o1777)
    find_home(home.path).make()


def test_also_where_a_link_leads(folder: Path) -> None:
    for name in ("shared", "own"):
        (folder / name / "data").mkdir(parents=True)
    (folder / "shared").chmod(0o777)
    (folder / "own" / "link").symlink_to(folder / "shared" / "data")
    (folder / "shared" / "link").symlink_to(folder / "own" / "data")
    for name in ("own", "shared"):
        with pytest.raises(ConfigurationError, match=f"others can write {folder}/shared"):
            find_home(str(folder / name / "link" / "home"))


# --- groups


def test_a_group_may_write_if_nobody_else_is_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ssh has it where a umask of 002 goes with a group of one's own. The system's tables are a test's own."""
    place = folder / "home"
    place.mkdir()
    place.chmod(0o770)
    found = SimpleNamespace(st_mode=0o40770, st_gid=4242)
    me, other = (
        SimpleNamespace(pw_uid=uid, pw_gid=gid, pw_name=name)
        for uid, gid, name in ((os.geteuid(), 1, "me"), (77, 2, "other"))
    )
    cases: tuple[tuple[list[str] | None, list[SimpleNamespace], bool], ...] = (
        (None, [me, other], False),  # not in the tables: a container's
        ([], [me, other], False),
        (["me"], [me, other], False),
        (["other"], [me, other], True),
        (["me", "unknown"], [me], True),
        ([], [me, SimpleNamespace(pw_uid=78, pw_gid=4242, pw_name="third")], True),
    )
    for members, users, expected in cases:

        def group(_: int, members: list[str] | None = members) -> object:
            if members is None:
                raise KeyError
            return SimpleNamespace(gr_mem=members)

        monkeypatch.setattr("grp.getgrgid", group)
        monkeypatch.setattr("pwd.getpwall", lambda users=users: users)
        assert ownership.others_write(str(place), found) is expected, (members, users)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [("me", [], False), ("me", ["me"], False), ("me", ["me", "other"], True), ("staff", [], True), (None, [], False)],
)
def test_where_users_are_not_listed_only_ones_own_group_may_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, members: list[str], expected: bool
) -> None:
    """As LDAP has it, through SSSD: whose first group it is, no table tells."""

    def group(_: int) -> object:
        if name is None:
            raise KeyError
        return SimpleNamespace(gr_name=name, gr_mem=members)

    monkeypatch.setattr("grp.getgrgid", group)
    monkeypatch.setattr("pwd.getpwall", lambda: [SimpleNamespace(pw_uid=77, pw_gid=2, pw_name="local")])
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="me"))
    found = SimpleNamespace(st_mode=0o40770, st_gid=4242)
    assert ownership.others_write(str(folder), found) is expected  # type: ignore[arg-type]


@as_root
def test_a_group_of_others_may_not(home: Home) -> None:
    group = next(entry.gr_gid for entry in grp.getgrall() if entry.gr_name in ("daemon", "bin", "nogroup", "nobody"))
    home.make()
    os.chown(home.path, -1, group)
    os.chmod(home.path, 0o770)
    with pytest.raises(ConfigurationError, match="can be written by others"):
        find_home(home.path)


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of its lists")
@pytest.mark.parametrize("group", [0, 4242], ids=["root's", "nobody's"])
def test_an_access_list_counts_as_others(home: Home, group: int) -> None:
    """The mode says then that the group may write, in which nobody else is."""
    home.make()
    os.chown(home.path, -1, group)
    os.chmod(home.path, 0o770)
    find_home(home.path)
    nobody = 2**32 - 1
    owner, user, owning_group, mask, other = 1, 2, 4, 16, 32
    rows = ((owner, 7, nobody), (user, 7, STRANGER), (owning_group, 0, nobody), (mask, 7, nobody), (other, 0, nobody))
    try:
        os.setxattr(
            home.path, ownership.ACCESS_LIST, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *r) for r in rows)
        )
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert stat.S_IMODE(os.stat(home.path).st_mode) == 0o770
    with pytest.raises(ConfigurationError, match="can be written by others"):
        find_home(home.path)


# --- what lies in it

WRITTEN = ("db/ptstream.db", "db/ptstream.db-wal", "db/ptstream.db-shm", "log/daemon.log", "web.html", "daemon.lock")
FILES = (*WRITTEN, "schema.lock", "checkpoint.lock", "config.toml", "token")
FOLDERS = ("db", "tails", "owners", "log", "models")


def cleared(home: Home, name: str) -> Path:
    """The place of what is to be planted, in a home as it is made."""
    home.make()
    path = Path(home.path, name)
    if path.is_dir():
        shutil.rmtree(path)
    return path


@pytest.mark.parametrize("name", [*sorted({*FILES} - {"config.toml"}), "daemon.sock"])
def test_a_fifo_is_not_waited_for(home: Home, name: str) -> None:
    os.mkfifo(cleared(home, name))
    with pytest.raises(ConfigurationError, match=f"{name} is no .*: remove it"):
        find_home(home.path)


def test_no_command_waits_for_a_fifo(cli: Cli) -> None:
    os.mkfifo(cleared(cli.home, "config.toml"))
    for words, done in together(cli, (("models",), ("drive", "-p", "x"), ("daemon", "start")), code=4):
        assert b"config.toml cannot be read: it is no regular file" in done.stderr, words
    cli.run("ls")


@pytest.mark.parametrize("name", [*sorted({*FILES} - {"config.toml"}), "daemon.sock", *FOLDERS[:-1]])
def test_nothing_that_is_written_is_a_link(home: Home, name: str, folder: Path) -> None:
    """Also of our own, as out of an archive: what is swept, or filled, would be elsewhere."""
    target = folder / "target"
    if name in FOLDERS:
        target.mkdir()
    else:
        target.touch()
    cleared(home, name).symlink_to(target)
    with pytest.raises(ConfigurationError, match=f"{name} is a symbolic link: remove it"):
        find_home(home.path)


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_that_is_written_has_another_name(home: Home, name: str, folder: Path) -> None:
    (folder / "mine").touch()
    os.link(folder / "mine", cleared(home, name))
    with pytest.raises(ConfigurationError, match=f"{name} has another name"):
        find_home(home.path)


@as_root
@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_nothing_in_it_is_another_users(home: Home, name: str, folder: Path) -> None:
    """As it is, as a link of theirs to what is ours, and (`mv` keeps owners) as one that we cannot have made."""
    path = cleared(home, name)
    (folder / "ours").mkdir()
    plants: list[Callable[[], object]] = [path.touch, path.mkdir, lambda: path.symlink_to(folder / "ours")]
    for plant in plants:
        plant()
        given_away(path)
        with pytest.raises(ConfigurationError, match=f"{name} belongs to another user: remove it"):
            find_home(home.path)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_nothing_in_it_can_be_written_by_others(home: Home, name: str) -> None:
    path = cleared(home, name)
    path.mkdir() if name in FOLDERS else path.touch()
    path.chmod(0o722)
    with pytest.raises(ConfigurationError, match=f"{name} can be written by others: .*: chmod go-w {path}$"):
        find_home(home.path)


def test_what_we_only_read_may_lie_elsewhere(home: Home, folder: Path) -> None:
    """As who keeps configurations in a repository, and models on another disk, has it."""
    home.make()
    (folder / "dotfiles.toml").write_text('model = "m"\n')
    Path(home.config).symlink_to(folder / "dotfiles.toml")
    (folder / "disk").mkdir()
    Path(home.models).symlink_to(folder / "disk")
    assert load(find_home(home.path)).model == "m"
    (folder / "dotfiles.toml").chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"config\.toml can be written by others"):
        find_home(home.path)
    Path(home.config).unlink()
    Path(home.config).symlink_to("/dev/zero")
    with pytest.raises(ConfigurationError, match=r"config\.toml cannot be read: it is no regular file"):
        load(find_home(home.path))


@as_root
def test_a_link_to_a_config_of_anothers_is_theirs(home: Home, folder: Path) -> None:
    home.make()
    (folder / "theirs").touch()
    given_away(folder / "theirs")
    Path(home.config).symlink_to(folder / "theirs")
    with pytest.raises(ConfigurationError, match=r"config\.toml belongs to another user"):
        find_home(home.path)


@as_root
def test_what_is_not_ptstreams_is_nobodys_concern(home: Home) -> None:
    """A volume's own lost+found, and whatever a program keeps in a directory that is its home as well."""
    home.make()
    for name in ("lost+found", "app.sock", "db/notes"):
        Path(home.path, name).touch()
        given_away(Path(home.path, name))
    find_home(home.path).make()


# --- what is opened later


def test_a_home_is_checked_when_its_database_is_opened(home: Home) -> None:
    """It may have come there after it was named."""
    with Store(find_home(home.path)) as store:
        assert store.streams() == []
        os.makedirs(os.path.dirname(home.database))
        os.mkfifo(home.database)
        with pytest.raises(ConfigurationError, match="is no regular file"):
            store.streams()


def plant_fifo(path: str) -> None:
    os.mkfifo(path, 0o600)


def plant_foreign(path: str) -> None:
    Path(path).touch(mode=0o600)
    given_away(path)


def plant_writable(path: str) -> None:
    Path(path).touch()
    os.chmod(path, 0o666)


PLANTS = [plant_fifo, plant_writable, pytest.param(plant_foreign, marks=as_root)]


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_opened_is_judged_when_it_is_open(home: Home, folder: Path, plant: Callable[[str], None]) -> None:
    """The daemon reads config, keys, token and tails long after its start."""
    home.make()
    for path in (home.config, home.token, str(folder / "key"), os.path.join(home.tails, "x.1")):
        plant(path)
    key = Endpoint("e", "http://x/v1", key_file=str(folder / "key"))
    reads: tuple[Callable[[], object], ...] = (
        lambda: load(home),
        lambda: token_of(home),
        lambda: key_for(key, Caller("/", {}), home),
    )
    for read in reads:
        with pytest.raises(ConfigurationError, match=r"cannot be read: it (is no|can be|belongs)"):
            read()
    with pytest.raises(OSError, match=r"it (is no|can be|belongs)"):
        TailReader(os.path.join(home.tails, "x.1"), 0)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_tail_is_nobodys_text(store: Store, plant: Callable[[str], None]) -> None:
    id = store.create(GenerationRequest(prompt="x")).id
    with contextlib.closing(sqlite3.connect(store.home.database, isolation_level=None)) as connection:
        connection.execute(CLAIM, {"id": id, "owner": "gone", "boot": boot_id(), "at": 0, "model": "m", "place": "p"})
    plant(store.tail_path(id, 1))
    with pytest.raises(StoreUnusable, match="cannot be read: it"):
        as_it_is(store, store.get(id))


def test_a_planted_owner_is_not_waited_for(home: Home) -> None:
    home.make()
    os.mkfifo(os.path.join(home.owners, "abc"))
    assert not alive(home, "abc")
    sweep(home, frozenset())
    assert os.listdir(home.owners) == []


@as_root
def test_a_model_file_of_anothers_is_not_offered(home: Home) -> None:
    home.make()
    os.mkdir(home.models)
    for name in (embedded.FILE, "theirs.gguf", "ours.gguf"):
        Path(home.models, name).touch()
        if name != "ours.gguf":
            given_away(Path(home.models, name))
    assert embedded.find(home) != os.path.join(home.models, embedded.FILE)
    found = anyio.run(discover, Caller("/", {"OLLAMA_HOST": "127.0.0.1:1"}), load(home), home)
    assert [each.name for each in found if "gguf" in each.name] == [f"gguf:{home.models}/ours.gguf"]


@as_root
def test_a_key_that_is_roots_or_in_a_link_is_a_key(home: Home, folder: Path) -> None:
    """As secrets are mounted into containers."""
    (folder / "data").write_text("sk-x")
    (folder / "data").chmod(0o600)
    (folder / "key").symlink_to("data")
    assert key_for(Endpoint("e", "http://x/v1", key_file=str(folder / "key")), Caller("/", {}), home) == "sk-x"


@as_root
def test_nobody_speaks_to_a_strangers_socket(cli: Cli) -> None:
    cli.home.make()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(cli.home.socket)
        listener.listen()
        listener.setblocking(False)
        given_away(cli.home.socket)
        for _, done in together(cli, (("daemon", "status"), ("drive", "--", "true"), ("dial-stdio",)), code=4):
            assert b"daemon.sock belongs to another user" in done.stderr + done.stdout
        with pytest.raises(BlockingIOError):
            listener.accept()
