"""What a piece costs on its way through the heart: the tail alone, then generator, tail and cutter together.

The tail's append is set against one bare `os.write` to a file opened for appending. The whole way is `drive.Drive`
with a generator that never waits, set against a loop that writes each piece of the same generator to a file; with a
store that does nothing, so that the cutter's share shows (lines, sentences, no rule at all), and with the real one.
Blocks in turn, medians.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from statistics import median

import anyio

from ptstream.config import Settings
from ptstream.drive import Drive
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.tail import FileTail
from ptstream.generators import Event, Source
from ptstream.owner import open_owner
from ptstream.sentences import Cutter
from ptstream.settings import Home
from ptstream.streams import Claim, Flush, Status
from tests.bench.english import pieces
from tests.bench.report import Row, Section, compared
from tests.bench.surroundings import temporary_home

BLOCK = 4000
"""Pieces."""


class NoStore:
    """Takes every flush at once and forgets it."""

    trouble: str | None = None
    warning: str | None = None
    closing = False

    def close(self) -> None:
        """Nothing is waited for."""

    async def claim(self, id: str, *_: object) -> Claim:
        """Not asked for."""
        return Claim(id, 1, 0)

    async def tail(self, claim: Claim) -> FileTail:
        """Not asked for."""
        raise NotImplementedError

    async def cancelling(self) -> list[tuple[str, bool]]:
        """None."""
        return []

    async def append(self, *_: object, **__: object) -> None:
        """Done."""

    async def report_usage(self, *_: object, **__: object) -> None:
        """Nor is that kept."""

    async def reclaim(self, claim: Claim, *_: object, **__: object) -> Claim:
        """Not asked for: the generator never breaks off."""
        return claim

    def tell(self, text: str) -> None:
        """Nobody asks."""

    async def hand_over(self, *_: object, **__: object) -> None:
        """Not asked for."""

    async def take(self, *_: object, **__: object) -> Claim:
        """Not asked for."""
        raise NotImplementedError

    async def is_over(self, *_: object, **__: object) -> bool:
        """Nobody ends it but its generator."""
        return False

    async def finish(self, *_: object, **__: object) -> None:
        """Done."""


class NoRule(Cutter):
    """Never cuts: what is left is the cost of everything else."""

    def __init__(self) -> None:
        super().__init__(Flush.LINES)
        self._kept: list[str] = []

    @property
    def pending(self) -> int:
        """Bytes waiting, as far as anybody asks: whether there are any."""
        return len(self._kept)

    def push(self, piece: str, now: float) -> None:
        """Keeps it."""
        del now
        self._kept.append(piece)

    def take(self, now: float) -> str:
        """Nothing."""
        del now
        return ""

    def rest(self) -> str:
        """All of it."""
        return "".join(self._kept)

    def deadline(self) -> float | None:
        """Never."""
        return None


async def _generate(text: list[str]) -> AsyncGenerator[Event, None]:
    for piece in text:
        yield piece


def _source(text: list[str]) -> Source:
    return Source("scripted", "here", Flush.SENTENCES, partial(_generate, text), silence_is_normal=True)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_writes(path: str, data: list[bytes]) -> float:
    """Microseconds a write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def work() -> None:
        for each in data:
            os.write(descriptor, each)

    taken = _seconds(work)
    os.close(descriptor)
    os.unlink(path)
    return taken / len(data) * 1e6


def tail_appends(path: str, data: list[bytes]) -> float:
    """Microseconds an append."""
    tail = FileTail(path, 0)

    def work() -> None:
        for each in data:
            tail.append(each)

    taken = _seconds(work)
    tail.discard()
    return taken / len(data) * 1e6


async def bare_loop(path: str, text: list[str]) -> float:
    """Microseconds a piece of the same generator written to a file, and nothing else."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    began = time.perf_counter()
    async for piece in _generate(text):
        assert isinstance(piece, str)
        os.write(descriptor, piece.encode())
    taken = time.perf_counter() - began
    os.close(descriptor)
    os.unlink(path)
    return taken / len(text) * 1e6


async def attempt(path: str, text: list[str], cutter: Cutter) -> float:
    """Microseconds a piece of a whole attempt, the store left out."""
    drive = Drive(Claim("bench", 1, 0), _source(text), FileTail(path, 0), cutter, NoStore())
    began = time.perf_counter()
    await drive.run()
    taken = time.perf_counter() - began
    assert drive.end is not None
    assert drive.end.status is Status.DONE, drive.end
    return taken / len(text) * 1e6


async def stored(home: Home, text: list[str]) -> float:
    """Microseconds a piece of a whole attempt, the real store included, from its claim to its end."""
    with Store(home) as store:
        async with attached(store) as engine, open_owner(engine) as owner:
            id = store.create().id
            began = time.perf_counter()
            await (await owner.start(id, _source(text), Settings())).ended.wait()
            return (time.perf_counter() - began) / len(text) * 1e6


async def _whole(home: Home, rounds: int) -> list[Row]:
    path = os.path.join(home.path, "bench")
    text = pieces(BLOCK)
    found: dict[str, list[float]] = {}

    def note(way: str, value: float) -> None:
        found.setdefault(way, []).append(value)

    for _ in range(rounds):
        note("bare", await bare_loop(path, text))
        note("no rule", await attempt(path, text, NoRule()))
        note("lines", await attempt(path, text, Cutter(Flush.LINES)))
        note("sentences", await attempt(path, text, Cutter(Flush.SENTENCES)))
        note("stored", await stored(home, text))
    middle = {way: median(values) for way, values in found.items()}
    labels = {
        "no rule": "generator to tail, nothing cut",
        "lines": "generator to tail and cutter, lines",
        "sentences": "generator to tail and cutter, sentences",
        "stored": "the same with the real store, claim to end",
    }
    return [
        compared(label, middle[way], middle["bare"], "µs", "generator and os.write") for way, label in labels.items()
    ]


def measure(quick: bool) -> Section:
    """The section."""
    rounds = 5 if quick else 15
    data = [piece.encode() for piece in pieces(BLOCK)]
    with temporary_home() as home:
        home.make()
        path = os.path.join(home.path, "bench")
        pairs = [(tail_appends(path, data), bare_writes(path, data)) for _ in range(rounds)]
        rows = anyio.run(_whole, home, rounds)
    appended, written = (median(side) for side in zip(*pairs, strict=True))
    return Section(
        "A piece through the heart, as fast as it goes",
        [compared("Tail.append", appended, written, "µs", "os.write"), *rows],
        f"{BLOCK:,} pieces of English, {sum(map(len, data)) / BLOCK:.1f} bytes each, {rounds} times; µs a piece",
        rounds,
    )
