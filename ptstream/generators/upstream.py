"""Where an endpoint is, and with what it is asked: a value that everything about endpoints is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlencode

import httpx

from ptstream.errors import ConfigurationError
from ptstream.generators.proxies import Proxy, proxy_for

CONNECT_SECONDS = 10.0
"""How long a connection may take to open. How long an answer may take is decided by whoever drives."""

COMPLETIONS = "chat/completions"

SECRET_CHARACTERS = 8
"""A header's value of so many characters may be a key."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where to ask and with what key.

    `key_header` is the header that takes the key as it is, instead of `Authorization: Bearer`; `headers` and `query` go
    with every request. `uds` is a Unix socket to go through, `name` what to call the endpoint if not by its host, and
    `environment` where proxies and certificates are named.
    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    uds: str | None = None
    name: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_header: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """The host, and the port if it is not the usual one: never a user name or a key."""
        return self.name or url_of(self.base_url).netloc.decode("ascii")

    @property
    def local(self) -> bool:
        """Whether it is on this machine, so that no proxy and no certificate is needed."""
        return self.uds is not None or is_loopback(url_of(self.base_url).host)

    @property
    def proxy(self) -> Proxy | None:
        """The proxy by which it is reached."""
        return None if self.local else proxy_for(self.base_url, self.environment)

    def url(self, path: str) -> str:
        """The address of `path` below the base, whose own query it keeps."""
        base, _, query = self.base_url.partition("#")[0].partition("?")
        own = urlencode(self.query)
        whole = "&".join(filter(None, (query, own)))
        # Some copy the whole address of the completions.
        base = base.rstrip("/").removesuffix(f"/{COMPLETIONS}")
        return f"{base}/{path}" + (f"?{whole}" if whole else "")

    def redact(self, text: str) -> str:
        """`text` without the key, and without what else may be one, in case a server repeats it."""
        for secret in (self.key, *self.headers.values(), *self.query.values()):
            if secret and (secret == self.key or len(secret) >= SECRET_CHARACTERS):
                text = text.replace(secret, "[key]")
        return text

    def all_headers(self) -> dict[str, str]:
        """The headers of every request. Raises ConfigurationError for a key or a header that is none."""
        headers = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
        if self.key and self.key_header:
            headers[self.key_header] = self.key
        elif self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        # Checked here, because the HTTP library would repeat an unfit header in its message.
        if self.key and (not _printable(self.key) or " " in self.key):
            raise ConfigurationError(f"the key for {self.host} holds characters that no key holds")
        for name, value in self.headers.items():
            if not _printable(value):
                raise ConfigurationError(f"the header {name} for {self.host} holds characters that no header holds")
        return headers | dict(self.headers)


def url_of(address: str) -> httpx.URL:
    """The address taken apart. Raises ConfigurationError for what is none."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:  # the latter for an undecodable byte of the environment
        raise ConfigurationError(f"{address!r} is not a web address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{address!r} is not a web address: it begins with https:// or http://")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def _printable(word: str) -> bool:
    return word.isascii() and word.isprintable()
