"""What a model's name stands for: where it is asked, what it is called there, and how it wants to be asked.

A target is the same for whoever asks: for a stream's words (`resolve`) and for a client's own request (`/v1`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from ptstream.config import Endpoint, Limits
from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import replay
from ptstream.generators.llamacpp import embedded, gguf
from ptstream.generators.models.chat_capability import can_chat
from ptstream.generators.models.default import chosen, default
from ptstream.generators.models.endpoints import Endpoints
from ptstream.generators.openai import endpoint_timeouts
from ptstream.generators.openai.chat_options import USUAL, ChatOptions

if TYPE_CHECKING:
    from ptstream.generators.llamacpp.local_server import LocalServer
    from ptstream.generators.openai.upstream import Upstream

THIS_MACHINE = "this machine"


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """A model as an OpenAI-compatible endpoint has it: what it is called there, and how that is reached."""

    model: str
    place: str
    reach: Callable[[], AbstractAsyncContextManager[Upstream]] = field(repr=False)
    body: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a request that suit the model, where whoever asks leaves them open."""
    options: ChatOptions = USUAL
    """How the endpoint wants to be asked."""
    continues: bool = False
    """Whether it goes on with a last message of the assistant's, instead of answering it."""
    system: str | None = None
    """The system prompt of a conversation that has none of its own."""
    limits: Limits | None = None
    """How long its answer may take, if not as long as any other."""
    context: int | None = None
    """Tokens that a prompt and its answer share, where that is known."""


async def find(name: str | None, endpoints: Endpoints, local: LocalServer) -> ModelTarget:
    """Where the model called `name`, or the default, is asked.

    Raises NoModel, ConfigurationError for a model, endpoint or key that cannot be used, GeneratorError where an
    endpoint must say which models it has, and does not.
    """
    name = name or (await default(endpoints))[0]
    if name.startswith(replay.PREFIX):
        raise ConfigurationError(f"{name} is a text that is read again, no model that takes a request")
    if name == embedded.NAME:
        path = embedded.located(endpoints.home)
        return of_file(name, path, local, body=embedded.OPTIONS, system=embedded.SYSTEM)
    if name.startswith(gguf.PREFIX):
        path = gguf.located(name, endpoints.caller.directory)
        return of_file(os.path.basename(path), path, local)
    return await _at_endpoint(name, endpoints)


def check(name: str | None, endpoints: Endpoints) -> None:
    """Raises what `find` would for the model called `name`, as far as that is known without asking anybody."""
    set_by_user = chosen(endpoints)
    name = name or (set_by_user and set_by_user[0])
    if name is None:  # whether there is one, only asking an Ollama shows
        return
    if name.startswith(replay.PREFIX):
        replay.parse(name, endpoints.caller.directory)
    elif name == embedded.NAME:
        embedded.located(endpoints.home)
    elif name.startswith(gguf.PREFIX):
        gguf.located(name, endpoints.caller.directory)
    else:
        endpoints.key_for(endpoints.named(name)[0])


def of_file(
    name: str, path: str, local: LocalServer, *, body: Mapping[str, Any] | None = None, system: str | None = None
) -> ModelTarget:
    """The model in the file at `path`, called `name`. Raises ConfigurationError where llama.cpp does not run."""
    if problem := embedded.problem():
        raise ConfigurationError(problem)
    return ModelTarget(
        name,
        THIS_MACHINE,
        lambda: local.reach(os.path.realpath(path)),
        body=body or {},
        options=ChatOptions(tries=1),
        continues=True,
        context=gguf.CONTEXT,
        system=system,
    )


async def _at_endpoint(name: str, endpoints: Endpoints) -> ModelTarget:
    endpoint, model = endpoints.named(name)
    upstream = endpoints.upstream(endpoint)
    limits = endpoint.limits(endpoints.settings)
    model = model or endpoint.model or await _first(upstream)
    return ModelTarget(
        model,
        upstream.host,
        lambda: nullcontext(upstream),
        body={**endpoint.body, **endpoint.models.get(model, {})},
        options=_options(endpoint, limits),
        continues=endpoint.continues,
        limits=limits,
    )


def _options(endpoint: Endpoint, limits: Limits) -> ChatOptions:
    return ChatOptions(
        stream=endpoint.stream,
        stream_options=endpoint.stream_options,
        tries=endpoint.tries,
        longest_wait=(limits.first or math.inf) if endpoint.longest_wait is None else endpoint.longest_wait,
        silence=min(filter(None, (limits.first, limits.idle)), default=None),
    )


async def _first(upstream: Upstream) -> str:
    """The first of its models that can be chatted with. Raises GeneratorError."""
    from ptstream.generators.openai.model_list import models  # httpx: only for who asks

    with anyio.move_on_after(endpoint_timeouts.LISTING):
        for row in filter(can_chat, await models(upstream)):
            return str(row["id"])
        raise GeneratorError(f"{upstream.host} says that it has no model to chat with; name one with --model")
    raise GeneratorError(f"{upstream.host} does not say which models it has; name one with --model")
