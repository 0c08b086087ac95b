"""What a proxy before the daemon says of a request: by which scheme and host it was asked itself."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

_FIRST = re.compile(r'(?:[^",]|"[^"]*")*')
"""The first element of a list whose strings may hold commas."""

_PAIR = re.compile(r'(proto|host)\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)


def forwarded(headers: Headers) -> tuple[str, str]:
    """The scheme and the host that the outermost proxy was asked by, each empty if none says.

    X-Forwarded-Proto and X-Forwarded-Host, else RFC 7239's Forwarded, which many proxies pass on as it came.
    """
    pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(_first(headers, "forwarded"))}
    scheme = _first(headers, "x-forwarded-proto") or pairs.get("proto", "")
    host = _first(headers, "x-forwarded-host") or pairs.get("host", "")
    return scheme.lower() if scheme.lower() in ("http", "https") else "", host


def _first(headers: Headers, name: str) -> str:
    found = _FIRST.match(", ".join(headers.getlist(name)))
    return found[0].strip() if found else ""
