"""Code in colour, a line at a time: of the colours that the user chose those that are read on light and on dark."""

from __future__ import annotations

import io
from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax

from ptstream.cli.wrapping import SGR, Span

_STYLES = {
    "Comment": Style(dim=True),
    "Keyword": Style(color="magenta"),
    "Operator.Word": Style(color="magenta"),
    "Name.Builtin": Style(color="cyan"),
    "Name.Class": Style(bold=True),
    "Name.Decorator": Style(color="cyan"),
    "Name.Exception": Style(color="cyan"),
    "Name.Function": Style(bold=True),
    "Name.Tag": Style(color="magenta"),
    "Name.Variable": Style(color="cyan"),
    "Literal.String": Style(color="green"),
    "Literal.Number": Style(color="yellow"),
    "Generic.Deleted": Style(color="red"),
    "Generic.Heading": Style(bold=True),
    "Generic.Inserted": Style(color="green"),
    "Generic.Subheading": Style(bold=True),
    "Error": Style(color="red"),
}
"""By Pygments' names of what stands in code. None is a bright colour: those are for dark backgrounds alone."""

_THEME = ANSISyntaxTheme({tuple(kind.split(".")): style for kind, style in _STYLES.items()})

_CONSOLE = Console(file=io.StringIO(), force_terminal=True, legacy_windows=False)


@lru_cache(1024)
def highlighted(line: str, language: str) -> tuple[Span, ...]:
    """A line of code in colour."""
    text = _syntax(language).highlight(line)
    text.rstrip()
    text.expand_tabs(4)
    return tuple((_parameters(style), part) for part, style, _ in text.render(_CONSOLE) if part)


@lru_cache(64)
def _syntax(language: str) -> Syntax:
    return Syntax("", language or "text", theme=_THEME, background_color="default")


@lru_cache(256)
def _parameters(style: Style | None) -> str:
    drawn = SGR.match(style.render("x", color_system=ColorSystem.STANDARD)) if style else None
    return drawn[0][2:-1] if drawn else ""
