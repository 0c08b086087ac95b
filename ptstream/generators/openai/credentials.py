"""What of an endpoint's headers, parameters and addresses is secret: keys, tokens, passwords.

`redaction` takes it out of what the endpoint says.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

SECRET = re.compile(
    r"auth|key|token|secret|passw|\bpwd\b|cookie|credential|signature|session|\bsig\b|\bcode\b|jwt|bearer",
    re.IGNORECASE,
)
"""What headers and parameters are called whose value is nobody else's to see."""

LIKE_A_KEY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9._~+/=-]{24,}")
"""What a value looks like that is nobody else's to see, whatever it is called."""


def secrets_in(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What is secret of headers, or of a query."""
    for name, value in fields:
        if SECRET.search(name) or LIKE_A_KEY.fullmatch(value):
            yield value
            scheme, _, credentials = value.partition(" ")
            yield credentials.strip()
            if scheme.lower() == "basic":
                yield _password_in(credentials)


def credentials_in(userinfo: str) -> Iterator[str]:
    """What is secret of `user:password` in an address: the password, or a user without one, which is a token then."""
    user, colon, password = userinfo.partition(":")
    for word in (password if colon and password else user,):
        yield from (word, unquote(word))


def _password_in(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip()).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
