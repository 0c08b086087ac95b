"""What a failure below HTTP means, in a sentence for a person: no connection, a proxy, a certificate."""

from __future__ import annotations

import ssl
from typing import NamedTuple

import httpx

from ptstream.causes import causes
from ptstream.errors import Refused
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.upstream import Upstream


def unreachable(error: Exception, upstream: Upstream, url: httpx.URL | None = None) -> Refused:
    """What a failure below HTTP means; `url` is what was asked, perhaps where a redirect had led."""
    message, again = _unreachable(error, upstream, url)
    return Refused(upstream.redact(message), again=again)


def _unreachable(error: Exception, upstream: Upstream, url: httpx.URL | None) -> tuple[str, bool]:
    host = upstream.host
    if url is not None and not upstream.uds and url.netloc.decode("ascii") not in (host, ""):
        host = f"{url.netloc.decode('ascii')}, to which {host} sends on,"
    for cause in causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return _untrusted(host, cause, upstream), False
            case ssl.SSLError() if not upstream.proxy:
                return f"no secure connection to {host}: {cause.reason or cause}", False
    failure = _failure(error)
    words = str(error) or type(error).__name__
    if upstream.proxy and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        said_so = failure.words if failure else f"failed: {words}"
        return f"{upstream.proxy} on the way to {host} {said_so}", True
    if failure:
        return f"{host} {failure.words}", failure.passing
    return f"{host} gave no answer: {words}", isinstance(error, httpx.TransportError)


def _untrusted(host: str, cause: ssl.SSLCertVerificationError, upstream: Upstream) -> str:
    whose = f"{host}, or that of {upstream.proxy}," if upstream.proxy else host
    return (
        f"the certificate of {whose} is not trusted: {cause.verify_message} (if it is signed by an authority of your"
        " own: SSL_CERT_FILE=/path/to/its/certificate.pem)"
    )


class _Failure(NamedTuple):
    """What happened to a connection, as a predicate, and whether it may pass."""

    words: str
    passing: bool = True


def _failure(error: Exception) -> _Failure | None:
    """None where only the error's own words say more."""
    for cause in causes(error):
        match cause:
            case ConnectionRefusedError() | FileNotFoundError():
                return _Failure("refused the connection: nothing listens there")
            case ConnectionResetError() | BrokenPipeError():
                return _Failure("closed the connection without an answer")
            case OSError() if type(cause).__name__ == "gaierror":
                return _Failure(f"is not known: {cause.strerror}", passing=False)
    if isinstance(error, httpx.ConnectTimeout):
        return _Failure(f"did not accept a connection within {endpoint_timeouts.CONNECT:g} s")
    return None
