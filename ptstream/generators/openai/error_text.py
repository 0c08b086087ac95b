"""A server's own words for an error, out of the several shapes they come in, on one line and without what is secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptstream import strict_json
from ptstream.generators.openai.web_page import page_words

MESSAGE_CHARACTERS = 600
"""Characters of them that are shown."""

NAMES = ("error", "errors", "error_message", "error_msg", "errormessage", "message", "detail", "msg", "status_msg")
"""Where an object has the words of its error, the likeliest first."""


def message_in(text: str, redact: Callable[[str], str] = str) -> str:
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
    return message_in(raw, redact) if isinstance(raw, str) else ""
