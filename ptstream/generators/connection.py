"""One HTTP endpoint: how it is reached, and what its refusals mean in a sentence for a person.

Knows hosts, keys, proxies and status codes. What is asked and how an answer is read is `openai`'s business.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from time import time
from typing import Any

import httpx

from ptstream.errors import ConfigurationError, GeneratorError

CONNECT_SECONDS = 10.0
"""How long a connection may take to open. How long an answer may take is decided by whoever drives."""

MESSAGE_BYTES = 64 * 1024
"""How much of a refusal's body is read to find the server's own words."""

MESSAGE_CHARACTERS = 600

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where to ask and with what key.

    `uds` is a Unix socket to go through, `name` what to call the endpoint if not by its host, and `environment`
    where proxies and certificates are named.
    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    uds: str | None = None
    name: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """The host, and the port if it is not the usual one: never a user name or a key."""
        return self.name or _url(self.base_url).netloc.decode("ascii")

    @property
    def local(self) -> bool:
        """Whether it is on this machine, so that no proxy and no certificate is needed."""
        return self.uds is not None or _loopback(_url(self.base_url).host)

    def url(self, path: str) -> str:
        """The address of `path` below the base."""
        return f"{self.base_url.rstrip('/')}/{path}"

    def redact(self, text: str) -> str:
        """`text` without the key, in case a server repeats it."""
        return text.replace(self.key, "[key]") if self.key else text


class Refused(GeneratorError):
    """An endpoint that gave no answer.

    `again` tells whether asking once more may help, `wait` for how many seconds it wants to be left alone.
    """

    def __init__(self, message: str, *, again: bool = False, wait: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.wait = wait


def client_for(upstream: Upstream) -> httpx.AsyncClient:
    """A client for one endpoint. Raises ConfigurationError for an address, key or proxy that is none."""
    headers, trust = _headers(upstream), _trust(upstream)
    try:
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=upstream.uds) if upstream.uds else None,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            headers=headers,
            proxy=_proxy(upstream),
            verify=trust,
            trust_env=False,  # the daemon's own environment is not the caller's
        )
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        # Without the library's words: they may hold the proxy's password.
        raise ConfigurationError("the proxy named in the environment cannot be used") from error


async def opened(client: httpx.AsyncClient, request: httpx.Request, upstream: Upstream) -> httpx.Response:
    """The response to `request`, whatever its status, its body still unread: close it. Raises Refused without one."""
    try:
        return await client.send(request, stream=True)
    except (httpx.HTTPError, OSError) as error:
        raise unreachable(error, upstream) from error


async def send(client: httpx.AsyncClient, request: httpx.Request, upstream: Upstream) -> httpx.Response:
    """The response to `request`, its body still unread: close it. Raises Refused for everything but a 2xx."""
    response = await opened(client, request, upstream)
    if response.is_success:
        return response
    try:
        raise refused(response, await _beginning(response), upstream)
    finally:
        await response.aclose()


async def get_json(upstream: Upstream, url: str) -> Any:
    """What is at `url`, asked once. Raises GeneratorError, also for what is not JSON."""
    async with client_for(upstream) as client:
        response = await send(client, client.build_request("GET", url), upstream)
        try:
            return json.loads(await response.aread())
        except httpx.HTTPError as error:
            raise unreachable(error, upstream) from error
        except ValueError as error:
            raise GeneratorError(f"{upstream.host} answered with something that is not JSON") from error
        finally:
            await response.aclose()


def unreachable(error: Exception, upstream: Upstream) -> Refused:
    """What a failure below HTTP means."""
    host = upstream.host
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return Refused(f"the certificate of {host} is not trusted: {cause.verify_message}")
            case ssl.SSLError():
                return Refused(f"no secure connection to {host}: {cause.reason or cause}")
            case ConnectionRefusedError() | FileNotFoundError():
                return Refused(f"{host} refused the connection: nothing listens there", again=True)
            case ConnectionResetError() | BrokenPipeError():
                return Refused(f"{host} closed the connection without an answer", again=True)
            case OSError() if type(cause).__name__ == "gaierror":
                return Refused(f"the host {host} is not known: {cause.strerror}")
    if isinstance(error, httpx.ConnectTimeout):
        return Refused(f"{host} did not accept a connection within {CONNECT_SECONDS:g} s", again=True)
    again = isinstance(error, httpx.TransportError)
    return Refused(f"{host} gave no answer: {upstream.redact(str(error)) or type(error).__name__}", again=again)


def said(body: bytes | str) -> str:
    """A server's own words for an error, out of the several shapes they come in; empty if it said nothing."""
    try:
        return shorten(_words(json.loads(body)))
    except ValueError:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        return "" if text.lstrip().startswith("<") else shorten(text)


def shorten(text: str) -> str:
    """`text` on one line and of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[:MESSAGE_CHARACTERS] + " …"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        for name in ("error", "message", "detail", "msg"):
            if value.get(name):
                return _words(value[name])
    if isinstance(value, list) and len(value) == 1:
        return _words(value[0])
    return value if isinstance(value, str) else json.dumps(value)


def refused(response: httpx.Response, body: bytes, upstream: Upstream) -> Refused:
    """What an answer means that is not a 2xx. `body` is its body, or the beginning of that."""
    message = upstream.redact(said(body[:MESSAGE_BYTES]))
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    text = f"{upstream.host} answered {status}" + (f": {message}" if message else "")
    if response.status_code == 401 and not upstream.key:
        text += " (no key was sent)"
    # A used-up account also answers 429, but no waiting helps there.
    again = response.status_code in RETRYABLE and b"insufficient_quota" not in body
    return Refused(text, again=again, wait=_retry_after(response))


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    try:
        async for data in response.aiter_bytes():
            body += data
            if len(body) > MESSAGE_BYTES:
                break
    except httpx.HTTPError:
        pass  # the status says enough
    return body[:MESSAGE_BYTES]


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it came from, groups opened."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        cause = todo.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            todo.extend(cause.exceptions)
        todo.extend((cause.__cause__, cause.__context__))


def _url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:  # the latter for an undecodable byte of the environment
        raise ConfigurationError(f"{base_url!r} is not a web address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{base_url!r} is not a web address: it begins with https:// or http://")
    return url


def _headers(upstream: Upstream) -> dict[str, str]:
    headers = {"Accept": "text/event-stream, application/json"}
    if upstream.key:
        # Checked here, because the HTTP library would repeat an unfit header in its message.
        if not (upstream.key.isascii() and upstream.key.isprintable()) or " " in upstream.key:
            raise ConfigurationError(f"the key for {upstream.host} holds characters that no key holds")
        headers["Authorization"] = f"Bearer {upstream.key}"
    return headers


def _proxy(upstream: Upstream) -> str | None:
    if upstream.local:
        return None
    url = _url(upstream.base_url)
    names = (f"{url.scheme}_proxy", f"{url.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    proxy = next((upstream.environment[name] for name in names if upstream.environment.get(name)), None)
    if proxy is None or _exempt(url.host, upstream.environment):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _exempt(host: str, environment: Mapping[str, str]) -> bool:
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    suffixes = [entry.strip().lstrip("*").lstrip(".") for entry in entries.split(",") if entry.strip()]
    return any(suffix == "" or host == suffix or host.endswith("." + suffix) for suffix in suffixes)


def _trust(upstream: Upstream) -> ssl.SSLContext:
    if _url(upstream.base_url).scheme == "http" and _proxy(upstream) is None:
        # Loading the authorities takes some 20 ms; without TLS a context that trusts nobody is enough.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own = upstream.environment.get("SSL_CERT_FILE"), upstream.environment.get("SSL_CERT_DIR")
    if any(own):
        return _own_authorities(*own)
    return httpx.create_ssl_context(trust_env=False)


def _own_authorities(file: str | None, directory: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:
        raise ConfigurationError(f"SSL_CERT_FILE={file or directory} cannot be read: {error.strerror}") from error


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
