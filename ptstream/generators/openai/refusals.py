"""What it means that an endpoint gave no answer, in a sentence for a person: its refusals, and failures below HTTP."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, NamedTuple

import httpx

from ptstream import strict_json
from ptstream.errors import GeneratorError
from ptstream.generators.openai.event_stream import page_words
from ptstream.generators.openai.upstream import CONNECT_SECONDS, Upstream

MESSAGE_BYTES = 64 * 1024
"""How much of a refusal's body is read to find the server's own words."""

MESSAGE_CHARACTERS = 600

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 529})

USED_UP = ("insufficient_quota", "billing_not_active", "billing_hard_limit", "credit balance")
"""What an account that is used up says with a status that means busy. No waiting helps there."""

LOADING = re.compile(
    r"\b(loading|warming up|starting up|initiali[sz]ing|being (loaded|initiali[sz]ed))\b|\bnot (loaded|ready)\b",
    re.IGNORECASE,
)
"""What a server says whose model is not in memory yet."""

FAILED = re.compile(r"\b(fail\w*|error|cannot|could not|unable)\b", re.IGNORECASE)
"""What it says when that will not come."""

AGAIN_IN = re.compile(r"(?:again|retry) (?:in|after):? *((?:[0-9.]+ ?(?:ms|h|m|s)[a-z]* ?)+)", re.IGNORECASE)
SPAN = re.compile(r"([0-9.]+) ?(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

WAITS = ("retryDelay", "retry_after", "retry_after_seconds", "estimated_time")
"""Where the body of a refusal may name a wait: Google, several, Hugging Face. Seconds, with or without an `s`."""


class Refused(GeneratorError):
    """An endpoint that gave no answer.

    `again` tells whether asking once more may help, `wait` for how many seconds it wants to be left alone. `loading`:
    it is only not ready yet. `status` and `body` are those of its answer, if there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        again: bool = False,
        wait: float | None = None,
        loading: bool = False,
        status: int = 0,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.again = again
        self.wait = wait
        self.loading = loading
        self.status = status
        self.body = body


def refused(response: httpx.Response, body: bytes, upstream: Upstream) -> Refused:
    """What an answer means that is not a 2xx. `body` is its body, or the beginning of that."""
    text = body[:MESSAGE_BYTES].decode("utf-8", "replace")
    redact = upstream.redaction().of
    words = said(text, redact)
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    # A used-up account also answers 429.
    again = response.status_code in RETRYABLE and not any(mark in text for mark in USED_UP)
    return Refused(
        redact(f"{upstream.host} answered {status}{_hint(response, upstream)}") + (f": {words}" if words else ""),
        again=again,
        wait=_wait(response, text),
        loading=again and bool(LOADING.search(words)) and not FAILED.search(words),
        status=response.status_code,
        body=text,
    )


def coded(response: httpx.Response, coding: str, upstream: Upstream) -> Refused:
    """An answer in a content coding that was not asked for; what it says is not known."""
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    return Refused(
        upstream.redact(
            f"{upstream.host} answered {status} with a body that is compressed ({coding[:40]}), which nobody asked for,"
            " and which is not unpacked: it has to answer without Content-Encoding"
        ),
        again=response.status_code in RETRYABLE,
        wait=_wait(response, ""),
        status=response.status_code,
    )


def _hint(response: httpx.Response, upstream: Upstream) -> str:
    """What a person may do about it, in brackets."""
    if response.status_code == 401 and not upstream.key:
        return " (no key was sent)"
    if response.status_code == 404:
        return f" to {response.request.method} {response.request.url.path} (base_url is {upstream.address})"
    if response.is_redirect:
        there = upstream.redact(response.headers.get("location", "") or "nowhere")
        return f" (it has moved to {shorten(there)}; if that is right, set base_url to it)"
    if response.status_code >= 500 and upstream.proxy:
        return f" (through {upstream.proxy})"
    return ""


def _wait(response: httpx.Response, body: str) -> float | None:
    """How many seconds it wants to be left alone: its header, else its words (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := _number(response.headers.get(name, ""))) is not None:
            return seconds * unit
    try:
        return max(0.0, parsedate_to_datetime(response.headers.get("retry-after", "")).timestamp() - time())
    except (ValueError, TypeError, IndexError, OverflowError):  # each of which it raises for what is no date
        return _wait_in(body)


def _wait_in(body: str) -> float | None:
    for name in WAITS:
        if found := re.search(rf'{name}\\*": *\\*"?([0-9.]+)', body):  # perhaps within a string
            return _number(found.group(1))
    if found := AGAIN_IN.search(body):
        seconds = sum((_number(count) or 0.0) * SECONDS[unit] for count, unit in SPAN.findall(found.group(1)))
        return seconds if math.isfinite(seconds) else None
    return None


def _number(word: str) -> float | None:
    """What a word says in digits, at least 0; None where it says nothing that can be waited for."""
    try:
        number = float(word)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def unreachable(error: Exception, upstream: Upstream, url: httpx.URL | None = None) -> Refused:
    """What a failure below HTTP means; `url` is what was asked, perhaps where a redirect had led."""
    told, again = _unreachable(error, upstream, url)
    return Refused(upstream.redact(told), again=again)


def _unreachable(error: Exception, upstream: Upstream, url: httpx.URL | None) -> tuple[str, bool]:
    host = upstream.host
    if url is not None and not upstream.uds and url.netloc.decode("ascii") not in (host, ""):
        host = f"{url.netloc.decode('ascii')}, to which {host} sends on,"
    for cause in _causes(error):
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
    """None where only the error's own words tell."""
    for cause in _causes(error):
        match cause:
            case ConnectionRefusedError() | FileNotFoundError():
                return _Failure("refused the connection: nothing listens there")
            case ConnectionResetError() | BrokenPipeError():
                return _Failure("closed the connection without an answer")
            case OSError() if type(cause).__name__ == "gaierror":
                return _Failure(f"is not known: {cause.strerror}", passing=False)
    if isinstance(error, httpx.ConnectTimeout):
        return _Failure(f"did not accept a connection within {CONNECT_SECONDS:g} s")
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


def said(text: str, redact: Callable[[str], str] = str) -> str:
    """A server's own words for an error, out of the several shapes they come in; empty if it said nothing.

    What is secret is taken out by `redact`, before what is long is cut.
    """
    try:
        return shorten(redact(_words(strict_json.loads_mended(text), redact)))
    except ValueError:
        return shorten(redact(page_words(text) if text.lstrip().startswith("<") else text))


def shorten(text: str) -> str:
    """`text` on one line and of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[:MESSAGE_CHARACTERS] + " …"


NAMES = ("error", "errors", "error_message", "error_msg", "errormessage", "message", "detail", "msg", "status_msg")
"""Where an object has the words of its error, the likeliest first."""


def _words(value: Any, redact: Callable[[str], str]) -> str:
    if isinstance(value, dict):
        value = {str(name).lower(): each for name, each in value.items()}
        found = (value[name] for name in NAMES if isinstance(value.get(name), str | dict | list) and value[name])
        if words := next(found, None):
            return ": ".join(filter(None, (_words(words, redact), _behind(value, redact))))
    if isinstance(value, list) and len(value) == 1:
        return _words(value[0], redact)
    return value if isinstance(value, str) else strict_json.dumps(value, ensure_ascii=False)


def _behind(error: dict[str, Any], redact: Callable[[str], str]) -> str:
    """What a gateway says that the provider behind it has said."""
    behind = error.get("metadata")
    raw = behind.get("raw") if isinstance(behind, dict) else None
    return said(raw, redact) if isinstance(raw, str) else ""
