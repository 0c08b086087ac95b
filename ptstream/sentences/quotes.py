"""Quotes and brackets: what opens, what closes, and whether a text ends inside of some that are still open."""

from __future__ import annotations

import re

MEMORY = 200
"""Characters after which brackets and quotes are no longer expected to be closed."""

CLOSERS = "\"'»«”’“›‹)\\]}*_~`」』）】〕〉》"
"""What may stand between a terminator and the white space behind it, as members of a set in a pattern."""

OPENERS = "\"'«»„“”‘’‚‹›([{*_~`「『（【〔〈《¿¡"
OPENING_QUOTES = {"」": "「", "』": "『", "”": "“", "’": "‘", "»": "«", '"': '"'}
_BRACKETS = (("(", ")"), ("（", "）"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"))

_OUTSIDE_WORDS = r"(?<![^\W\u2e80-\u9fff\uac00-\ud7af])"
"""What follows does not stand behind a letter, unless of a script without spaces."""

_CLOSED = re.compile(rf'`[^`]*`|{_OUTSIDE_WORDS}"[^"]*"')
_OPENER = re.compile('[`"(（「『《【„“«»]')
_OPEN = re.compile(rf'{_OUTSIDE_WORDS}[`"](?=\S)')


def is_open_at_end(text: str) -> bool:
    """Whether `text` ends inside brackets, quotes or code that are still open."""
    near = text[-MEMORY:]
    if not _OPENER.search(near):
        return False
    near = near.replace(":(", "").replace(":-(", "")
    if _OPEN.search(_CLOSED.sub("", near[near.rfind("\n") + 1 :])):
        return True
    return any(near.rfind(opener) > max(map(near.rfind, closers)) for opener, closers in _delimiters(near))


def _delimiters(text: str) -> list[tuple[str, str]]:
    """What opens and what closes; of quotes, that depends on the language: „…“ and “…”, «…» and »…«."""
    high = ("„", "“”") if "„" in text else ("“", "”")
    return [*_BRACKETS, high, ("»", "«") if points_inward(text) else ("«", "»")]


def points_inward(text: str) -> bool:
    """Whether »quotes« point to what they quote, as in German and Danish."""
    left, right = text.find("«"), text.find("»")
    return right >= 0 and not 0 <= left < right
