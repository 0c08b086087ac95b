"""What comes before a stream: the text it goes on from, and the conversation it is a turn of.

A stream is never written again after its end. To go on is to make another one, with `parent` and `parent_offset`: one
that begins with the old text (`seam` is where its own begins), or one that answers it, as the next turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from ptstream.errors import NotFinished, OffsetBeyondEnd, StreamNotFound, UsageError
from ptstream.store.cursor import Cursor, read_now
from ptstream.store.recover import as_it_is
from ptstream.store.sqlite import Parent, Store
from ptstream.streams import Stream, Words

THOUGHTS = re.compile(
    r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>\s*|\Z)|\A(?:(?!<think).)*?^[ \t]*</think(?:ing)?>[ \t]*$\s*",
    re.S | re.M,
)
"""The thinking aloud that an answer begins with; some chat templates write the opening tag, which then is not in it."""

Turn = dict[str, str]
"""A message of a conversation: its `role` (user or assistant) and its `content`."""


def text_before(store: Store, id: str, offset: int | None = None) -> str:
    """A stream's text up to byte `offset`, or all there is.

    Raises OffsetBeyondEnd, UsageError for an offset inside a character, StreamNotFound.
    """
    end = as_it_is(store, store.get(id)).bytes if offset is None else offset
    text = b"".join(read_now(Cursor(store, id), end))
    if offset is not None and len(text) < offset:
        raise OffsetBeyondEnd(f"stream {id} ends at byte {len(text)}, before byte {offset}")
    try:
        return text[:offset].decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"byte {offset} of stream {id} lies inside a character") from error


def going_on(store: Store, parent: Stream, offset: int | None, given: Words) -> tuple[Words, Parent]:
    """What a stream is asked that comes after `parent`: its next turn if it is given a prompt, else its continuation.

    What is not given is the parent's. Raises NotFinished for a parent without an end, OffsetBeyondEnd, UsageError.
    """
    parent = as_it_is(store, parent)
    if not parent.status.ended:
        raise NotFinished(f"stream {parent.id} is {parent.status}: cancel it, or wait for its end, to go on from it")
    end = len(text_before(store, parent.id, offset).encode())
    had = parent.words
    if given.command or given.generator or given.model:
        had = had._replace(command=None, generator=None, model=None)
    words = had._replace(**{word: value for word, value in given._asdict().items() if value is not None})
    return words, Parent(parent.id, end, continued=given.prompt is None)


def history(store: Store, stream: Stream) -> list[Turn]:
    """The conversation before the stream, oldest message first. What has been deleted of it is left out."""
    newest_first: list[Turn] = []
    # Not by recursion: a conversation may have more turns than Python has frames.
    with suppress(StreamNotFound):
        while stream.parent is not None:
            parent = store.get(stream.parent)
            again = not stream.parent_offset and stream.words.prompt == parent.words.prompt
            if stream.seam == 0 and not again:  # else it says the same again, or the rest of it
                newest_first += _turns(parent, text_before(store, parent.id, stream.parent_offset))
            stream = parent
    return newest_first[::-1]


def _turns(parent: Stream, answer: str) -> Iterator[Turn]:
    """An answer, if there was one, and before it its question."""
    if said := without_thoughts(answer):
        yield {"role": "assistant", "content": said}
    if parent.words.prompt:
        yield {"role": "user", "content": parent.words.prompt}


def without_thoughts(answer: str) -> str:
    """An answer as its model is to be told it again: without the thinking aloud that it begins with."""
    return THOUGHTS.sub("", answer, count=1)
