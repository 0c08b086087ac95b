"""The way to a daemon that listens on a network: HTTPS to an address, with its token.

Plain HTTP is for this machine alone: elsewhere everybody on the way would read the token, and the text.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import httpx

from ptstream import wire
from ptstream.authorities import trusted
from ptstream.client.daemon_client import Client
from ptstream.errors import ConfigurationError, NotAuthenticated
from ptstream.origins import is_loopback, public_url_of, shown

CONNECT_TIMEOUT = 10.0
"""Seconds for an address to accept a connection, TLS included."""


class HttpsAddress(NamedTuple):
    """A daemon's address, and the token that it lets in."""

    url: str
    token: str | None

    @property
    def place(self) -> str:
        """What it is called in messages."""
        return self.url.partition("://")[2]


def address_named(url: str, environment: Mapping[str, str] = os.environ) -> HttpsAddress:
    """The address `https://HOST[:PORT][/PATH]`, and PTSTREAM_TOKEN. Raises ConfigurationError.

    Its token is not taken from the address, which the command line and the shell's history would show.
    """
    try:
        found = public_url_of(url)
    except ValueError as error:
        raise ConfigurationError(f"PTSTREAM_HOST is {shown(url)}: {error}") from error
    if found.origin.scheme == "http" and not is_loopback(found.origin.host):
        raise ConfigurationError(
            f"PTSTREAM_HOST is {url}: over plain HTTP everybody on the way reads the token; use https:// or ssh://"
        )
    token = environment.get("PTSTREAM_TOKEN", "").strip() or None
    if token and not (token.isascii() and token.isprintable()):
        raise ConfigurationError("PTSTREAM_TOKEN is no token: 'ptstream daemon token', where the daemon is, prints it")
    return HttpsAddress(str(found), token)


async def _refused(response: httpx.Response) -> None:
    """Raises NotAuthenticated for an answer that asks for a token, ConfigurationError for one that leads elsewhere."""
    if response.is_redirect:
        raise ConfigurationError(
            f"{response.request.url.host} answers with a redirect, to {shown(response.headers.get('location'))}: if the"
            " daemon is there, name that in PTSTREAM_HOST"
        )
    if response.status_code == 401:
        host = response.request.url.host
        named = "authorization" in response.request.headers
        why = (
            f"PTSTREAM_TOKEN is not the token of the daemon at {host}"
            if named
            else f"the daemon at {host} wants a token"
        )
        raise NotAuthenticated(f"{why}: set PTSTREAM_TOKEN to what 'ptstream daemon token' prints there")


@contextlib.asynccontextmanager
async def connect(address: HttpsAddress) -> AsyncIterator[Client]:
    """The daemon there. It is connected to by the first request."""
    secure = address.url.startswith("https:")
    headers = dict(wire.PLAIN) | ({"authorization": f"Bearer {address.token}"} if address.token else {})
    async with httpx.AsyncClient(
        base_url=address.url,
        verify=trusted(os.environ) if secure else False,
        trust_env=secure,  # its proxies; this machine itself is asked without one
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
        headers=headers,
        event_hooks={"response": [wire.check_plain, _refused]},
        follow_redirects=False,  # another place would learn the token
    ) as http:
        yield Client(address.place, http)
