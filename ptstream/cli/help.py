"""What `--help` looks like: the examples first, and on a narrow terminal each explanation below what it explains."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import Any

from typer._click.core import Context
from typer._click.formatting import HelpFormatter

NARROW = 60
"""Columns of a terminal below which two do not fit beside each other."""

_LEAST = 20

_EXPLAINED = 4
"""Columns by which an explanation stands behind what it explains."""


class Formatter(HelpFormatter):
    """As wide as the terminal is, but no wider than is read with ease."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._columns = shutil.get_terminal_size().columns
        self.width = min(self.width, max(self._columns - 1, _LEAST))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """What there is, each with its explanation."""
        if self._columns < NARROW:
            for term, explanation in rows:
                self._write_both(term, explanation)
        else:
            super().write_dl(rows, col_max, col_spacing)

    def write_examples(self, examples: str) -> None:
        """Lines that are whole, so that they can be copied, each with its explanation behind some space."""
        with self.section("Examples"):
            for line in examples.strip().splitlines():
                if len(line) + self.current_indent <= self._columns:
                    self.write(f"{' ' * self.current_indent}{line}\n")
                else:
                    example, *explanation = re.split(r"\s{2,}", line, maxsplit=1)
                    self._write_both(example, *explanation)
        self.write("\n")

    def _write_both(self, term: str, explanation: str = "") -> None:
        self.write(f"{' ' * self.current_indent}{term}\n")
        if explanation:
            self.current_indent += _EXPLAINED
            self.write_text(explanation)
            self.current_indent -= _EXPLAINED


class HelpContext(Context):
    """A command's, whose help is written so."""

    formatter_class = Formatter
