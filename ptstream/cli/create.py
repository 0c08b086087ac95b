"""`ptstream create`: a pending stream. Needs no daemon."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from ptstream.cli.app import elsewhere, session
from ptstream.cli.options import FlushRule, Json, Model, Name, Need, System, Title, Ttl, prompt_of, text_of, ttl_of
from ptstream.cli.screen import Screen
from ptstream.engine.sqlite.store import Store
from ptstream.fields import as_json
from ptstream.streams import Stream, Words

EXAMPLES = """
id=$(ptstream create "Why is the sky blue?")   make it now …
ptstream drive "$id"                           … and run it later
ptstream create --name today --model smollm2 "Tell me about today"
"""


def command(
    ctx: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", show_default=False, help="What to ask (@FILE reads a file).")
    ] = None,
    model: Model = None,
    system: System = None,
    title: Title = None,
    name: Name = None,
    flush: FlushRule = None,
    ttl: Ttl = None,
    json: Json = False,
) -> None:
    """The command."""
    far = elsewhere(ctx)
    screen = far[1] if far else session(ctx)[1]
    words = Words(
        prompt=prompt_of(prompt, screen.note, screen.note, Need.WHOLE),
        system=text_of(system, "--system"),
        model=model,
        flush=flush,
    )
    if far:
        from ptstream.cli import remote

        raise typer.Exit(anyio.run(remote.create, *far, words, name, title, ttl_of(ttl), json))
    with Store(session(ctx)[0]) as store:
        stream = store.create(words, name=name, title=title, ttl=ttl_of(ttl))
    tell_made(screen, stream, json=json)


def tell_made(screen: Screen, stream: Stream, *, json: bool) -> None:
    """Print its id, or what is known of it."""
    if json:
        screen.data(as_json(stream))
    else:
        screen.text(f"{stream.id}\n")
