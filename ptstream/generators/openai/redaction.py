"""What is secret about an endpoint, taken out of what it says: keys that a careless server repeats.

A secret is found as it is and in the forms in which servers repeat what they were sent: escaped as in JSON, in URLs and
in HTML, in base64 (also within longer text, as in Basic credentials) and in hexadecimal. Whatever a server does to it
besides, nobody can know; it has the key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

MARK = "[key]"
"""What stands in a secret's place."""

SHORTEST = 4
"""Characters that a secret has at least: fewer stand in any text."""

ANYWHERE = 8
"""Characters from which on a secret is found within a word, too; a shorter one may be part of others (`test`)."""

LONGEST_FORM = 24
"""Characters that one of a secret may be written with."""

DEEPEST = 8
"""How often what is escaped may be escaped again."""

ERRORS = ("error", "errors")
"""Where an object has its error."""


class Redaction:
    """Takes the given secrets out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({each for each in secrets if len(each) >= SHORTEST}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Redaction of {len(self._secrets)} secrets>"

    def __bool__(self) -> bool:
        return bool(self._secrets)

    @cached_property
    def reach(self) -> int:
        """Characters that a secret takes up at most, in whatever form."""
        return LONGEST_FORM * max(map(len, self._secrets), default=0)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(form for secret in self._secrets for form in _forms(secret)))

    @cached_property
    def _plain(self) -> list[str]:
        return [form for secret in self._secrets for form in _plain_forms(secret)]

    @cached_property
    def _escapes(self) -> re.Pattern[str]:
        """What is in every text that holds a secret in none of its plain forms."""
        marks = {character for secret in self._secrets for character in secret if not character.isalnum()} | {*"/+="}
        # Of characters that are ASCII the escapes begin so; keys have no others.
        first = "2-7" if all(map(str.isascii, self._secrets)) else "0-9a-fA-F"
        escaped = rf"\\(?:u\{{?0*[{first}]|x|[{re.escape(''.join(sorted(marks)))}])"
        return re.compile(rf"{escaped}|%[2-9a-fA-F]|&#|&[a-z]{{2,4}};")

    def of(self, text: str) -> str:
        """The text without the secrets."""
        return self._pattern.sub(MARK, text) if self._may_be_in(text) else text

    def holds(self, text: str) -> bool:
        """Whether a secret is in the text."""
        return self._may_be_in(text) and self._pattern.search(text) is not None

    def parted(self, text: str) -> tuple[str, str]:
        """The text that may go on, without the secrets, and the rest: a secret may begin there, and go on."""
        place = max(0, len(text) - self.reach)
        for found in self._pattern.finditer(text) if self._may_be_in(text) else ():
            if found.start() < place < found.end():
                place = found.start()
        return self.of(text[:place]), text[place:]

    def _may_be_in(self, text: str) -> bool:
        # The pattern takes a hundred times as long as this.
        return any(form in text for form in self._plain) or bool(self._secrets and self._escapes.search(text))

    def within(self, value: Any, kept: frozenset[str] = frozenset(), *, below: str | None = None) -> Any:
        """A value of JSON without the secrets in its strings, names and numbers; short ones only in an error's strings.

        What programs read they must still understand: a short key (`ollama`, `1234`) is often a word of others there.
        Left as they are: what the fields called as one of `kept` hold, within the one called `below` if there is one.
        """
        return self._within(value, self._long, kept, below)

    def within_error(self, value: Any) -> Any:
        """The same of a value that is an error as a whole."""
        return self._within(value, self, frozenset(), None)

    @cached_property
    def _long(self) -> Redaction:
        """What takes out only those that stand for nothing else, wherever they are found."""
        return Redaction(each for each in self._secrets if len(each) >= ANYWHERE)

    def _within(self, value: Any, redaction: Redaction, kept: frozenset[str], below: str | None) -> Any:
        """`redaction` is that of strings."""
        if isinstance(value, str):
            return redaction.of(value)
        if isinstance(value, list):
            return [self._within(each, redaction, kept, below) for each in value]
        if isinstance(value, int | float):
            return MARK if len(digits := str(value)) >= ANYWHERE and self._long.holds(digits) else value
        if not isinstance(value, Mapping):
            return value
        told = {}
        for name, each in value.items():
            if below is None and name in kept:
                told[name] = each
            elif name in ERRORS:
                told[name] = self.within_error(each)
            else:
                told[self._long.of(name)] = self._within(each, redaction, kept, None if name == below else below)
        return told


def _forms(secret: str) -> Iterator[str]:
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


def _plain_forms(secret: str) -> Iterator[str]:
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
