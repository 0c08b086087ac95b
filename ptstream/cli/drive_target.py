"""Which stream a line of `ptstream drive` means: one that it names, or a new one, and what that one is asked."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from ptstream.cli.options import Need, prompt_of, text_of
from ptstream.cli.screen import Screen
from ptstream.errors import StreamNotFound, UsageError
from ptstream.generators.replay import PREFIX
from ptstream.integers import count_of
from ptstream.names import as_name
from ptstream.streams import GenerationRequest, Status, Stream, inherited, merged
from ptstream.streams_protocol import Streams

SOME = 16
"""Streams that are listed at first to find the newest of a kind; then so many times more."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the line asks for: the stream it names or the one it makes."""

    reference: str | None
    after: str | None
    answers: bool
    again: bool
    prompt: str | None
    request: GenerationRequest
    name: str | None = None
    title: str | None = None
    ttl: float | None = None


async def stream_of(streams: Streams, screen: Screen, order: Order, later: Callable[[str], None]) -> Stream:
    """The stream that the line means, made if there is none yet; `later` gets what is to be said after its id.

    Raises UsageError for what does not go together, StreamNotFound, RequestDiffers.
    """
    new = order.reference is None and not (order.name and await _exists(streams, order.name))
    if order.reference is not None:
        found = await _found(streams, order.reference)
        return await streams.fill(found.id, _request(screen, order, found, later))
    if order.again:
        return await _asked_again(streams, order, later, new=new)
    after, offset = _place(order.after)
    # Before a pipe is read: @last is another one then.
    parent = (
        await streams.find(after)
        if after is not None
        else await newest(streams, is_a_models)
        if order.answers
        else None
    )
    request = _request(screen, order, None, later)
    if new:
        await check(streams, request, parent, later)
    before = parent.id if parent else None
    return await streams.create(
        request, name=order.name, title=order.title, parent=before, parent_offset=offset, ttl=order.ttl
    )


async def check(
    streams: Streams, request: GenerationRequest, parent: Stream | None, later: Callable[[str], None]
) -> None:
    """Before a stream is made that answers `parent`: `later` gets what speaks against it. Raises what forbids it."""
    if said := await streams.check(inherited(parent.request, request) if parent else request):
        later(said)


async def _found(streams: Streams, reference: str) -> Stream:
    try:
        return await streams.find(reference)
    except StreamNotFound as error:
        if shutil.which(reference):
            raise StreamNotFound(f"{error}; to run the command: ptstream drive -- {reference}") from error
        raise


async def _exists(streams: Streams, name: str) -> bool:
    """Whether a stream has this name. Raises UsageError for what can be none."""
    name = as_name(name)
    with contextlib.suppress(StreamNotFound):
        return (await streams.find(name)).name == name
    return False


def _request(screen: Screen, order: Order, found: Stream | None, later: Callable[[str], None]) -> GenerationRequest:
    """What the line asks, its prompt read, of the stream that it names or of a new one. Raises UsageError.

    `later` gets what is to be said of that after the id.
    """
    request = order.request
    if found is not None and (found.status is not Status.PENDING or found.request.prompt is not None):
        return request._replace(prompt=text_of(order.prompt, "--prompt"))
    need = _need(order, request if found is None else merged(found.request, request))
    asked = prompt_of(order.prompt, screen.note, later, need)
    if order.answers and asked is None:
        raise UsageError('the next turn of a conversation has a prompt: --prompt "…"')
    if found is None and asked is None and need is Need.WHOLE:
        raise UsageError('there is nothing to drive: --prompt "…", -- COMMAND, or the id of a stream')
    return request._replace(prompt=asked)


def _need(order: Order, request: GenerationRequest) -> Need:
    """What standard input is to a stream of this request."""
    if request.command or request.generator:
        return Need.COMMAND
    return (
        Need.QUESTION
        if order.after is not None or order.answers or (request.model or "").startswith(PREFIX)
        else Need.WHOLE
    )


async def _asked_again(streams: Streams, order: Order, later: Callable[[str], None], *, new: bool) -> Stream:
    """A new stream of the same request, which comes where the old one came in its conversation."""
    found = await (streams.find(order.after) if order.after is not None else newest(streams, _is_a_commands))
    old = await streams.get(found.id)
    if not (old.command or old.generator or old.prompt):
        raise UsageError(f"stream {old.id} was not asked anything that could be asked again")
    if new:
        await check(streams, old.request, None, later)
    title = order.title or old.title
    return await streams.create(
        old.request, name=order.name, title=title, parent=old.id, parent_offset=0, ttl=order.ttl
    )


def is_a_models(stream: Stream) -> bool:
    """Whether a model has begun to write it."""
    return bool(stream.model) and not stream.command and stream.status is not Status.PENDING


def _is_a_commands(stream: Stream) -> bool:
    return bool(stream.command)


async def newest(streams: Streams, wanted: Callable[[Stream], bool]) -> Stream:
    """The newest stream of a kind. Raises StreamNotFound if there is none."""
    limit, listing = SOME, await streams.list(SOME)
    while True:
        for stream in listing.streams:
            if wanted(stream):
                return stream
        if len(listing.streams) < limit:
            raise StreamNotFound("there is no such stream yet: ptstream ls shows all")
        limit *= SOME
        listing = await streams.list(limit)


def _place(after: str | None) -> tuple[str | None, int | None]:
    """`ID@N` in its parts. A lone `@last` is no place."""
    if after is None:
        return None, None
    reference, _, offset = after.rpartition("@")
    number = count_of(offset)
    return (reference, number) if reference and number is not None else (after, None)
