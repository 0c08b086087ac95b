"""The messages that a model is sent: system prompt, what was said before, the prompt; or a text to go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from ptstream.streams import GenerationRequest

Message: TypeAlias = Mapping[str, str]
"""One message of a conversation: `role` (system, user, assistant) and `content`."""


def messages(
    request: GenerationRequest, *, system: str | None = None, history: Sequence[Message] = ()
) -> list[Message]:
    """The conversation to send: the system prompt (`system` if the stream has none), what was said, the prompt."""
    instruction = request.system or system
    begin = [{"role": "system", "content": instruction}] if instruction else []
    end = [{"role": "user", "content": request.prompt}] if request.prompt else []
    return [*begin, *_alternating([*history, *end])]


def _alternating(conversation: Sequence[Message]) -> Iterator[Message]:
    """The messages, those of one role in a row joined: not every model takes a question that was not answered."""
    for role, same in groupby(conversation, lambda message: message["role"]):
        yield {"role": role, "content": "\n\n".join(message["content"] for message in same)}


def begun(text: str) -> Message:
    """A last message of the assistant's, which a server that continues goes on with in mid-sentence."""
    return {"role": "assistant", "content": text}
