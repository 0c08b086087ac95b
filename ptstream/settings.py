"""The home: where everything lies, and what a place must be to be one.

Never named by the config file, which lies in it: `cat` must find the database without reading one.
"""

from __future__ import annotations

import os
import stat

from ptstream.errors import ConfigurationError
from ptstream.filesystem import NETWORK_FILESYSTEMS, filesystem_of, lacking
from ptstream.ownership import BELONGS, HARD_LINK, LINK, ODD, ROOT, WRITABLE, open_to_swaps, why_not_ours

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SQLITE = "sqlite:"
"""The URL of the database in the home."""


class Home:
    """The one directory that holds everything (mode 0700). Paths only: nothing is made before it is needed.

    `store` is the URL of the engine that keeps the streams: the home's own database, or a server's, which has a
    password.
    """

    __slots__ = ("path", "store")

    def __init__(self, path: str, store: str = SQLITE) -> None:
        self.path = path
        self.store = store

    def __repr__(self) -> str:
        return f"Home({self.path!r}, {self.store_name!r})"

    @property
    def is_local(self) -> bool:
        """Whether the streams are in the home itself, where a command need not wait for a network."""
        return self.store == SQLITE

    @property
    def is_single_file(self) -> bool:
        """Whether it is no directory, but a database alone, with nothing beside it."""
        return False

    @property
    def location(self) -> str:
        """Where the streams are: the database's path, or the engine's URL without what must not be shown."""
        return self.database if self.is_local else self.store_name

    @property
    def store_name(self) -> str:
        """The URL of the engine without what must not be shown: the same for the same place."""
        return without_secrets(self.store)

    @property
    def database(self) -> str:
        """The SQLite file, alone in its folder, so that nothing but a commit wakes the folder's watchers."""
        return os.path.join(self.path, "db", "ptstream.db")

    @property
    def tails(self) -> str:
        """The folder of running streams' tails."""
        return os.path.join(self.path, "tails")

    @property
    def owners(self) -> str:
        """The folder of owners' lock files."""
        return os.path.join(self.path, "owners")

    @property
    def socket(self) -> str:
        """The daemon's Unix socket."""
        return os.path.join(self.path, "daemon.sock")

    @property
    def models(self) -> str:
        """The folder where `models pull` keeps model files."""
        return os.path.join(self.path, "models")

    @property
    def log(self) -> str:
        """The daemon's log."""
        return os.path.join(self.path, "log", "daemon.log")

    @property
    def token(self) -> str:
        """What lets in who calls the daemon over the network (mode 0600; it may be missing)."""
        return os.path.join(self.path, "token")

    @property
    def sessions(self) -> str:
        """The sessions of browsers that were let in (mode 0600; it may be missing)."""
        return os.path.join(self.path, "sessions.json")

    @property
    def config(self) -> str:
        """The config file (it may be missing)."""
        return os.path.join(self.path, "config.toml")

    def lock(self, name: str) -> str:
        """The lock file called `name`. Such a file is never unlinked: several lock it in turn."""
        return os.path.join(self.path, f"{name}.lock")

    @property
    def page(self) -> str:
        """What sends a browser to the page."""
        return os.path.join(self.path, "web.html")

    def make(self) -> None:
        """Make the home and its folders, private to their owner; one that others may look into is closed to them.

        Raises ConfigurationError where that is not possible, where `check` does, or where the place lies on a file
        system on which neither the write-ahead log nor locks hold.
        """
        self.check()
        self._check_place()  # before anything is written there
        try:
            if self._is_made:
                self._close_to_others()
                return
            _make_folder(self.path)
            self.check()  # who was faster may have been somebody else
            self._close_to_others()
            self.try_out()
            for folder in (os.path.dirname(self.database), self.tails, self.owners, os.path.dirname(self.log)):
                os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the home {self.path} cannot be made: {error.strerror}; name another with --home"
            ) from error

    @property
    def _is_made(self) -> bool:
        return all(map(os.path.isdir, (os.path.dirname(self.database), self.tails, self.owners)))

    def check(self) -> None:
        """Raises ConfigurationError if anybody but us and root may have a hand in the home, or in what we keep in it.

        Changes nothing, and costs some twenty looks (0.1 ms). It comes before anything in a home is read, by whatever
        command: what passes can be changed by us alone from then on, so that it may be opened by its path.
        """
        try:
            if folder := open_to_swaps(self.path):
                raise ConfigurationError(
                    f"others can write {folder}, and put another directory in the place of the home {self.path}:"
                    f" chmod +t {folder}, or name a home elsewhere with --home"
                )
            if why := why_not_ours(self.path, "directory"):
                raise ConfigurationError(f"the home {self.path} {why}; {self._instead(why)}")
            for path, kind in self._kept():
                why = why_not_ours(path, kind)
                # An odd config file is reported by whoever reads it: `opened` does not wait for a FIFO.
                if why and not (kind == "given" and why == ODD):
                    raise ConfigurationError(f"{path} {why}: {_remedy(path, why)}")
        except OSError as error:
            raise ConfigurationError(f"the home {self.path} cannot be read: {error.strerror}") from error

    def _kept(self) -> Iterable[tuple[str, str]]:
        """What has a name of its own in the home, and of which kind it must be. Folders before what lies in them."""
        database, log = self.database, self.log
        yield from ((folder, "directory") for folder in (os.path.dirname(database), self.tails, self.owners))
        yield from ((database + end, "written") for end in ("", "-wal", "-shm"))
        yield from ((os.path.dirname(log), "directory"), (log, "written"), (log + ".1", "written"))
        yield from ((self.lock(name), "written") for name in ("daemon", "schema", "checkpoint"))
        yield from (
            (self.config, "given"),
            (self.token, "file"),
            (self.sessions, "file"),
            (self.socket, "socket"),
            (self.page, "written"),
            (self.models, "shelf"),
        )

    def _check_place(self) -> None:
        kind = filesystem_of(self.path)
        if kind in NETWORK_FILESYSTEMS:
            raise ConfigurationError(
                f"the home {self.path} is on a network file system ({kind}), where locks do not hold;"
                " name a local directory with --home"
            )

    def try_out(self) -> None:
        """Raises ConfigurationError if what the home lies on does not carry locks, shared memory or sockets.

        By trying (about 1 ms): whoever makes the home does it, and every owner before it relies on them.
        """
        if why := self.why_unfit():
            raise ConfigurationError(why)

    def why_unfit(self) -> str | None:
        """The same as a sentence; None if nothing is known against it."""
        if (what := lacking(self.path)) is None:
            return None
        kind = filesystem_of(self.path)
        return (
            f"the home {self.path} is on a file system{f' ({kind})' if kind else ''} where {what};"
            " name a local directory with --home"
        )

    def _close_to_others(self) -> None:
        """Raises ConfigurationError where permissions are not kept, as on a stick's FAT; OSError."""
        if not stat.S_IMODE(os.lstat(self.path).st_mode) & 0o077:
            return
        from contextlib import suppress  # late: `cat` makes no home

        with suppress(PermissionError):
            os.chmod(self.path, 0o700)
        if stat.S_IMODE(os.lstat(self.path).st_mode) & 0o077:
            kind = filesystem_of(self.path)
            raise ConfigurationError(
                f"the home {self.path} cannot be closed to others: its file system{f' ({kind})' if kind else ''} keeps"
                " no permissions; name a directory on another one with --home"
            )

    def _instead(self, why: str) -> str:
        """What to do about a directory that is no home for us."""
        if why == LINK:
            return f"name the directory itself, if that is yours: --home {os.path.realpath(self.path)}"
        if why == WRITABLE:
            return f"look at what they left in it, then close it: chmod 700 {self.path}"
        sudo = ""
        if why == BELONGS:
            sudo = _as_its_owner(self.path) if os.geteuid() == ROOT else _back_from_root(self.path)
        if why == BELONGS and os.path.isdir(self.path) and os.access(self.path, os.W_OK | os.X_OK):
            inside = os.path.join(self.path, "ptstream")
            if open_to_swaps(inside) is None:
                return f"{sudo}name a directory of your own inside it: --home {inside}"
        return f"{sudo}name another with --home"


def _as_its_owner(path: str) -> str:
    """For root, whose streams would be none of that user's, and whose keys are not that user's business."""
    import pwd

    uid = os.lstat(path).st_uid
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"'#{uid}'"
    return f"run this as its owner (sudo -u {name}), or "


def _back_from_root(path: str) -> str:
    """For whom root's home lies in a folder of, as `sudo` leaves it where it keeps HOME."""
    if os.lstat(path).st_uid == ROOT and os.stat(os.path.dirname(path)).st_uid == os.geteuid():
        return f"if you made it by sudo, take it back (sudo chown -R {os.geteuid()} {path}), or "
    return ""


def _remedy(path: str, why: str) -> str:
    if why == WRITABLE:
        return f"look at what they left in it, then close it: chmod go-w {path}"
    if why == HARD_LINK:
        return "remove the other name, or name another home with --home"
    return "remove it, or name another home with --home"


def _make_folder(path: str) -> None:
    """Make the directory and those above it, as far as they are missing, each private whatever the umask. OSError."""
    if path and not os.path.isdir(path):
        _make_folder(os.path.dirname(path))
        from contextlib import suppress  # late: as above

        with suppress(FileExistsError):
            os.mkdir(path, 0o700)


def find_home(flag: str | None = None, environment: Mapping[str, str] = os.environ) -> Home:
    """The home: the flag, else PTSTREAM_HOME, else $XDG_DATA_HOME/ptstream, else ~/.local/share/ptstream.

    Its streams are where PTSTREAM_STORE says, unless the flag names a directory: that has its own. Raises
    ConfigurationError where none of them names a directory, and for one that is not ours alone (`Home.check`).
    """
    home = Home(_place(flag, environment), SQLITE if flag else store_of(environment))
    home.check()
    return home


def store_of(environment: Mapping[str, str]) -> str:
    """The URL of the engine: PTSTREAM_STORE, else that of the home's own database."""
    return environment.get("PTSTREAM_STORE") or SQLITE


def without_secrets(url: str) -> str:
    """An engine's URL for a person, a log or another process: without passwords, and what else names no place."""
    from urllib.parse import parse_qsl, urlencode  # for who uses an engine elsewhere

    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"{scheme.partition(':')[0]}:"
    if "@" in rest.partition("?")[2]:  # in which of the two a password ends is not to be known
        return f"{scheme}://"
    server, _, query = rest.partition("?")
    user, at, place = server.rpartition("@")
    user = user.partition(":")[0].partition("/")[0]
    kept = urlencode([(name, value) for name, value in parse_qsl(query) if name in NAMES_A_PLACE], safe="/")
    return f"{scheme}://{user}{at}{place}{kept and '?'}{kept}"


NAMES_A_PLACE = ("host", "hostaddr", "port", "user", "dbname", "service", "options")
"""What of a query says where the streams are (libpq, 34.1.2); none of it is secret."""


def _place(flag: str | None, environment: Mapping[str, str]) -> str:
    if named := flag or environment.get("PTSTREAM_HOME"):
        return _absolute(named)
    data = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # the XDG specification: a relative path is to be ignored
        data = os.path.join(_absolute("~"), ".local", "share")
    return os.path.join(os.path.normpath(data), "ptstream")


def _absolute(path: str) -> str:
    """The path from the root on. Raises ConfigurationError if it begins in a directory that there is not."""
    expanded = path if path.startswith("~") and os.environ.get("HOME") == "" else os.path.expanduser(path)
    if expanded.startswith("~"):
        user = path.partition("/")[0][1:]
        who = f"{user!r}" if user else f"user {os.getuid()}, and HOME is not set"
        raise ConfigurationError(f"there is no home directory of {who}; name the home with --home or PTSTREAM_HOME")
    if path.startswith("~") and not os.path.isabs(expanded):
        raise ConfigurationError(f"HOME is no absolute path: {expanded!r}; name the home with --home or PTSTREAM_HOME")
    try:
        return os.path.abspath(expanded)
    except FileNotFoundError as error:
        raise ConfigurationError(f"the current directory is gone: the home {path} cannot be found in it") from error
