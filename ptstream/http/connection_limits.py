"""Who holds connections to the daemon: of strangers few, and none that keeps out somebody who has the token.

A connection is a stranger's until a request on it has shown the token or a session. Strangers may have as many as
there can be connections, but when one more is needed, one of theirs is closed
first: of the address that has the most, the oldest.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CONNECTIONS = 1024
"""Connections at once."""

FEW = 64
"""Those that one address may have as a stranger, once they are older than GRACE."""

GRACE = 1.0
"""Seconds that a new connection has in any case, to show who it is: a hundred clients may come at the same time."""


@dataclass(slots=True, eq=False)
class Guest:
    """One connection. `drop` closes it at once, and `is_idle` is whether nothing is asked or answered on it."""

    address: str
    drop: Callable[[], object]
    is_idle: Callable[[], bool]
    known: bool = False
    since: float = field(default_factory=time.monotonic)


class Connections:
    """All that there are, `most` at the most."""

    def __init__(self, most: int | None = None) -> None:
        self._most = CONNECTIONS if most is None else most
        self._known: dict[Guest, None] = {}  # in the order in which they came, as all of these
        self._strangers: dict[str, dict[Guest, None]] = {}
        self._count = 0

    def enter(self, guest: Guest) -> bool:
        """Whether one more is possible; a connection is closed for it, where somebody can be dropped who minds less."""
        if self._count >= self._most and not self._make_room():
            return False
        theirs = self._strangers.setdefault(_network(guest.address), {})
        theirs[guest] = None
        self._count += 1
        while len(theirs) > FEW and (oldest := next(iter(theirs))).since < time.monotonic() - GRACE:
            self._drop(oldest)
        return True

    def know(self, guest: Guest) -> None:
        """It has shown the token, or a session."""
        if not guest.known and self.leave(guest):
            guest.known = True
            self._known[guest] = None
            self._count += 1

    def leave(self, guest: Guest) -> bool:
        """It is gone; whether it was here."""
        network = _network(guest.address)
        among = self._known if guest.known else self._strangers.get(network, {})
        if guest not in among:
            return False
        del among[guest]
        self._count -= 1
        if not self._strangers.get(network, guest):
            del self._strangers[network]
        return True

    def _make_room(self) -> bool:
        if self._strangers:
            most = max(self._strangers, key=lambda network: len(self._strangers[network]))
            self._drop(next(iter(self._strangers[most])))
            return True
        # A client whose connection was closed before it asked anything asks again on another one.
        idle = next((guest for guest in self._known if guest.is_idle()), None)
        if idle:
            self._drop(idle)
        return idle is not None

    def _drop(self, guest: Guest) -> None:
        self.leave(guest)
        guest.drop()


def _network(address: str) -> str:
    """Whose it is: of IPv6, one customer has a whole /64 (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))
