"""Addresses to listen on: how one is written, and the sockets there."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

from ptstream.errors import ConfigurationError
from ptstream.origins import is_loopback, shown

log = logging.getLogger("ptstream")


class ListenAddress(NamedTuple):
    """Where to listen. Port 0 is any that is free."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


USUAL = ListenAddress("127.0.0.1", 7878)
"""Where the page is unless the config file says otherwise."""


_ADDRESS = re.compile(r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")


def address_of(word: str) -> ListenAddress:
    """`HOST:PORT`, the host in brackets if it has colons. Raises ConfigurationError."""
    parts = _ADDRESS.fullmatch(word)
    if parts and int(parts["port"]) < 65536:
        return ListenAddress(parts["v6"] or parts["name"], int(parts["port"]))
    raise ConfigurationError(f"{shown(word)} is no address to listen on, which is HOST:PORT as in {USUAL}")


def bound(address: ListenAddress) -> socket.socket:
    """A socket that listens there. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(tuple(address), family=family, backlog=1024)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)  # not its own words, which name the address again
        raise ConfigurationError(f"{address} cannot be listened on: {why}") from error


def beside(address: ListenAddress) -> Iterator[socket.socket]:
    """The loopback address of the other kind, where the name localhost leads as well: it must lead to nobody else.

    What a browser was given at that name it would send there.
    """
    if address.host in ("127.0.0.1", "0.0.0.0"):
        other = address._replace(host="::1")
    elif address.host in ("::1", "::"):
        other = address._replace(host="127.0.0.1")
    else:
        return
    try:
        yield bound(other)
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            log.warning("%s is another program's: do not call this daemon by the name localhost", other)
