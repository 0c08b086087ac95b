"""Hard texts in many languages with the places where they may be flushed, for `tests.bench.sentences`.

Files of one form: `=== CODE` opens a text in that language, ‖ marks each flush point in it. There are two sets: long
answers (`sentences_*.txt`) and short texts of many kinds (`sentences_kinds_*.txt`: numbers and list items that begin
a sentence, dialogues, quotes, titles, eras, units, ordinals). Of each, the development half is what the cutter's rules
were found on; the held-out half was written before them and only ever measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MARK = "‖"
_OPENING = re.compile(r"^=== (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """One text; `ends` are the right flush points: characters from its start, white space before them left out."""

    language: str
    text: str
    ends: frozenset[int]


def development() -> list[Case]:
    """The half to look at."""
    return _read("sentences_development.txt")


def held_out() -> list[Case]:
    """The half to measure only."""
    return _read("sentences_held_out.txt")


def kinds_development() -> list[Case]:
    """The half to look at, of the short texts."""
    return _read("sentences_kinds_development.txt")


def kinds_held_out() -> list[Case]:
    """The half to measure only, of the short texts."""
    return _read("sentences_kinds_held_out.txt")


def other_hands() -> list[Case]:
    """Texts by others, who knew neither the cutter nor these sets: to measure only."""
    return _read("sentences_other_hands.txt")


def before_space(text: str, index: int) -> int:
    """`index` moved to before the white space that it follows: a cut on either side of it is the same cut."""
    return len(text[:index].rstrip())


def _read(name: str) -> list[Case]:
    parts = _OPENING.split(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return [_case(language, body.rstrip("\n")) for language, body in zip(parts[1::2], parts[2::2], strict=True)]


def _case(language: str, marked: str) -> Case:
    runs = marked.split(MARK)
    text = "".join(runs)
    ends, length = set(), 0
    for run in runs[:-1]:
        length += len(run)
        ends.add(before_space(text, length))
    return Case(language, text, frozenset(ends - {before_space(text, len(text))}))
