"""Where an endpoint is, and with what it is asked: a value that everything about endpoints is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from ptstream import wire
from ptstream.errors import ConfigurationError
from ptstream.generators.openai.credentials import credentials_in, secrets_in
from ptstream.generators.openai.proxies import Proxy, proxy_for
from ptstream.generators.openai.redaction import Redaction
from ptstream.origins import DEFAULT_PORTS, SHOWN, is_loopback, is_unspecified

COMPLETIONS = "chat/completions"


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
    unconfigured: str | None = None
    """The endpoint's name if only its usual port suggests that it is one: then whoever listens there is looked at."""
    account: str | None = None
    """The system account that such a server runs as, if it has one."""

    @property
    def host(self) -> str:
        """The host, and the port if it is not the usual one: never a user name or a key."""
        return self.name or url_of(self.base_url).netloc.decode("ascii")

    @property
    def local(self) -> bool:
        """Whether it is on this machine, so that no proxy and no certificate is needed."""
        host = url_of(self.base_url).host
        # What a server prints that listens on every address is itself.
        return self.uds is not None or is_loopback(host) or host.endswith(".localhost") or is_unspecified(host)

    @property
    def proxy(self) -> Proxy | None:
        """The proxy by which it is reached."""
        return self.proxy_for(url_of(self.base_url).scheme)

    def proxy_for(self, scheme: str) -> Proxy | None:
        """The same, if it is asked by another scheme."""
        address = url_of(self.base_url).copy_with(scheme=scheme)
        return None if self.local else proxy_for(str(address), self.environment)

    def url(self, path: str) -> str:
        """The address of `path` below the base, whose own query it keeps."""
        base, _, query = self.base_url.partition("#")[0].partition("?")
        own = urlencode(self.query)
        whole = "&".join(filter(None, (query, own)))
        # Some copy the whole address of the completions.
        base = base.rstrip("/").removesuffix(f"/{COMPLETIONS}")
        return f"{base}/{path}" + (f"?{whole}" if whole else "")

    def redact(self, text: str) -> str:
        """`text` without the key, and without what else is secret, in case a server repeats it."""
        return self.redaction().of(text)

    def redaction(self) -> Redaction:
        """What takes that out of many texts: it is costly to make."""
        return Redaction(self._secrets())

    def _secrets(self) -> Iterator[str]:
        yield self.key or ""
        parts = urlsplit(self.base_url)
        yield from credentials_in(parts.netloc.rpartition("@")[0])
        for scheme in DEFAULT_PORTS:
            if proxy := self.proxy_for(scheme):
                yield from credentials_in(proxy.url.partition("://")[2].rpartition("@")[0])
        yield from secrets_in((*self.headers.items(), *self.query.items(), *parse_qsl(parts.query)))

    @property
    def address(self) -> str:
        """The base, for a person: without user, password and query."""
        return f"{url_of(self.base_url).scheme}://{self.host}{url_of(self.base_url).path}"

    def all_headers(self) -> dict[str, str]:
        """The headers of every request. Raises ConfigurationError for a key or a header that is none."""
        # Checked here, because the HTTP library would repeat an unfit header in its message.
        if self.key and (not _printable(self.key) or " " in self.key):
            raise ConfigurationError(f"the key for {self.host} holds characters that no key holds")
        for name, value in self.headers.items():
            if not _printable(value):
                raise ConfigurationError(f"the header {name} for {self.host} holds characters that no header holds")
        ours = {"accept": "text/event-stream, application/json", **wire.PLAIN}
        if self.key:
            ours |= {self.key_header.lower(): self.key} if self.key_header else {"authorization": f"Bearer {self.key}"}
        return ours | {name.lower(): value for name, value in self.headers.items()}


def url_of(address: str) -> httpx.URL:
    """The address taken apart. Raises ConfigurationError for what is none."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:  # the latter for an undecodable byte of the environment
        why = "" if "@" in address else f": {error}"
        raise ConfigurationError(f"{_without_secrets(address)!r} is not a web address{why}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"{_without_secrets(address)!r} is not a web address: it begins with https:// or http://"
        )
    return url


def _without_secrets(address: str) -> str:
    """An address that may be none, for a person: without user, password and query."""
    begin, separator, rest = address.rpartition("@")
    scheme, slashes, _ = begin.partition("//")
    bare = (f"{scheme}//…@" if slashes else "…@" if separator else "") + rest.partition("?")[0]
    return bare if len(bare) <= SHOWN else f"{bare[:SHOWN]}…"


def _printable(word: str) -> bool:
    return word.isascii() and word.isprintable()
