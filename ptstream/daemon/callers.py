"""On whose behalf a stream is driven, and what they may have driven."""

from __future__ import annotations

import os

from ptstream.daemon.schemas import CallerContext
from ptstream.errors import NotAllowed
from ptstream.generators import Caller
from ptstream.generators.llamacpp.gguf import PREFIX as GGUF
from ptstream.generators.replay import PREFIX
from ptstream.settings import Home
from ptstream.streams import GenerationRequest


def own_caller(home: Home) -> Caller:
    """The daemon itself: who asks over the network has no directory, no environment and no keys here."""
    return Caller(home.path, dict(os.environ))


def caller_of(context: CallerContext) -> Caller:
    """A client of the socket, which says where it stands."""
    return Caller(context.directory, context.environment, context.umask, context.python, context.core)


def anything(generation: GenerationRequest) -> None:
    """On the socket, whose owner may run anything anyway."""


def only_models(generation: GenerationRequest) -> None:
    """Raises NotAllowed for what would start a command or read a file."""
    if generation.command or generation.generator or (generation.model or "").startswith((GGUF, PREFIX)):
        raise NotAllowed("commands and files are for the daemon's own socket: over the network only models are asked")
