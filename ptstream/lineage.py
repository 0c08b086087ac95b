"""What comes before a stream: the text it goes on from, and the conversation it is a turn of.

A stream is never written again after its end. To go on is to make another one, with `parent` and `parent_offset`: one
that begins with the old text (`seam` is where its own begins), or one that answers it, as the next turn.
"""

from __future__ import annotations

from contextlib import suppress

from ptstream.errors import NotFinished, OffsetBeyondEnd, StreamNotFound, UsageError
from ptstream.store.cursor import Cursor, read_now
from ptstream.store.recover import as_it_is
from ptstream.store.sqlite import Parent, Store
from ptstream.streams import Stream, Words

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
            if stream.seam == 0 and stream.parent_offset:  # else it says the same again, or the rest of it
                answer = text_before(store, parent.id, stream.parent_offset)
                newest_first.append({"role": "assistant", "content": answer})
                if parent.words.prompt:
                    newest_first.append({"role": "user", "content": parent.words.prompt})
            stream = parent
    return newest_first[::-1]
