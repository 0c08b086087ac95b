"""The names that the daemon is called by, and whether a request's Host, and the origin of its page, are ours."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from ptstream.config import Settings
from ptstream.daemon.forwarded import forwarded as said_by_proxy
from ptstream.origins import DEFAULT_PORTS, Origin, is_loopback, is_unspecified, origin_of


@dataclass(frozen=True, slots=True)
class Target:
    """A request as its sender sees it: behind a proxy it goes to another address than ours."""

    names: tuple[str, ...]
    """The hosts that it names, each with its port if it has one; all have to be ours."""
    origin: Origin | None
    """That of the address which it was sent to."""
    public: bool
    """Whether that is the one of `public_url`."""

    @property
    def scheme(self) -> str:
        """`https` if its sender has TLS, as far as is known."""
        return self.origin.scheme if self.origin else "http"


class OwnAddresses:
    """The addresses of a daemon that listens on the address, or by the name, `host`."""

    def __init__(self, host: str, settings: Settings) -> None:
        self.origins = frozenset(settings.origins)
        self._public = settings.public_url and settings.public_url.origin
        self.path = settings.public_url.path if settings.public_url else ""
        """What the path of every public address begins with; a proxy may take it off, or leave it."""
        listed = [*map(origin_of, settings.origins), self._public]
        # Those of apps and extensions, as app://obsidian.md, are no hosts.
        hosts = {each.host for each in listed if each and each.scheme in DEFAULT_PORTS}
        # A browser takes 0.0.0.0 for the machine itself, and a page of any origin for one that may ask there.
        self._names = {name for name in hosts | {host.lower()} if name and not is_unspecified(name)}

    def foreign_name(self, target: Target, scope: Scope) -> str | None:
        """The first of a request's names that is not ours, None if all are."""
        return next((name for name in target.names if not self._is_ours(name, scope)), None)

    def _is_ours(self, name: str, scope: Scope) -> bool:
        """Whether a host names us: as the user said, as this machine does, or by the address that was connected to."""
        found = origin_of(f"http://{name}")
        if found is None or not found.host:
            return False
        bound = (scope.get("server") or ("",))[0]
        return found.host in self._names or is_loopback(found.host) or found.host == bound.lower()

    def target_of(self, scope: Scope, headers: Headers) -> Target:
        """The request from outside. What a proxy says counts from this machine alone."""
        host = headers.get("host", "")
        peer = (scope.get("client") or ("",))[0]
        scheme, forwarded = said_by_proxy(headers) if is_loopback(peer) else ("", "")
        name = forwarded or host
        # Under the public name even where no proxy says so: plain HTTP there is the proxy's, or somebody's between.
        public = self._public is not None and origin_of(f"{self._public.scheme}://{name}") == self._public
        origin = self._public if public else origin_of(f"{scheme or 'http'}://{name}")
        return Target((host, forwarded) if forwarded else (host,), origin, public)

    def is_own(self, origin: str, target: Target) -> bool:
        """Whether a page of that origin is the daemon's own."""
        found = origin_of(origin)
        return found is not None and found in (target.origin, self._public)

    def is_here(self, origin: str, target: Target, scope: Scope) -> bool:
        """Whether a page of that origin, our own, is at our own port, or at an address that the user named."""
        found = origin_of(origin)
        if found is None or not self.is_own(origin, target):
            return False
        port = (scope.get("server") or ("", None))[1]
        ours = found.scheme == "http" and (found.port or DEFAULT_PORTS["http"]) == port
        return ours or found == self._public or str(found) in self.origins

    def is_told_sites(self, target: Target) -> bool:
        """Whether browsers say which site's page sends such a request (Fetch Metadata's Sec-Fetch-Site).

        They do by TLS, and to names of their own machine: of IPv4 addresses in IPv6's form, Chromium does not take
        even a loopback one for that. Behind a public address of plain HTTP they never do, whatever a proxy makes of it.
        """
        if self._public is not None and self._public.scheme == "http" and not is_loopback(self._public.host):
            return False
        named = (origin_of(f"http://{name}") for name in target.names)
        return target.scheme == "https" or all(found is not None and is_loopback(found.host) for found in named)

    def is_listed(self, origin: str) -> bool:
        """Whether a page of that origin is of a web app that may call the daemon."""
        return str(origin_of(origin)) in self.origins
