"""Several streams on one line: each for itself, and the exit code is the first that is not 0, in the order of the line.

What stands in the way of one is said, and keeps no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from ptstream.cli.fast_path import failed
from ptstream.cli.output import OutputClosed, OutputFailed
from ptstream.cli.screen import Screen
from ptstream.errors import PtstreamError, StreamNotFound
from ptstream.streams import Stream
from ptstream.streams_protocol import Streams
from ptstream.ungrouped import ungrouped

Named = Stream | int
"""A stream that the line names, or the exit code of a name that means none."""

T = TypeVar("T")


def first_bad(codes: Iterable[int]) -> int:
    """The exit code of all of them."""
    return next((code for code in codes if code), 0)


async def one_by_one(screen: Screen, several: Sequence[T], work: Callable[[T], Awaitable[int]]) -> int:
    """Do the work for each, in their order; the exit code."""
    return first_bad([await attempted(screen, work, each) for each in several])


async def all_at_once(screen: Screen, several: Sequence[Named], work: Callable[[Stream], Awaitable[int]]) -> int:
    """Do the work for each stream, all at the same time; the exit code."""
    import anyio  # `cat` and `show` need no event loop

    codes = [each if isinstance(each, int) else 0 for each in several]

    async def done(stream: Stream) -> int:
        try:
            return await work(stream)
        except StreamNotFound as error:  # it was there
            raise StreamNotFound(f"stream {stream.id} has been deleted") from error

    async def keep(number: int, stream: Stream) -> None:
        codes[number] = await attempted(screen, done, stream)

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            for number, each in enumerate(several):
                if isinstance(each, Stream):
                    tasks.start_soon(keep, number, each)
    return first_bad(codes)


async def attempted(screen: Screen, work: Callable[[T], Awaitable[int]], each: T) -> int:
    """The exit code of the work. Raises OutputClosed and OutputFailed alone: then no other can be done either."""
    try:
        return await work(each)
    except (OutputClosed, OutputFailed):
        raise
    except PtstreamError as error:
        return failed(screen, error)


async def named(streams: Streams, screen: Screen, references: Sequence[str]) -> list[Named]:
    """What each means, in their order; of the same stream only the first."""
    found: dict[str, Named] = {}

    async def find(reference: str) -> int:
        stream = await streams.find(reference)
        found.setdefault(stream.id, stream)
        return 0

    for reference in references:
        if code := await attempted(screen, find, reference):
            found[f"@{reference}"] = code  # no id begins so
    return list(found.values())


def streams_of(several: Iterable[Named]) -> list[Stream]:
    """Those that there are."""
    return [each for each in several if isinstance(each, Stream)]
