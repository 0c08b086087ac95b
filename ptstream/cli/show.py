"""`ptstream show`: everything that is known of one stream, except its text."""

from __future__ import annotations

from typing import Any

import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import Json, StreamRef
from ptstream.cli.screen import Screen
from ptstream.cli.untrusted import clean
from ptstream.engine.sqlite.recovery import as_it_is
from ptstream.engine.sqlite.store import Store
from ptstream.fields import as_json
from ptstream.names import shown as shown_name

EXAMPLES = """
ptstream show @last
ptstream show --json 7h2k | jq .attempts
"""


def command(ctx: typer.Context, reference: StreamRef, json: Json = False) -> None:
    """The command."""
    if far := elsewhere(ctx):
        from ptstream.cli import remote

        raise typer.Exit(remote.run(remote.show, *far, reference, json))
    home, screen = session(ctx)
    with Store(home) as store:
        id = store.find(reference).id
        stream = as_it_is(store, store.get(id))
        fields = as_json(stream, store.attempts(id))
        fields["pieces"], fields["chunks"] = store.counts(id)
    show(screen, fields, json=json)


def show(screen: Screen, fields: dict[str, Any], *, json: bool) -> None:
    """Print what is known."""
    if json:
        screen.data(fields)
    else:
        screen.text("".join(_lines(fields)))


def _plain(value: Any) -> str:
    """Counts as `name N, name N`, all else as it is."""
    return ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else str(value)


def _lines(fields: dict[str, Any], indent: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                lines += [f"{indent}{key.removesuffix('s')}\n", *_lines(entry, indent + "  ")]
        elif value is not None:
            value = shown_name(value) if key == "name" else value
            shown = clean(" ".join(value) if isinstance(value, list) else _plain(value))
            lines.append(f"{indent}{key:<12} {shown.replace(chr(10), chr(10) + indent + ' ' * 13)}\n")
    return lines
