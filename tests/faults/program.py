"""A user's program, to be killed: it drives or persists texts by the library, and says what its loops received.

`python -m tests.faults.program HOME drive|persist RATE CHARACTERS FILE…`: a line `ID NUMBER OFFSET` when a stream has
begun and whenever a loop has received a piece and found it right.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from threading import Thread

import anyio

import ptstream
from ptstream.library import PersistentStreams


def main(home: str, kind: str, rate: str, characters: str, *files: str) -> None:
    """Until all texts are through."""
    pause, size = 1 / float(rate), int(characters)
    if kind == "drive":
        anyio.run(_drive_all, home, pause, size, files)
    else:
        threads = [Thread(target=_persist, args=(home, pause, size, *of)) for of in enumerate(files)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


async def _drive_all(home: str, pause: float, size: int, files: tuple[str, ...]) -> None:
    async with ptstream.open(home) as streams, anyio.create_task_group() as tasks:
        for number, path in enumerate(files):
            tasks.start_soon(_drive, streams, number, _text(path), size, pause)


async def _drive(streams: PersistentStreams, number: int, text: str, size: int, pause: float) -> None:
    id = await streams.create("x")
    _say(id, number, 0)
    whole, offset = text.encode(), 0
    async for piece in streams.drive(id, partial(_slowly, text, size, pause)):
        _check(whole[offset : piece.offset], piece.text)
        offset = piece.offset
        _say(id, number, offset)


async def _slowly(text: str, size: int, pause: float, _: object) -> AsyncIterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]
        await anyio.sleep(pause)


def _persist(home: str, pause: float, size: int, number: int, path: str) -> None:
    text, offset = _text(path), 0
    name = f"p{number}"
    whole = text.encode()
    for piece in ptstream.persist(_at_leisure(text, size, pause), name=name, path=home):
        _check(whole[offset : offset + len(piece.encode())], piece)
        offset += len(piece.encode())
        _say(name, number, offset)


def _at_leisure(text: str, size: int, pause: float) -> Iterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]
        time.sleep(pause)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _check(expected: bytes, piece: str) -> None:
    if expected.decode() != piece:
        raise SystemExit(f"got {piece!r} where {expected!r} was due")


def _say(id: str, number: int, offset: int) -> None:
    os.write(1, f"{id} {number} {offset}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
