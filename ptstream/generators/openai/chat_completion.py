"""A model asked for the answer to a conversation: the generation, piece by piece.

`request` makes the request, `retry` decides whether it is sent again, `refusals` says what a refusal means, and
`answer_reader` reads the answer to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import anyio

from ptstream.errors import EndpointError, GeneratorDropped, Refused
from ptstream.generators import Generation, Note, Quiet
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.answer_reader import answer_in
from ptstream.generators.openai.chat_messages import Message
from ptstream.generators.openai.chat_options import USUAL, ChatOptions
from ptstream.generators.openai.http_client import client_for, send
from ptstream.generators.openai.request import ChatRequest, UnsupportedFields
from ptstream.generators.openai.retry import Retry
from ptstream.generators.openai.upstream import Upstream

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


async def chat(
    upstream: Upstream,
    model: str,
    messages: Sequence[Message],
    body: Mapping[str, Any] | None = None,
    *,
    options: ChatOptions = USUAL,
    unsupported: UnsupportedFields | None = None,
    sleep: Sleep = anyio.sleep,
) -> Generation:
    """The answer of `model` to `messages`, piece by piece.

    `body` has further fields of the request. An endpoint that is busy or not there yet is asked again, before its first
    word only; fields that it does not understand are left out, and remembered in `unsupported`. Raises GeneratorError
    when it refuses, breaks off, or says something that is not an answer; ConfigurationError for an address or a key
    that is none.
    """
    asked = ChatRequest(upstream, model, messages, body or {}, options, unsupported or UnsupportedFields())
    retry = Retry(options)
    async with client_for(upstream) as client:
        while True:
            begun = False
            try:
                request, streamed = asked.build(client)
                if not streamed:  # it is silent until it is whole
                    yield Quiet(endpoint_timeouts.beyond(options.silence))
                response = await send(client, request, upstream)
                asked.was_understood()
                async with aclosing(response), aclosing(answer_in(response, upstream, options.silence)) as events:
                    async for event in events:
                        begun = begun or event != ""
                        yield event
                return
            except Refused as refusal:
                wait, note = (0.0, None) if asked.leave_out(refusal) else retry.after(refusal)
            except GeneratorDropped as dropped:  # before its first word it is as good as refused
                if begun:
                    raise
                wait, note = retry.after(Refused(str(dropped), again=True))
            except EndpointError as error:
                if begun or not asked.leave_out(error):
                    raise
                wait, note = 0.0, None
            if note:
                yield Note(note)
            yield Quiet(wait + 1)
            await sleep(wait)
            yield ""  # the time for a first word begins anew
