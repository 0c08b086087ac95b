"""What comes before a stream: the text it goes on from, and the conversation it is a turn of.

A stream is never written again after its end. To go on is to make another one, with `parent` and `parent_offset`: one
that begins with the old text (field `seam`: the offset where its own begins), or one that answers it, as the next turn.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from ptstream.engine.protocol import Engine
from ptstream.errors import NotFinished, OffsetBeyondEnd, StreamNotFound, UsageError
from ptstream.streams import GenerationRequest, Parent, Stream, inherited

_TAG = r"(?:think(?:ing)?|thoughts?|reasoning)"

THOUGHTS = re.compile(
    rf"\A\s*(?:<{_TAG}>.*?(?:</{_TAG}>\s*|\Z)|\[THINK\].*?(?:\[/THINK\]\s*|\Z)|◁think▷.*?(?:◁/think▷\s*|\Z))"
    rf"|\A(?:(?!<{_TAG}>).)*?^[ \t]*</{_TAG}>[ \t]*$\s*",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
"""The thinking aloud that an answer begins with; some chat templates write the opening tag, which then is not in it."""

Message = dict[str, str]
"""A message of a conversation: its `role` (user or assistant) and its `content`."""


class Turn(NamedTuple):
    """A stream of a conversation, and the offset up to which the next turn answers it; None: all of its text."""

    stream: Stream
    end: int | None


async def text_before(engine: Engine, id: str, offset: int | None = None) -> str:
    """A stream's text up to byte `offset`, or all there is.

    Raises OffsetBeyondEnd, UsageError for an offset inside a character, StreamNotFound.
    """
    text = await engine.text(id, 0, offset)
    if offset is not None and len(text) < offset:
        raise OffsetBeyondEnd(f"stream {id} ends at byte {len(text)}, before byte {offset}")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"byte {offset} of stream {id} lies inside a character") from error


async def going_on(
    engine: Engine, parent: Stream, offset: int | None, given: GenerationRequest
) -> tuple[GenerationRequest, Parent]:
    """What a stream is asked that comes after `parent`: its next turn if it is given a prompt, else its continuation.

    What is not given is the parent's: see `inherited`. Raises NotFinished for a parent without an end, OffsetBeyondEnd,
    UsageError.
    """
    parent = await engine.as_it_is(parent)
    if not parent.status.ended:
        raise NotFinished(f"stream {parent.id} is {parent.status}: cancel it, or wait for its end, to go on from it")
    end = len((await text_before(engine, parent.id, offset)).encode())
    return inherited(parent.request, given), Parent(parent.id, end, continued=given.prompt is None)


async def turns(get: Callable[[str], Awaitable[Stream]], stream: Stream) -> list[Turn]:
    """The conversation up to the stream, oldest turn first, as far as it has not been deleted; `get` gives a stream."""
    newest_first = [Turn(stream, None)]
    # Not by recursion: a conversation may have more turns than Python has frames.
    with suppress(StreamNotFound):
        while stream.parent is not None:
            parent = await get(stream.parent)
            if stream.seam == 0 and stream.parent_offset is not None and not _says_it_again(stream, parent):
                newest_first.append(Turn(parent, stream.parent_offset))
            stream = parent
    return newest_first[::-1]


async def history(engine: Engine, stream: Stream) -> list[Message]:
    """The conversation before the stream, oldest message first. What has been deleted of it is left out."""
    found: list[Message] = []
    for turn in (await turns(engine.get, stream))[:-1]:
        with suppress(StreamNotFound):
            found += messages_of(turn.stream, await text_before(engine, turn.stream.id, turn.end))
    return found


def _says_it_again(stream: Stream, parent: Stream) -> bool:
    """Whether it is no next turn: a generator that could not go on with the old text began anew."""
    return stream.parent_offset == 0 and stream.request.prompt == parent.request.prompt


def messages_of(stream: Stream, text: str) -> list[Message]:
    """What a stream that said `text` is in a conversation: an answer; or, of a command, what its user shows."""
    prompt = stream.request.prompt
    if stream.request.command:
        return [{"role": "user", "content": _transcript(stream, text)}]
    asked = [{"role": "user", "content": prompt}] if prompt else []
    said = without_thoughts(text)
    return [*asked, {"role": "assistant", "content": said}] if said else asked


def _transcript(stream: Stream, text: str) -> str:
    """A command as its terminal would have shown it, what it was given, and why it failed."""
    assert stream.request.command
    given = stream.request.prompt
    parts = [f"$ {shlex.join(stream.request.command)}", *(["standard input:", given, "output:"] if given else []), text]
    if stream.error:
        parts.append(f"[{stream.status}: {stream.error}]")
    return "\n".join(part.rstrip("\n") for part in parts)


def without_thoughts(answer: str) -> str:
    """An answer as its model is to be given it again: without the thinking aloud that it begins with."""
    return THOUGHTS.sub("", answer, count=1)
