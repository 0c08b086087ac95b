"""`ptstream create`: a pending stream. Needs no daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from ptstream.cli.app import screen_of
from ptstream.cli.at_once import Asked
from ptstream.cli.options import (
    FlushRule,
    Json,
    Model,
    Name,
    Need,
    Options,
    System,
    Title,
    Ttl,
    options_of,
    prompt_of,
    text_of,
    ttl_of,
)
from ptstream.cli.screen import Screen
from ptstream.cli.with_streams import run_at_once
from ptstream.stream_json import as_json
from ptstream.streams import GenerationRequest

EXAMPLES = """
id=$(ptstream create "Why is the sky blue?")   make it now …
ptstream drive "$id"                           … and run it later
ptstream create -o seed 7 "A haiku"            a model's option
ptstream create --name today --model smollm2 "Tell me about today"
ptstream create -s "Briefly" --title "Rain" --flush lines --ttl 7d "Why?"   with instructions, for a week
ptstream create --json "Why?"                  for programs
"""


def command(
    ctx: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", show_default=False, help="What to ask (@FILE reads a file).")
    ] = None,
    model: Model = None,
    system: System = None,
    options: Options = [],  # noqa: B006 - typer makes another each time
    title: Title = None,
    name: Name = None,
    flush: FlushRule = None,
    ttl: Ttl = None,
    json: Json = False,
) -> None:
    """The command."""
    screen = screen_of(ctx)
    request = GenerationRequest(
        prompt=prompt_of(prompt, screen.note, screen.note, Need.WHOLE),
        system=text_of(system, "--system"),
        model=model,
        flush=flush,
        options=options_of(options),
    )
    seconds = ttl_of(ttl)
    run_at_once(
        ctx, screen, lambda streams: create(streams, screen, request, name=name, title=title, ttl=seconds, json=json)
    )


async def create(
    streams: Asked,
    screen: Screen,
    request: GenerationRequest,
    *,
    name: str | None,
    title: str | None,
    ttl: float | None,
    json: bool,
) -> int:
    """Make it, and print its id, or what is known of it."""
    stream = await streams.create(request, name=name, title=title, ttl=ttl)
    if json:
        screen.data(as_json(stream))
    else:
        screen.text(f"{stream.id}\n")
    return 0
