"""Which proxy a caller's environment names for an address, and which addresses it exempts, as curl and Go read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from ptstream.integers import count_of
from ptstream.origins import DEFAULT_PORTS

SCHEMES = ("http", "https", "socks5", "socks5h")
"""Kinds of proxies that can be used."""


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    url: str
    variable: str

    @property
    def scheme(self) -> str:
        """How it is spoken to."""
        return self.url.partition("://")[0].lower()

    def __str__(self) -> str:
        """For a person: without a password, whatever characters that has."""
        place = self.url.partition("://")[2].rpartition("@")[2].partition("/")[0]
        return f"the proxy {place} ({self.variable})"


def proxy_for(url: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy by which `url` is reached; None where that is directly.

    The variables are `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, or the same in capitals.
    """
    scheme = urlsplit(url).scheme
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if value := environment.get(name, "").strip():
            if exempt(url, environment.get("no_proxy") or environment.get("NO_PROXY") or ""):
                return None
            return Proxy(_whole(value), name)
    return None


def _whole(address: str) -> str:
    """The address with a scheme that says what it is: desktops write `socks://` for what speaks SOCKS 5."""
    scheme, _, rest = address.rpartition("://")
    return f"{'socks5h' if scheme.lower() == 'socks' else scheme or 'http'}://{rest}"


def exempt(url: str, entries: str) -> bool:
    """Whether one of the entries, parted by commas or spaces, exempts the host of `url`.

    An entry is `*`, a domain (with all below it, with a dot before it or without), an address, a network as
    `10.0.0.0/8`, or one of these with `:PORT`.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return any(_matches(entry.lower(), host, port) for entry in re.split(r"[,\s]+", entries) if entry)


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    entry, wanted = _without_port(entry)
    if wanted is not None and wanted != port:
        return False
    address = _address(host)
    if address is not None:
        return _holds(entry, address)
    domain = entry.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith("." + domain))


def _without_port(entry: str) -> tuple[str, int | None]:
    """An entry in two; an IPv6 address has colons of its own, and a port only behind brackets."""
    head, colon, port = entry.rpartition(":")
    bracketed = head.startswith("[") and head.endswith("]")
    number = count_of(port)
    if colon and number is not None and (bracketed or ":" not in head):
        return head.strip("[]"), number
    return entry.strip("[]"), None


def _holds(entry: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
