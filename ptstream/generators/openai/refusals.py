"""What an endpoint's refusal means, in a sentence for a person, and whether asking again may help.

Failures below HTTP are left to `connection_errors`.
"""

from __future__ import annotations

import re

import httpx

from ptstream.errors import Refused
from ptstream.generators.openai.error_text import message_in, shorten
from ptstream.generators.openai.retry_after import wait_of
from ptstream.generators.openai.upstream import Upstream

MESSAGE_BYTES = 64 * 1024
"""How much of a refusal's body is read to find the server's own words."""

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


def refused(response: httpx.Response, body: bytes, upstream: Upstream) -> Refused:
    """What an answer means that is not a 2xx. `body` is its body, or the beginning of that."""
    text = body[:MESSAGE_BYTES].decode("utf-8", "replace")
    redact = upstream.redaction().of
    words = message_in(text, redact)
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    # A used-up account also answers 429.
    again = response.status_code in RETRYABLE and not any(mark in text for mark in USED_UP)
    return Refused(
        redact(f"{upstream.host} answered {status}{_hint(response, upstream)}") + (f": {words}" if words else ""),
        again=again,
        wait=wait_of(response, text),
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
        wait=wait_of(response, ""),
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
