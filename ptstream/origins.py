"""Web origins: what a browser says of where a page is from (RFC 6454), and the addresses that they are of.

Pages of browsers have `http` or `https`; those of desktop apps and of browsers' extensions a scheme of their own.
"""

from __future__ import annotations

import ipaddress
import re
from types import MappingProxyType
from typing import NamedTuple

DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})

WITHOUT_PAGES = frozenset({"ws", "wss", "ftp"})
"""Schemes of addresses that no page is at."""

WITHOUT_ORIGIN = frozenset({"null", "about", "blob", "data", "javascript"})
"""What has no origin of its own, or is called as such pages call themselves."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:\[([0-9a-f:.]+)\]|([a-z0-9._~-]*))(?::([0-9]{1,5}))?")

_ANY = ipaddress.IPv4Address(0)

_NOTHING = re.compile(r"(0x0*|0+)(\.(0x0*|0+)){0,3}", re.IGNORECASE)
"""Zero, as one number of an IPv4 address or as up to four."""

_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")


class Origin(NamedTuple):
    """Scheme, host and port, None for the scheme's usual one. As text it is as browsers send it, in small letters."""

    scheme: str
    host: str
    port: int | None = None

    @property
    def authority(self) -> str:
        """The host, in brackets if it has colons, and the port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class PublicUrl(NamedTuple):
    """Where a page is, as its users type it: the path is empty, or begins with a slash and ends without one."""

    origin: Origin
    path: str = ""

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def origin_of(text: str) -> Origin | None:
    """The origin that `text` is, in whatever letters, None if it is none. `null` is none."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    scheme, v6, name, digits = found.groups()
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        return None
    try:
        host = str(ipaddress.IPv6Address(v6)) if v6 else name
    except ValueError:
        return None
    return Origin(scheme, host, None if port == DEFAULT_PORTS.get(scheme) else port)


def is_loopback(host: str) -> bool:
    """Whether only this machine is called so, as browsers send it.

    An IPv4 address in IPv6's form is no such name: see `OwnAddresses.is_told_sites`.
    """
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return found.is_loopback and not (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped)


def is_unspecified(host: str) -> bool:
    """Whether it means every address of a machine, which a browser takes for the machine itself.

    In any form that a browser or a resolver reads: `0` and `0x0` are IPv4 addresses (WHATWG URL, 3.5).
    """
    host = host.removesuffix(".")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return bool(_NOTHING.fullmatch(host))
    return found.is_unspecified or (isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped == _ANY)


def listed_origin(text: str) -> str:
    """An origin that a user names, in the one spelling. Raises ValueError, which says what is wrong with it."""
    scheme, separator, rest = text.partition("://")
    kind = scheme.partition(":")[0].lower()
    if kind in WITHOUT_ORIGIN or (kind == "file" and rest):
        raise ValueError(
            "a page that was opened from a file, or in a sandboxed frame, sends 'null', and so does anybody's:"
            " serve the page from an address, and list that"
        )
    _check_letters(text)
    if not separator:
        raise ValueError("it is SCHEME://HOST or SCHEME://HOST:PORT, as http://localhost:5173 or app://obsidian.md")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if authority != rest:
        raise ValueError(f"an origin has no path, not even a slash: it is {scheme}://{authority[:SHOWN]}")
    return str(_listed(text))


def _listed(text: str) -> Origin:
    found = origin_of(text)
    if found is None:
        raise ValueError("it has no such host or port")
    if found.scheme in WITHOUT_PAGES:
        raise ValueError("no page is there: its page has http or https")
    if not found.host and found != Origin("file", ""):  # which the windows of some apps send for their own files
        raise ValueError("it has no host")
    return found


def _check_letters(text: str) -> None:
    """Raises ValueError for what is in no origin, and in no address of a page."""
    if "*" in text:
        raise ValueError("there are no wildcards: list each origin")
    if "@" in text:
        raise ValueError("it has no user")
    if not text.isascii():
        raise ValueError("it is written in ASCII, as browsers send it (xn--…)")


def public_url_of(text: str) -> PublicUrl:
    """The address of a page that a user names. Raises ValueError, which says what is wrong with it."""
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    _check_letters(authority)
    found = origin_of(f"{scheme}://{authority}")
    if found is None or found.scheme not in DEFAULT_PORTS or not found.host or is_unspecified(found.host):
        raise ValueError("it is http:// or https:// and a host, as https://box.example.com")
    path = f"{slash}{path}".rstrip("/")
    if not _PATH.fullmatch(path):
        raise ValueError("its path has letters, digits and -._~ between its slashes, and no query")
    return PublicUrl(found, path)


SHOWN = 200
"""Characters of what a user wrote that an error repeats."""

_USER = re.compile(r"//[^/?#'\"]*@")
_QUERY = re.compile(r"\?[^#'\"\s]*")


def shown(value: object) -> str:
    """What a user wrote, as an error may repeat it: not at length, and of an address neither user nor query.

    A password, or a key, may stand there, and errors are shown to others, and kept.
    """
    try:
        said = repr(value)
    except ValueError:  # TOML has numbers in base 16 of more digits than Python makes a text of
        said = "a number of thousands of digits"
    if "://" in said:
        said = _QUERY.sub("?…", _USER.sub("//…@", said))
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"
