"""Where things lie and what the user set: the home, and the config file in it.

Flags over environment over config over defaults. The home is never named by the config file, because
`cat` must find the database without reading one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ptstream.errors import ConfigurationError
from ptstream.filesystem import NETWORK_FILESYSTEMS, filesystem_of, lacking

if TYPE_CHECKING:
    from ptstream.origins import PublicUrl


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
    expanded = os.path.expanduser(path)
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


class Limits(NamedTuple):
    """Seconds a generator may stay silent before its first piece, between two, and may take in all. None: for ever."""

    first: float | None = None
    idle: float | None = None
    total: float | None = None


class Endpoint(NamedTuple):
    """One OpenAI-compatible endpoint of the config file: `[endpoints.NAME]`. Times are seconds.

    The key is read from the variable `key_env` or the file `key_file` (mode 0600), never from the config itself.
    """

    name: str
    base_url: str
    model: str | None = None
    key_env: str | None = None
    key_file: str | None = None
    key_header: str | None = None
    """The header that takes the key as it is, for who has another than `Authorization: Bearer` (Azure: `api-key`)."""
    continues: bool = False
    """Whether it goes on with a last message of the assistant's, instead of answering it."""
    headers: Mapping[str, str] = MappingProxyType({})
    query: Mapping[str, str] = MappingProxyType({})
    body: Mapping[str, Any] = MappingProxyType({})
    """Further headers, parameters and fields of every request."""
    stream: bool = True
    stream_options: bool = True
    """Whether it is asked for a stream, and for usage at its end. What an endpoint refuses is left out in any case."""
    tries: int = 3
    """How often it is asked, in all, while it is busy or not there."""
    longest_wait: float | None = None
    """How long it may want to be left alone for. None: as long as its first piece may take."""
    first_timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    """Its own limits; None: those of all. 0: for ever."""

    def limits(self, settings: Settings) -> Limits:
        """How long its generation may take."""
        own = zip((self.first_timeout, self.idle_timeout, self.total_timeout), settings.limits, strict=True)
        return Limits(*(common if mine is None else mine or None for mine, common in own))


class Settings(NamedTuple):
    """What the config file says, with the defaults for what it leaves out. Times are seconds, sizes bytes."""

    model: str | None = None
    endpoints: Mapping[str, Endpoint] = MappingProxyType({})
    first_timeout: float | None = 120.0
    idle_timeout: float | None = 120.0
    total_timeout: float | None = None
    max_delay: float = 10.0
    max_bytes: int = 16 * 1024
    listen: str | None = None
    """`HOST:PORT` where the daemon answers HTTP besides its socket. None: nowhere."""
    origins: tuple[str, ...] = ()
    """Web apps, desktop apps and extensions whose pages may call the daemon there, as `http://localhost:5173`."""
    public_url: PublicUrl | None = None
    """Where a proxy before the daemon has its page, as `https://box.example.com`."""

    @property
    def limits(self) -> Limits:
        """How long a generation may take."""
        return Limits(self.first_timeout, self.idle_timeout, self.total_timeout)


def load(home: Home) -> Settings:
    """What the config file says. Raises ConfigurationError for one that cannot be read, or says something odd."""
    import tomllib

    try:
        with open(home.config, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        table = {}
    except OSError as error:
        raise ConfigurationError(f"{home.config} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{home.config}: {error}") from error
    return _settings(table, home.config)


KEYS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "model": (str,),
        "first_timeout": (int, float),
        "idle_timeout": (int, float),
        "total_timeout": (int, float),
        "max_delay": (int, float),
        "max_bytes": (int,),
        "listen": (str,),
        "origins": (list,),
        "public_url": (str,),
    }
)
"""The keys of the config file outside its tables, and what their values may be."""

ADDRESSES = ("origins", "public_url")
"""Those that are addresses of pages, or lists of such."""


def _settings(table: dict[str, Any], place: str) -> Settings:
    values: dict[str, Any] = {"endpoints": _endpoints(table.pop("endpoints", {}), place)}
    for key, value in table.items():
        if key not in KEYS:
            raise ConfigurationError(f"{place}: unknown key {key!r} (known: {', '.join([*KEYS, 'endpoints'])})")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool) or not _sensible(key, value):
            raise ConfigurationError(f"{place}: {key} cannot be {value!r}")
        if key in ADDRESSES:
            value = _addresses(key, value, place)
        # A time-out of 0 switches it off.
        values[key] = None if key.endswith("_timeout") and value == 0 else value
    return Settings(**values)


def _addresses(key: str, value: Any, place: str) -> Any:
    from ptstream.origins import listed_origin, public_url_of  # not for `cat`, which begins with this module

    read: Callable[[str], Any] = listed_origin if key == "origins" else public_url_of
    found = []
    for text in value if isinstance(value, list) else [value]:
        try:
            found.append(read(text))
        except ValueError as error:
            verb = "have" if isinstance(value, list) else "be"
            raise ConfigurationError(f"{place}: {key} cannot {verb} {text!r}: {error}") from error
    return tuple(found) if isinstance(value, list) else found[0]


def _sensible(key: str, value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    least = {"max_bytes": 1}.get(key, 0)
    return isinstance(value, str) or least <= value < float("inf")


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token (RFC 9110, 5.6.2)."""

OURS = frozenset(("model", "messages", "stream", "stream_options"))
"""Fields of a request that have other places than an endpoint's `body`."""


class Kind(NamedTuple):
    """What a value may be: in words, and whether one is."""

    what: str
    fits: Callable[[Any], bool]


def _is_table_of_strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_table_of_headers(value: Any) -> bool:
    return _is_table_of_strings(value) and all(map(_is_header, value))


def _is_header(value: Any) -> bool:
    return isinstance(value, str) and bool(HEADER_NAME.fullmatch(value))


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


STRING = Kind("a string", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
SECONDS = Kind("a number of seconds, or 0 for ever", _is_seconds)

ENDPOINT_KEYS: Mapping[str, Kind] = MappingProxyType(
    {
        "base_url": STRING,
        "model": STRING,
        "key_env": STRING,
        "key_file": STRING,
        "key_header": Kind("the name of a header", _is_header),
        "continues": FLAG,
        "headers": Kind("a table of headers", _is_table_of_headers),
        "query": Kind("a table of strings", _is_table_of_strings),
        "body": Kind(
            f"a table of further fields, without {', '.join(sorted(OURS))}",
            lambda value: isinstance(value, dict) and not OURS & set(value),
        ),
        "stream": FLAG,
        "stream_options": FLAG,
        "tries": Kind("a whole number of at least 1", lambda value: type(value) is int and value >= 1),
        "longest_wait": Kind("a number of seconds", _is_seconds),
        "first_timeout": SECONDS,
        "idle_timeout": SECONDS,
        "total_timeout": SECONDS,
    }
)
"""What an endpoint may have."""


def _endpoints(table: Any, place: str) -> dict[str, Endpoint]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{place}: endpoints are tables: [endpoints.NAME]")
    return {name: _endpoint(name, entry, f"{place}: [endpoints.{name}]") for name, entry in table.items()}


def _endpoint(name: str, entry: Any, place: str) -> Endpoint:
    if not isinstance(entry, dict) or "base_url" not in entry:
        raise ConfigurationError(f"{place} needs a base_url")
    for key, value in entry.items():
        if key not in ENDPOINT_KEYS:
            raise ConfigurationError(f"{place}: unknown key {key!r} (known: {', '.join(ENDPOINT_KEYS)})")
        if not ENDPOINT_KEYS[key].fits(value):  # which is not repeated: it may be a key
            raise ConfigurationError(f"{place}: {key} is {ENDPOINT_KEYS[key].what}")
    return Endpoint(name=name, **entry)
