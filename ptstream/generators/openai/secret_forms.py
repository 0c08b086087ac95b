"""The forms in which a secret may be written: as it is, escaped (JSON, URLs, HTML), in base64, in hexadecimal."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

ANYWHERE = 8
"""Characters from which on a secret is found within a word, too; a shorter one may be part of others (`test`)."""

LONGEST_FORM = 24
"""Characters that one of a secret may be written with."""

DEEPEST = 8
"""How often what is escaped may be escaped again."""


def forms(secret: str) -> Iterator[str]:
    """Patterns of the forms that a secret may have."""
    written = "".join(map(_written, secret))
    if len(secret) < ANYWHERE:
        yield rf"(?<![A-Za-z0-9_]){written}(?![A-Za-z0-9_])"
        return
    yield written
    data = secret.encode("utf-8", "surrogateescape")
    yield f"(?i:{data.hex()})"
    for core in _in_base64(data):
        yield "".join(map(_written_in_base64, core))


def plain_forms(secret: str) -> Iterator[str]:
    """The forms in which nothing is escaped."""
    data = secret.encode("utf-8", "surrogateescape")
    yield from (secret, data.hex(), data.hex().upper())
    for core in _in_base64(data):
        yield from (core, core.translate(IN_URLS))


IN_URLS = str.maketrans("+/", "-_")
"""The two characters in which the alphabets of base64 differ (RFC 4648)."""


def _written(character: str) -> str:
    """A pattern for a character as it is, or escaped in any of the ways that are in use, and perhaps that once more."""
    number = ord(character)
    digits = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:x}")
    wide, octets = digits.rjust(len(digits) + 4 - len(f"{number:x}"), "0"), character.encode("utf-8", "surrogateescape")
    percent = "".join(f"%(?:25){{0,{DEEPEST}}}(?i:{octet:02x})" for octet in octets)
    forms = [
        rf"\\{{0,{DEEPEST}}}{re.escape(character)}",
        rf"\\{{1,{DEEPEST}}}u(?:\{{0{{0,4}}{digits}\}}|{wide})",
        percent,
        rf"&(?:amp;)?#(?:0{{0,6}}{number}|[xX]0{{0,6}}{digits});",
    ]
    if number < 256:
        forms.append(rf"\\{{1,{DEEPEST}}}x{digits.rjust(len(digits) + 2 - len(f'{number:x}'), '0')}")
    if character in NAMED:
        forms.append(f"&(?:amp;)?{NAMED[character]};")
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"


NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "(?:apos|#39)"}
"""The characters that HTML has names for, and that a key may hold."""


def _written_in_base64(character: str) -> str:
    """A pattern for a character of base64, of which there are two alphabets."""
    alike = {"+": "+-", "/": "/_"}.get(character)
    return f"(?:{'|'.join(map(_written, alike))})" if alike else re.escape(character)


def _in_base64(data: bytes) -> Iterator[str]:
    """What base64 makes of the data wherever it begins among three bytes: what its neighbours do not change of it."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        whole = (before + len(data)) * 8 // 6  # characters that hold no bit of what follows
        yield coded[(0, 2, 3)[before] : whole]
