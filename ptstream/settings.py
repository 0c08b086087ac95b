"""The home: where everything lies, and what a place must be to be one.

Never named by the config file, which lies in it: `cat` must find the database without reading one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from ptstream.errors import ConfigurationError
from ptstream.filesystem import NETWORK_FILESYSTEMS, filesystem_of, lacking


class Home(NamedTuple):
    """The one directory that holds everything (mode 0700). Paths only: nothing is made before it is needed."""

    path: str

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

    def make(self) -> None:
        """Make the home and its folders, private to their owner.

        Raises ConfigurationError where that is not possible, or where the place is somebody else's or lies on
        a file system on which neither the write-ahead log nor locks hold.
        """
        if os.path.isdir(os.path.join(self.path, "db")) and os.path.isdir(self.tails) and os.path.isdir(self.owners):
            self.check()
            return
        self._check_place()  # before anything is left there
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            self.check()
            self.try_out()
            for folder in (os.path.dirname(self.database), self.tails, self.owners, os.path.dirname(self.log)):
                os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the home {self.path} cannot be made: {error.strerror}; name another with --home"
            ) from error

    def check(self) -> None:
        """Raises ConfigurationError if the home is not ours alone or lies on a network file system.

        One that others could enter is closed to them, and what they have left in it by then is not followed.
        """
        try:
            found = os.stat(self.path)
            if found.st_uid != os.geteuid():
                raise ConfigurationError(f"the home {self.path} belongs to another user; {self._instead()}")
            if stat.S_IMODE(found.st_mode) & 0o077:
                self._close_to_others()
            planted = _of_others(self.path, os.path.dirname(self.database))
        except OSError as error:
            raise ConfigurationError(f"the home {self.path} cannot be read: {error.strerror}") from error
        if planted:
            raise ConfigurationError(f"{planted[0]} belongs to another user: remove it, or name a home with --home")
        self._check_place()

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
        with suppress(PermissionError):
            os.chmod(self.path, 0o700)
        if stat.S_IMODE(os.stat(self.path).st_mode) & 0o077:
            kind = filesystem_of(self.path)
            raise ConfigurationError(
                f"the home {self.path} cannot be closed to others: its file system{f' ({kind})' if kind else ''} keeps"
                " no permissions; name a directory on another one with --home"
            )

    def _instead(self) -> str:
        """What to name instead of a directory that is another user's: one inside, if that may be made there."""
        if os.access(self.path, os.W_OK | os.X_OK):
            return f"name a directory of your own inside it: --home {os.path.join(self.path, 'ptstream')}"
        return "name another with --home"


def _of_others(*folders: str) -> list[str]:
    """What in the folders, as far as they are there, is another user's, or is a link to such."""
    found: list[str] = []
    for folder in filter(os.path.isdir, folders):
        with os.scandir(folder) as entries:
            # A volume's own lost+found is root's, and nothing of ours is ever looked for in it.
            found += [entry.path for entry in entries if entry.name != "lost+found" and _is_of_others(entry)]
    return found


def _is_of_others(entry: os.DirEntry[str]) -> bool:
    try:
        return any(found.st_uid != os.geteuid() for found in (entry.stat(follow_symlinks=False), entry.stat()))
    except FileNotFoundError:  # gone meanwhile, or a link to nothing
        return False


def find_home(flag: str | None = None, environment: Mapping[str, str] = os.environ) -> Home:
    """The home: the flag, else PTSTREAM_HOME, else $XDG_DATA_HOME/ptstream, else ~/.local/share/ptstream.

    Raises ConfigurationError where none of them names a directory.
    """
    if named := flag or environment.get("PTSTREAM_HOME"):
        return Home(_absolute(named))
    data = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # the XDG specification: a relative path is to be ignored
        data = os.path.join(_absolute("~"), ".local", "share")
    return Home(os.path.join(data, "ptstream"))


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
