"""An answer read to its end: its bytes as they come, how long more is waited for, and what a break in them means.

The bytes become items in `event_stream`, the items become text in `answer`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing

import anyio
import httpx

from ptstream.errors import GeneratorDropped, GeneratorError, NoAnswer
from ptstream.fairness import Fairness
from ptstream.generators import Generation
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.answer import Answer
from ptstream.generators.openai.error_text import shorten
from ptstream.generators.openai.event_stream import EventStream, Incomplete, Item, Malformed, Mark, Trailing, WebPage
from ptstream.generators.openai.upstream import Upstream
from ptstream.strict_json import TooComplex

SILENT_BYTES = 16 * 1024 * 1024
"""Bytes that an endpoint may send without saying anything: who sends more means no good."""

SLICE = 4096
"""Bytes of a body that are read before others have their turn."""


def answer_in(response: httpx.Response, upstream: Upstream, silence: float | None) -> Generation:
    """What the answer says, which `response` brings: see `events_of`."""
    answer = Answer(upstream)
    items = items_of(response.aiter_bytes(), EventStream(), answer, upstream)
    return events_of(items, answer, local=upstream.local, silence=silence)


async def events_of(
    items: AsyncGenerator[Item, None], answer: Answer, *, local: bool = False, silence: float | None = None
) -> Generation:
    """What the items of an answer say, to their end: when they have been proven whole, only for a while more.

    An empty piece says that it still works. So does a comment of an endpoint that is `local`, on this machine: it reads
    the prompt. `silence` is how many seconds without a piece the driving process allows. Raises GeneratorError.
    """
    fault: GeneratorDropped | None = None
    in_order = True
    async with aclosing(items):
        try:
            while (item := await _next(items, endpoint_timeouts.for_next(answer, silence))) is not None:
                beat = local or not isinstance(item, Mark)
                for event in answer.read(item):
                    beat = False
                    yield event
                if beat:
                    yield ""
        except GeneratorDropped as error:
            fault, in_order = error, False
        except NoAnswer:
            if not answer.proven:  # else it is over, whatever comes behind it
                raise
            in_order = False
    try:
        for event in answer.end(in_order=in_order):
            yield event
    except GeneratorDropped:
        if fault is None:
            raise
        raise fault from fault.__cause__


async def _next(items: AsyncGenerator[Item, None], seconds: float | None) -> Item | None:
    """The next item; None at their end, or when none comes in time."""
    if seconds is None:  # nearly always: a limit that is none takes a tenth of all that a token takes
        return await anext(items, None)
    with anyio.move_on_after(seconds):
        return await anext(items, None)
    return None


async def items_of(
    runs: AsyncIterable[bytes], body: EventStream, answer: Answer, upstream: Upstream
) -> AsyncGenerator[Item, None]:
    """The items of a body that comes in runs, which `answer` reads.

    Raises GeneratorDropped for one that breaks off, GeneratorError for one that is no answer.
    """
    host, size, said, fairness = upstream.host, 0, answer.characters, Fairness()
    try:
        async for part in _slices(runs):
            size = size + len(part) if said == answer.characters else len(part)
            said = answer.characters
            for item in body.feed(part):
                yield item
            if size > SILENT_BYTES:
                raise GeneratorError(f"{host} sends without end what is no part of an answer")
            await fairness.checkpoint()
        for item in body.end():
            yield item
    except httpx.HTTPError as error:
        for item in _rest(body):
            yield item
        reason = upstream.redact(str(error)) or "the connection was lost"
        raise GeneratorDropped(f"{host} broke off before the answer's end: {reason}") from error
    except TooComplex as error:
        raise NoAnswer(f"{host} sent {error} at once: that is no part of an answer") from error
    except Incomplete as error:
        raise GeneratorDropped(f"{host} broke off before the answer's end: in the middle of an event") from error
    except WebPage as error:
        page = f" ({shorten(upstream.redact(str(error)))})" if str(error) else ""
        raise GeneratorError(
            f"{host} answered with a web page instead of an answer{page}: perhaps it wants a login, or base_url is not"
            " where it is asked"
        ) from error
    except Trailing as error:
        words = shorten(upstream.redact(str(error)))
        raise GeneratorDropped(f"{host} broke off before the answer's end: {words}") from error
    except Malformed as error:
        begin = shorten(upstream.redact(str(error)))[:80]
        raise NoAnswer(f"{host} sent something that is not part of an answer: {begin!r}") from error


async def _slices(runs: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    async for run in runs:
        for begin in range(0, len(run), SLICE):
            yield run[begin : begin + SLICE]


def _rest(body: EventStream) -> Iterator[Item]:
    """What a body that broke off has said in its last line."""
    try:
        yield from body.end()
    except ValueError:
        return
