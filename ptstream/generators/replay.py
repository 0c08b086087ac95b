"""A file replayed as if a model wrote it: `replay:PATH[?rate=PIECES_PER_SECOND][&size=CHARACTERS]`.

Without `size` the pieces are words, as a model's tokens roughly are. A rate of 0 means as fast as it is taken.
Memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import math
import os
import re
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import anyio

from ptstream.errors import ConfigurationError, GeneratorError
from ptstream.generators import Generation, Source
from ptstream.generators.surrogates import PIECE
from ptstream.streams import Flush

PREFIX = "replay:"

RATE = 50.0
"""Pieces a second, about what a hosted model writes."""

BLOCK = 64 * 1024

_WORD = re.compile(r"\S{1,32}\s{0,32}|\s{1,32}")


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay: `rate` in pieces a second (0: unbounded), `size` in characters a piece (None: words)."""

    path: str
    rate: float = RATE
    size: int | None = None


def parse(model: str, directory: str) -> Replay:
    """What `replay:…` stands for, relative to `directory`. Raises ConfigurationError for what cannot be read."""
    path, _, options = model.removeprefix(PREFIX).partition("?")
    rate, size = RATE, None
    for option in filter(None, options.split("&")):
        name, _, value = option.partition("=")
        try:
            if name == "rate":
                rate = _positive(float(value))
            elif name == "size":
                size = int(_positive(int(value), 1, PIECE))
            else:
                raise ValueError(name)
        except ValueError:
            raise ConfigurationError(
                f"{model}: {option!r} is neither rate=PIECES nor size=CHARACTERS, which is {PIECE} at most"
            ) from None
    if not path:
        raise ConfigurationError(f"{model}: name a file to replay: replay:PATH")
    return Replay(os.path.join(directory, path), rate, size)


def source(model: str, directory: str) -> Source:
    """The replay, ready to run. Raises ConfigurationError for a name that cannot be read."""
    replay = parse(model, directory)
    place = os.fsencode(replay.path).decode("utf-8", "replace")
    return Source(
        model=model,
        place=place,
        flush=Flush.SENTENCES,
        generate=lambda: generate(replay),
        resume=lambda text: generate(replay, len(text.encode())),
    )


async def generate(
    replay: Replay, offset: int = 0, *, sleep_until: Callable[[float], Awaitable[None]] = anyio.sleep_until
) -> Generation:
    """The file's text from byte `offset` in pieces; what is not UTF-8 becomes U+FFFD.

    Raises GeneratorError if it cannot be read.
    """
    begin = anyio.current_time()
    count = 0
    pieces = _Pieces(replay.size)
    try:
        _refuse_pipes(replay.path)
        async with await anyio.open_file(replay.path, "rb") as file:
            await file.seek(offset)
            final = False
            while not final:
                block = await file.read(BLOCK)
                final = not block
                for piece in pieces.feed(block, final):
                    # Each at its own time since the begin: lateness of one does not add up.
                    await sleep_until(begin + count / replay.rate if replay.rate else -math.inf)
                    count += 1
                    yield piece
    except OSError as error:
        raise GeneratorError(f"{replay.path} cannot be replayed: {error.strerror}") from error


class _Pieces:
    """Blocks of bytes in, pieces out; the last one is held back, because it may go on in the next block."""

    def __init__(self, size: int | None) -> None:
        self._pattern = re.compile(f"(?s:.{{1,{size}}})") if size else _WORD
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, block: bytes, final: bool) -> Iterator[str]:
        text = self._rest + self._decoder.decode(block, final)
        end = 0
        for match in self._pattern.finditer(text):
            if match.end() == len(text) and not final:
                break
            end = match.end()
            yield match.group()
        self._rest = text[end:]


def _positive(number: float, least: float = 0, most: float = sys.float_info.max) -> float:
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _refuse_pipes(path: str) -> None:
    # Opening a pipe waits for its writer, in a thread that nothing can cancel.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise GeneratorError(f"{path} is not a regular file")
