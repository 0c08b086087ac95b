"""Secrets taken out of what an endpoint says: keys that a careless server repeats.

`credentials` says which they are, and `secret_forms` how they may be written.

A secret is found as it is and in the forms in which servers repeat what they were sent: escaped as in JSON, in URLs and
in HTML, in base64 (also within longer text, as in Basic credentials) and in hexadecimal. Whatever a server does to it
besides, nobody can know; it has the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from ptstream.generators.openai.secret_forms import ANYWHERE, LONGEST_FORM, forms, plain_forms

MARK = "[key]"
"""What stands in a secret's place."""

SHORTEST = 4
"""Characters that a secret has at least: fewer stand in any text."""

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
        return re.compile("|".join(form for secret in self._secrets for form in forms(secret)))

    @cached_property
    def _plain(self) -> list[str]:
        return [form for secret in self._secrets for form in plain_forms(secret)]

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
        clean = {}
        for name, each in value.items():
            if below is None and name in kept:
                clean[name] = each
            elif name in ERRORS:
                clean[name] = self.within_error(each)
            else:
                clean[self._long.of(name)] = self._within(each, redaction, kept, None if name == below else below)
        return clean
