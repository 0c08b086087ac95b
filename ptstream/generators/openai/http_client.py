"""One HTTP endpoint, reached: its client, its proxy, TLS, and redirects.

What is asked is left to `chat`, `passthrough` and `model_list`; what a refusal means, to `refusals`.
"""

from __future__ import annotations

from typing import Any

import httpx

from ptstream import authorities, strict_json, wire
from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.connection_errors import unreachable
from ptstream.generators.openai.port_owner import OwnerCheck
from ptstream.generators.openai.proxies import SCHEMES
from ptstream.generators.openai.refusals import MESSAGE_BYTES, coded, refused
from ptstream.generators.openai.upstream import Upstream, url_of

LISTING_BYTES = 1024 * 1024
"""How much an endpoint may say of what it has: some hundred models, each with its description, are half of that."""

REDIRECTS = 5
"""How often an endpoint may send a request on."""


def client_for(upstream: Upstream) -> httpx.AsyncClient:
    """A client for one endpoint. Raises ConfigurationError for an address or key that is none."""
    url_of(upstream.base_url)
    return httpx.AsyncClient(
        transport=wire.socket_transport(upstream.uds) if upstream.uds else _ByScheme(upstream),
        timeout=httpx.Timeout(None, connect=endpoint_timeouts.CONNECT),
        headers=upstream.all_headers(),
        trust_env=False,  # the daemon's own environment is not the caller's
    )


class _ByScheme(httpx.AsyncBaseTransport):
    """A transport for http and one for https, each made when it is needed, as where a redirect leads there."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response. Raises ConfigurationError for a proxy, or a file of certificates, that cannot be used."""
        scheme = request.url.scheme
        if scheme not in self._transports:
            self._transports[scheme] = _transport(self._upstream, scheme)
        return await self._transports[scheme].handle_async_request(request)

    async def aclose(self) -> None:
        """Close them."""
        for transport in self._transports.values():
            await transport.aclose()


def _transport(upstream: Upstream, scheme: str) -> httpx.AsyncHTTPTransport:
    proxy = upstream.proxy_for(scheme)
    # Loading the authorities takes some 20 ms: nothing without TLS needs them.
    secure = "https" in (scheme, proxy and proxy.scheme)
    trust = authorities.trusted(upstream.environment) if secure else wire.trusting_nobody()
    try:
        by = proxy and httpx.Proxy(proxy.url, ssl_context=trust if proxy.scheme == "https" else None)
        return httpx.AsyncHTTPTransport(verify=trust, trust_env=False, proxy=by)
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        # Without the library's words: they may hold the proxy's password.
        raise ConfigurationError(
            f"{proxy} cannot be used: it is no address that begins with {', '.join(f'{name}://' for name in SCHEMES)};"
            f" to do without it for {upstream.host}, name that host in NO_PROXY"
        ) from error


async def opened(client: httpx.AsyncClient, request: httpx.Request, upstream: Upstream) -> httpx.Response:
    """The response to `request`, whatever its status, its body still unread: close it. Raises Refused without one.

    A redirect within the host, also from http to https, is followed with method and body (RFC 9110, 15.4). An answer
    in a content coding is refused, whatever its status: nothing of it is decoded. Raises ForeignListener too.
    """
    if upstream.unconfigured and not (upstream.uds or upstream.proxy):
        request.extensions["trace"] = OwnerCheck(upstream.unconfigured, upstream.account)
    for remaining in range(REDIRECTS, -1, -1):
        try:
            response = await client.send(request, stream=True)
        except (httpx.HTTPError, OSError) as error:
            raise unreachable(error, upstream, request.url) from error
        further_url = _redirect(request, response) if remaining else None
        if further_url is None:
            break
        await response.aclose()
        headers = [(name, value) for name, value in request.headers.multi_items() if name != "host"]
        request = client.build_request(
            request.method,
            further_url,
            content=request.content,
            headers=headers,
            extensions=request.extensions,
        )
    if coding := wire.coding_of(response.headers.get_list("content-encoding")):
        await response.aclose()
        raise coded(response, coding, upstream)
    return response


def _redirect(request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    """Where a redirect leads, if that is the same host: any other would learn the key and the question.

    Who redirects has received both already, and could pass them on to another port anyway.
    """
    if response.status_code not in (301, 302, 307, 308):  # 303 would be asked by another method
        return None
    try:
        there = request.url.join(response.headers["location"])
    except (KeyError, httpx.InvalidURL):
        return None
    bared = (request.url.scheme, there.scheme) == ("https", "http")
    return there if there.host == request.url.host and not bared else None


async def send(client: httpx.AsyncClient, request: httpx.Request, upstream: Upstream) -> httpx.Response:
    """The response to `request`, its body still unread: close it. Raises Refused for everything but a 2xx."""
    response = await opened(client, request, upstream)
    if response.is_success:
        return response
    try:
        raise refused(response, await _beginning(response, MESSAGE_BYTES), upstream)
    finally:
        await response.aclose()


async def get_json(upstream: Upstream, url: str) -> Any:
    """What is at `url`, asked once. Raises GeneratorError, also for what is not JSON."""
    async with client_for(upstream) as client:
        response = await send(client, client.build_request("GET", url), upstream)
        try:
            body = await _beginning(response, LISTING_BYTES + 1)
            if len(body) > LISTING_BYTES:
                raise GeneratorError(
                    f"{upstream.host} lists more than {LISTING_BYTES // 2**20} MB of models, which is not read; name"
                    " one with --model, or in the config file"
                )
            return upstream.redaction().within(strict_json.loads_mended(body))
        except ValueError as error:
            raise GeneratorError(f"{upstream.host} answered with something that is not JSON") from error
        finally:
            await response.aclose()


async def _beginning(response: httpx.Response, most: int) -> bytes:
    """The body, as much of it as came before it broke off."""
    runs, size = [], 0
    try:
        async for data in response.aiter_bytes():
            runs.append(data)
            size += len(data)
            if size > most:
                break
    except httpx.HTTPError:
        pass  # the status says enough, or what is there is no JSON
    return b"".join(runs)[:most]
