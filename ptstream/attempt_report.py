"""What a generator says beside its text, as far as the end of its stream needs it; the rest goes to `remarks.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptstream.generators import Note, Reasoning, Remark
from ptstream.remarks import Remarks

CAUSE = 1000
"""Characters of what a generator said last that fit into the cause of its end."""


class AttemptReport:
    """Of one drive: what is shown beside the text, and what is kept with the stream."""

    def __init__(self, before: int = 0) -> None:
        """`before`: see `Remarks`."""
        self.remarks = Remarks(before)
        self.usage: Mapping[str, Any] | None = None
        """What the attempt took, once that is known."""
        self.last: str | None = None
        """What was said after the last text: often the reason for a silence ("429, trying again")."""
        self._kept: list[str] = []

    @property
    def note(self) -> str | None:
        """What there is to know of a text that has ended well."""
        return "; ".join(self._kept) or None

    def add(self, entry: Remark) -> None:
        """Take what was said."""
        if isinstance(entry, Note) and entry.kept:
            self._kept.append(entry.text)
            return
        self.last = None if isinstance(entry, Reasoning) else _last_line(entry.text) or self.last
        self.remarks.add(entry)


def _last_line(text: str) -> str:
    """The end of it, as far as it fits into a cause."""
    return text[-CAUSE:].strip().rpartition("\n")[2]
