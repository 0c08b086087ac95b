"""From what a stream was asked for to the generator that can say it: a command, a user's function, or a model.

What each of them takes is left to the other modules here. They are imported when they are needed, so that a command
line that only checks a name loads no HTTP client.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from ptstream.config import Settings
from ptstream.errors import GeneratorError, ModelNotFound, NoPrompt
from ptstream.generators import Caller, Generation, Source, replay
from ptstream.generators.llamacpp import embedded, gguf
from ptstream.generators.models import target
from ptstream.generators.models.default import chosen, default
from ptstream.generators.models.endpoints import Endpoints, in_time
from ptstream.generators.models.target import ModelTarget
from ptstream.generators.openai.chat_messages import Message, begun, messages
from ptstream.settings import Home
from ptstream.streams import Flush, GenerationRequest, Stream

if TYPE_CHECKING:
    from ptstream.generators.llamacpp.local_server import LocalServer
    from ptstream.generators.openai.request import UnsupportedFields

LONGEST_TOKEN = 128
"""Bytes of a token at most."""

NAMES_SHOWN = 8
"""Names in a message at most."""


async def resolve(
    stream: Stream,
    caller: Caller,
    settings: Settings,
    home: Home,
    local: LocalServer,
    history: Sequence[Message] = (),
    unsupported: UnsupportedFields | None = None,
) -> Source:
    """The generator for what `stream` was asked for, ready to run.

    `history` is the conversation before it, `unsupported` what endpoints were found not to understand.

    Raises NoModel, ConfigurationError for a model, endpoint or key that cannot be used, UsageError for an empty
    prompt, GeneratorError where an endpoint must say which models it has, and does not.
    """
    if stream.request.command:
        from ptstream.generators import command  # processes: not for a line that only checks a name

        return command.source(stream.request, caller)
    if stream.request.generator:
        from ptstream.generators.function import subprocess_source  # the same

        return subprocess_source.source(stream, caller)
    request, endpoints = stream.request, Endpoints(caller, settings, home)
    name = request.model or (await default(endpoints))[0]
    if name.startswith(replay.PREFIX):
        return replay.source(name, caller.directory)
    if not (request.prompt or "").strip():
        raise NoPrompt("the prompt is empty")
    source = _source(await target.find(name, endpoints, local), request, history, unsupported)
    if request.model:
        return source
    return replace(source, asked_as=f"{name}/{source.model}" if name in endpoints.known else name)


def check(request: GenerationRequest, caller: Caller, settings: Settings, home: Home) -> None:
    """Raises what `resolve` would, as far as that is known without asking anybody: a mistyped name, a missing key."""
    if request.command:  # whether there is such a one, starting it shows
        return
    if request.generator:
        from ptstream.generators.function.loading import check_target  # importlib's machinery: for such a line only

        check_target(request.generator, caller.directory)
    else:
        target.check(request.model, Endpoints(caller, settings, home))


async def doubt(request: GenerationRequest, caller: Caller, settings: Settings, home: Home) -> str | None:
    """What to say of a model whose endpoint on this machine does not list it; None without a doubt.

    Elsewhere nobody is asked: that would cost a round trip for each stream. Raises ModelNotFound where the list is
    whole, which an Ollama's is: other servers may know a model by more names than they list.
    """
    if request.command or request.generator:
        return None
    endpoints = Endpoints(caller, settings, home)
    set_by_user = chosen(endpoints)
    name = request.model or (set_by_user and set_by_user[0])
    if name is None or name == embedded.NAME or name.startswith((gguf.PREFIX, replay.PREFIX)):
        return None
    endpoint, model = endpoints.named(name)
    if not model or model == endpoint.model or not endpoints.upstream(endpoint).local:
        return None
    offered = [str(row["id"]) for row in await in_time(endpoints.offered(endpoint.name)) or ()]
    if not offered or {model, f"{model}:latest"} & set(offered):  # as an Ollama calls what has no tag
        return None
    problem = f"{endpoint.name} does not list a model {model}: it has {_some(offered)}"
    if endpoint.name == "ollama":
        raise ModelNotFound(problem)
    return problem


def _source(
    asked: ModelTarget, request: GenerationRequest, history: Sequence[Message], unsupported: UnsupportedFields | None
) -> Source:
    conversation = messages(request, system=asked.system, history=history)
    body = {**asked.body, **(request.options or {})}
    asked = replace(asked, body={key: value for key, value in body.items() if value is not None})

    def generate() -> Generation:
        return ask(asked, conversation, unsupported)

    def resume(text: str) -> Generation:
        return ask(asked, [*conversation, begun(text)], unsupported)

    return Source(
        model=asked.model,
        place=asked.place,
        flush=Flush.SENTENCES,
        generate=generate,
        resume=resume if asked.continues else None,
        limits=asked.limits,
    )


async def ask(
    asked: ModelTarget, conversation: Sequence[Message], unsupported: UnsupportedFields | None = None
) -> Generation:
    """The answer of a model to a conversation, piece by piece. Raises as `openai.chat.chat` does."""
    from ptstream.generators.openai.chat_completion import chat  # httpx: only for who asks

    _check_length(asked, conversation)
    async with (
        asked.reach() as upstream,
        aclosing(
            chat(upstream, asked.model, conversation, asked.body, options=asked.options, unsupported=unsupported)
        ) as events,
    ):
        async for event in events:
            yield event


def _check_length(asked: ModelTarget, conversation: Sequence[Message]) -> None:
    """Raises GeneratorError for what can never fit: counting the tokens of 50 MB takes half a minute and 2 GB."""
    size = sum(len(message["content"]) for message in conversation)
    if asked.context is not None and size > asked.context * LONGEST_TOKEN:
        raise GeneratorError(f"a prompt of {size} characters is too long: the model takes {asked.context} tokens")


def _some(names: Sequence[str]) -> str:
    """The names in a line, as many as a person reads."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
