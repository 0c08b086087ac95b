"""Whose process listens at an address of this machine: a port says nothing of who has taken it.

On a machine that several use, anybody may listen where a model server usually does. What nobody has configured is
asked only if the process there is the user's own, root's, or the server's own system account.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import httpcore

from ptstream.errors import ForeignListener

TABLES = ("tcp", "tcp6")
LISTENS = "0A"
"""The state of a socket that listens, in the kernel's tables (`TCP_LISTEN`)."""

LSOF = ("/usr/sbin/lsof", "/usr/bin/lsof")
LSOF_TIME = 1.0
"""Seconds."""

SYSTEM_ACCOUNTS = 1000
"""No person's account has a lower number than this, and only root makes those that do."""

IPAddress = IPv4Address | IPv6Address


class ListeningSocket(NamedTuple):
    """A socket that listens: where, whose, and what distinguishes it from the next one there."""

    address: IPAddress
    uid: int
    socket: str


class OwnerCheck:
    """Looks at who listens around the moment in which a connection opens: httpcore's `trace`, for one request.

    `account` is a system account that may listen, too. The same socket must listen before the connection opens and
    after: then the connection is its own, and not that of whoever had the port a moment before. Raises ForeignListener.
    """

    def __init__(self, endpoint: str, account: str | None = None) -> None:
        self._endpoint = endpoint
        self._account = account
        self._before: list[ListeningSocket] | None = []

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self._before = await _look(info["port"])
        elif event == "connection.connect_tcp.complete":
            stream = info["return_value"]
            try:
                await self._check(stream)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
                raise

    async def _check(self, stream: httpcore.AsyncNetworkStream) -> None:
        there, here = stream.get_extra_info("server_addr"), stream.get_extra_info("client_addr")
        if not (there and here):
            raise httpcore.ConnectError("the connection was closed at once")
        host, port, *_ = there
        address = _plain(host)
        if not (address.is_loopback or address == _plain(here[0])):  # another machine, which the user has named
            return
        before, after = _at(address, self._before), _at(address, await _look(port))
        allowed = _allowed(self._account)
        foreign = sorted({each.uid for each in {*before, *after}} - allowed)
        if foreign or not after or before != after:
            raise ForeignListener(self._words(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", foreign))

    def _words(self, place: str, foreign: list[int]) -> str:
        who = f"listens as user {_name(foreign[0])}" if foreign else "cannot be shown to be yours"
        return (
            f"the process at {place} {who}, and is sent nothing: only yours and root's are asked unless they are"
            f" configured. If you trust it, put into the config file: [endpoints.{self._endpoint}] with base_url ="
            f' "http://{place}/v1"'
        )


def _allowed(account: str | None) -> set[int]:
    """The users whose processes may listen."""
    allowed = {0, os.geteuid()}
    with contextlib.suppress(KeyError):
        if account and 0 < (uid := pwd.getpwnam(account).pw_uid) < SYSTEM_ACCOUNTS:
            allowed.add(uid)
    return allowed


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _at(address: IPAddress, listeners: list[ListeningSocket] | None) -> set[ListeningSocket]:
    """Those that may have got a connection to `address`: what listens there, or at every address."""
    return {each for each in listeners or () if each.address == address or _reaches(each.address, address)}


def _reaches(everywhere: IPAddress, address: IPAddress) -> bool:
    # `::` is asked for IPv4, too, unless its owner does not want that, which no table says.
    return everywhere.is_unspecified and (everywhere.version == 6 or address.version == 4)


def _plain(host: str) -> IPAddress:
    """The address, one of IPv4 as such also where it is written as one of IPv6."""
    address = ip_address(host.partition("%")[0])
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


async def _look(port: int) -> list[ListeningSocket] | None:
    """Who listens at `port`; None where that is unknown."""
    return await anyio.to_thread.run_sync(listeners, port)


def listeners(port: int, tables: str = "/proc/self/net") -> list[ListeningSocket] | None:
    """Who listens at `port`, by the kernel's tables; where there are none (macOS), by lsof, which sees the user's own.

    None where neither does.
    """
    try:
        return [each for name in TABLES for each in _in_table(os.path.join(tables, name), port)]
    except (OSError, ValueError):  # none, or none that is known
        return _by_lsof(port)


def _in_table(path: str, port: int) -> Iterator[ListeningSocket]:
    """The rows of a table (Linux, Documentation/networking/proc_net_tcp.rst). Raises OSError."""
    if path.endswith("6") and not os.path.exists(path):  # a kernel without IPv6
        return
    with open(path, encoding="ascii") as file:
        next(file, None)
        for line in file:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            digits, _, number = local.partition(":")
            if state == LISTENS and int(number, 16) == port:
                yield ListeningSocket(_address(digits), int(uid), inode)


def _address(digits: str) -> IPAddress:
    """An address as the tables have it: words of four bytes, each a number of the machine's own order."""
    words = [int(digits[place : place + 8], 16) for place in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return _plain(socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed))


def _by_lsof(port: int) -> list[ListeningSocket] | None:
    program = next(filter(os.path.exists, LSOF), None)
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpuftn"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LSOF_TIME,
            check=False,  # it fails when it finds nothing
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return list(_in_fields(done.stdout.decode("ascii", "replace")))


def _in_fields(said: str) -> Iterator[ListeningSocket]:
    """What lsof lists with `-F`: a line a field, which begins with its letter; the name is the last of each file's."""
    fields: dict[str, str] = {}
    for line in said.splitlines():
        fields[line[:1]] = line[1:]
        if line.startswith("n"):
            host = line[1:].rpartition(":")[0].strip("[]")
            everywhere = "::" if fields.get("t") == "IPv6" else "0.0.0.0"
            with contextlib.suppress(ValueError, KeyError):
                address = _plain(everywhere if host == "*" else host)
                yield ListeningSocket(address, int(fields["u"]), f"{fields['p']} {fields['f']}")
