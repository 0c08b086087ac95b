"""Markdown's blocks, as far as they are cut by line: fenced code, tables, headings, lists (CommonMark, GFM).

A list also stands in running text here: `1) one 2) two`, as models write it.
"""

from __future__ import annotations

import re

WHOLE, ITEM, PROSE = "whole", "item", "prose"
"""Kinds of lines: cut at its end only; at its end, and within only if it is long; like the text around it."""

_BY_LINE = re.compile(
    r"[ \t>]{0,60}(?:(?P<whole>```|~~~|\||#{1,6}[ \t])"
    r"|(?P<item>[-*+•][ \t]|\(?(?:\d{1,9}|[a-z]|[ivx]{1,5})(?:\.|\.?\))[ \t]))"
)
"""How a line begins that is cut at its end: a fence, a table's row, a heading; a list's item."""

_FENCE = re.compile(r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}(?=[^`]*\Z)|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+•⁃]\s*)?\(?(\d{1,3}|[a-z])(\.\)|[.)])\s")
_LABEL = re.compile(r"(?<=[^\s:;,(])\s+((?:[-*•⁃]\s*)?\(?(\d{1,3}|[a-z]))\Z")
"""An item with its label and the label's mark; a label, behind the text of another item, without its mark."""

LONGEST_LABEL = 10
"""Characters of a label, with the white space before it."""

_NEXT_ITEM = re.compile(r"(?:\(?(?:\d{1,3}|[a-z])[.)]+|[-–—•])\s")
_MAY_BE_ITEM = re.compile(r"(?:\(?(?:\d{0,3}|[a-z])[.)]*|[-–—•])")


def line_kind(text: str, begin: int) -> str:
    """What the line that begins at `begin` is; one that is not known from its first characters is PROSE."""
    known = _BY_LINE.match(text, begin)
    return known.lastgroup or WHOLE if known else PROSE


def fence_after(line: str, fence: str) -> str:
    """What opened the code that the text is in behind `line`, a whole one; empty outside of code."""
    if fence:
        return "" if line.startswith(fence) and not line.strip(fence[0]) else fence
    found = _FENCE.match(line)
    return found[1] if found else ""


def next_item(text: str, index: int) -> int | None:
    """Where a list's next item begins, if its mark is at `index` and `text` begins with the item before it.

    So it is in a list that is not cut into lines. 0 if there is none; None to wait.
    """
    if text[index] not in ".)•":
        return 0
    if text[index] == "•":
        return index if text.lstrip().startswith("•") and text[:index].strip() else 0
    item, label = _ITEM.match(text), _LABEL.search(text, max(0, index - LONGEST_LABEL), index)
    if not item or not label or not _follows(item[1], label[2]):
        return 0
    behind = text[index : index + len(item[2]) + 1]
    if len(behind) <= len(item[2]) and item[2].startswith(behind):
        return None
    return label.start(1) if behind[:-1] == item[2] and behind[-1].isspace() else 0


def begins_item(text: str, begin: int) -> bool | None:
    """Whether a list's item begins at `begin`; None to wait."""
    if _NEXT_ITEM.match(text, begin):
        return True
    return None if _MAY_BE_ITEM.fullmatch(text, begin) else False


def _follows(label: str, other: str) -> bool:
    """Whether `other` is what follows `label` in an enumeration."""
    if label.isdigit() and other.isdigit():
        return int(other) == int(label) + 1
    return not label.isdigit() and not other.isdigit() and ord(other) == ord(label) + 1
