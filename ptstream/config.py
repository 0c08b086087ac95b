"""What the user set: the config file in the home, TOML. Flags over environment over config over defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ptstream import strict_json
from ptstream.errors import ConfigurationError
from ptstream.origins import SHOWN, PublicUrl, listed_origin, public_url_of, shown
from ptstream.ownership import opened
from ptstream.settings import Home
from ptstream.streams import NOT_OPTIONS


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
    models: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Further fields of the requests to one of its models, by the model's name: they go before those of `body`."""
    stream: bool = True
    stream_options: bool = True
    """Whether it is asked for a stream, and for usage at its end. What an endpoint refuses is left out in any case."""
    tries: int = 3
    """How often it is asked, in all, while it is busy or not there."""
    longest_wait: float | None = None
    """How long it may want not to be asked for. None: as long as its first piece may take."""
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
    plain_http: bool = False
    """Whether the token may go over a network in the clear: the network is trusted."""

    @property
    def limits(self) -> Limits:
        """How long a generation may take."""
        return Limits(self.first_timeout, self.idle_timeout, self.total_timeout)


def load(home: Home) -> Settings:
    """What the config file says. Raises ConfigurationError for one that cannot be read, or says something odd."""
    try:
        with open(opened(home.config, "given"), "rb") as file:
            import tomllib  # where there is a file: it takes as long to load as all the rest of this module

            table = tomllib.load(file)
    except FileNotFoundError:
        table = {}
    except OSError as error:
        raise ConfigurationError(f"{home.config} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8; a number of too many digits; too deep
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
        "plain_http": (bool,),
    }
)
"""The keys of the config file outside its tables, and what their values may be."""

ADDRESSES = ("origins", "public_url")
"""Those that are addresses of pages, or lists of such."""


def _settings(table: dict[str, Any], place: str) -> Settings:
    values: dict[str, Any] = {"endpoints": _endpoints(table.pop("endpoints", {}), place)}
    for key, value in table.items():
        if key not in KEYS:
            raise ConfigurationError(f"{place}: unknown key {shown(key)} (known: {', '.join([*KEYS, 'endpoints'])})")
        is_flag = isinstance(value, bool)
        if not isinstance(value, KEYS[key]) or is_flag != (KEYS[key] == (bool,)) or not _sensible(key, value):
            raise ConfigurationError(f"{place}: {key} cannot be {shown(value)}")
        if key in ADDRESSES:
            value = _addresses(key, value, place)
        # A time-out of 0 switches it off.
        values[key] = None if key.endswith("_timeout") and value == 0 else value
    return Settings(**values)


def _addresses(key: str, value: Any, place: str) -> Any:
    read: Callable[[str], Any] = listed_origin if key == "origins" else public_url_of
    found = []
    for text in value if isinstance(value, list) else [value]:
        try:
            found.append(read(text))
        except ValueError as error:
            verb = "have" if isinstance(value, list) else "be"
            raise ConfigurationError(f"{place}: {key} cannot {verb} {shown(text)}: {error}") from error
    return tuple(found) if isinstance(value, list) else found[0]


MOST = 10**10
"""Seconds, or bytes: more than anybody waits for, or has. What is larger still is no number to reckon with."""


def _sensible(key: str, value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    least = {"max_bytes": 1}.get(key, 0)
    return isinstance(value, str) or least <= value <= MOST


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token (RFC 9110, 5.6.2)."""


class Kind(NamedTuple):
    """What a value may be: in words, and whether one is."""

    what: str
    fits: Callable[[Any], bool]


def _is_table_of_strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_table_of_headers(value: Any) -> bool:
    return _is_table_of_strings(value) and all(map(_is_header, value))


def _is_body(value: Any) -> bool:
    try:
        strict_json.loads(strict_json.dumps(value))
    except (TypeError, ValueError, RecursionError):  # TOML's dates and infinities
        return False
    return isinstance(value, dict) and not NOT_OPTIONS & set(value)


def _is_table_of_bodies(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_body, value.values()))


def _is_header(value: Any) -> bool:
    return isinstance(value, str) and bool(HEADER_NAME.fullmatch(value))


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST


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
            f"a table of further fields, as JSON has them, without {', '.join(sorted(NOT_OPTIONS))}",
            _is_body,
        ),
        "models": Kind("a table of models, each a table of further fields as body has them", _is_table_of_bodies),
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
    return {name: _endpoint(name, entry, f"{place}: [endpoints.{name[:SHOWN]}]") for name, entry in table.items()}


def _endpoint(name: str, entry: Any, place: str) -> Endpoint:
    if not isinstance(entry, dict) or "base_url" not in entry:
        raise ConfigurationError(f"{place} needs a base_url")
    for key, value in entry.items():
        if key not in ENDPOINT_KEYS:
            raise ConfigurationError(f"{place}: unknown key {shown(key)} (known: {', '.join(ENDPOINT_KEYS)})")
        if not ENDPOINT_KEYS[key].fits(value):  # which is not repeated: it may be a key
            raise ConfigurationError(f"{place}: {key} is {ENDPOINT_KEYS[key].what}")
    return Endpoint(name=name, **entry)
