"""What a web page says that came where an answer, or an error, was expected."""

from __future__ import annotations

import re

PAGE_CHARACTERS = 16 * 1024
"""Characters of a page that are looked at."""

TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
NO_WORDS = re.compile(r"<(script|style)\b(?:.*?</\1>|.*)|<[^<>]*>?", re.IGNORECASE | re.DOTALL)


def page_words(text: str) -> str:
    """What a web page says: its title, else how its text begins."""
    text = text[:PAGE_CHARACTERS]
    title = TITLE.search(text)
    return " ".join((title.group(1) if title else NO_WORDS.sub(" ", text)).split())
