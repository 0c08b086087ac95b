"""What every engine promises (`ptstream/engine/protocol.py`), asked of each: through its protocols, and nothing else.

An engine joins by a line in PLACES. A second engine over the same place stands for another process; where a process is
to die, it is a real one.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from ptstream.engine import open_engine
from ptstream.engine.protocol import Cursor, Engine, Hit, Writer
from ptstream.engine.requests import LONGEST_OPTIONS
from ptstream.engine.transfer import Intake, Record, Runs
from ptstream.errors import (
    AmbiguousId,
    ClaimLost,
    ConfigurationError,
    NameTaken,
    NotFinished,
    OffsetBeyondEnd,
    RequestDiffers,
    StoreBusy,
    StreamNotFound,
    UsageError,
)
from ptstream.settings import Home
from ptstream.streams import Claim, Flush, GenerationRequest, Parent, State, Status, Stream
from ptstream.text_search import LONGEST_QUERY
from tests import postgres
from tests.conftest import LIMIT, program
from tests.preloaded import Process

pytestmark = pytest.mark.anyio

TEXT = "Grüße, 世界! 🙂 \0 end. "


@dataclass(frozen=True)
class Place:
    """Where an engine keeps its streams for one test."""

    home: Home
    url: str

    def open(self, *, many_readers: bool = False) -> AbstractAsyncContextManager[Engine]:
        """An engine over it."""
        return open_engine(self.home, self.url, many_readers=many_readers)


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Place]:
    """A home of its own."""
    yield Place(Home(str(folder / "home")), "sqlite:")


@contextlib.contextmanager
def in_postgres(folder: Path) -> Iterator[Place]:
    """A schema of its own in a real server."""
    with postgres.place() as url:
        yield Place(Home(str(folder / "home")), url)


PLACES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {
    "sqlite": sqlite,
    "postgres": in_postgres,
}
"""Each engine, and how a place for it is made."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """A new place."""
    with PLACES[request.param](folder) as made:
        yield made


@pytest.fixture
async def engine(place: Place) -> AsyncIterator[Engine]:
    """An engine over the place."""
    async with place.open() as opened:
        yield opened


@pytest.fixture
async def other(place: Place) -> AsyncIterator[Engine]:
    """A second one, as another process would have."""
    async with place.open(many_readers=True) as opened:
        yield opened


@pytest.fixture
async def writer(engine: Engine) -> AsyncIterator[Writer]:
    """An owner."""
    async with engine.writer() as opened:
        yield opened


async def claimed(engine: Engine, writer: Writer) -> Claim:
    """A new stream, and the right to write it."""
    return await writer.claim((await engine.create()).id)


async def said(engine: Engine, writer: Writer, *chunks: str, name: str | None = None) -> str:
    """The id of a stream that is done and has these chunks."""
    id = (await engine.create(name=name)).id
    claim, offset = await writer.claim(id), 0
    for text in chunks:
        await writer.append(claim, offset, text, 1)
        offset += len(text.encode())
    await writer.finish(claim, offset, "", len(chunks), Status.DONE, None, None)
    return id


async def now(cursor: Cursor) -> bytes:
    """All that there is to read."""
    text = b""
    while data := await cursor.read():
        text += data
    return text


async def until(cursor: Cursor, text: bytes) -> bytes:
    """All that comes, until it is as long as `text`, or the stream has ended."""
    got = b""
    with anyio.fail_after(LIMIT):
        while len(got) < len(text) and not cursor.ended:
            if data := await cursor.read():
                got += data
            elif not cursor.ended:
                await cursor.wait()
    return got


# --- to make


OPTIONS = {"seed": 7, "temperature": 0.5, "stop": ["\0", "é"], "logit_bias": {"1": None}}


async def test_a_new_stream(engine: Engine) -> None:
    words = GenerationRequest("Why?", "Be short.", "m", None, None, Flush.LINES, OPTIONS)
    before = time.time()
    stream = await engine.create(words, name="why", title="A question")
    assert (stream.status, stream.bytes, stream.request) == (Status.PENDING, 0, words)
    assert (stream.name, stream.title, stream.parent, stream.seam) == ("why", "A question", None, 0)
    assert before <= stream.created_at <= time.time()
    assert await engine.get(stream.id) == stream
    assert await engine.recovered(stream.id) == State(Status.PENDING, 0, 0, None, None)
    assert await engine.attempts(stream.id) == []
    assert (await engine.histories([stream.id]))[0][1:] == (0, 0)


async def test_a_name_belongs_to_one_stream(engine: Engine, other: Engine) -> None:
    first = await engine.create(GenerationRequest("x"), name="one")
    assert await other.create(GenerationRequest("x"), name="one") == first
    with pytest.raises(NameTaken):
        await other.create(GenerationRequest("y"), name="one")
    assert [stream.id for stream in await engine.listed()] == [first.id]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (GenerationRequest("\udcff"), None),
        (GenerationRequest(), "a/b"),
        (GenerationRequest(), "@last"),
        (GenerationRequest(command=("ls",), model="m"), None),
        (GenerationRequest(command=("ls",), options={"seed": 1}), None),
        (GenerationRequest(command=("ls",), options={"tty": True, "seed": 1}), None),
        (GenerationRequest(command=("ls",), options={"tty": "yes"}), None),
        (GenerationRequest(options={"messages": []}), None),
        (GenerationRequest(options={"": 1}), None),
        (GenerationRequest(options={"seed": math.inf}), None),
        (GenerationRequest(options={"stop": "x" * LONGEST_OPTIONS}), None),
    ],
)
async def test_what_can_be_no_stream(engine: Engine, words: GenerationRequest, name: str | None) -> None:
    with pytest.raises(UsageError):
        await engine.create(words, name=name)
    assert await engine.listed() == []


async def test_a_command_may_have_a_terminal(engine: Engine) -> None:
    request = GenerationRequest(command=("ls",), options={"tty": True})
    id = (await engine.create(request)).id
    assert (await engine.get(id)).request == request
    assert (await engine.get(id)).request.tty


async def test_large_words_come_back_whole(engine: Engine) -> None:
    words = GenerationRequest("é" * 300_000)
    id = (await engine.create(words)).id
    assert (await engine.get(id)).request == words
    opening = (await engine.listed())[0].request.prompt
    assert opening
    assert words.prompt
    assert words.prompt.startswith(opening)
    assert len(opening) < 1000


async def test_what_was_left_open_is_filled_once(engine: Engine) -> None:
    id = (await engine.create(GenerationRequest(model="m"))).id
    assert (await engine.fill(id, GenerationRequest("Why?"))).request == GenerationRequest("Why?", model="m")
    assert (await engine.fill(id, GenerationRequest("Why?", model="m"))).request == GenerationRequest("Why?", model="m")
    assert (await engine.fill(id, GenerationRequest(options=OPTIONS))).options == OPTIONS
    with pytest.raises(RequestDiffers, match="another options"):
        await engine.fill(id, GenerationRequest(options={"seed": 1}))
    for words in (GenerationRequest("Who?"), GenerationRequest(model="n")):
        with pytest.raises(RequestDiffers):
            await engine.fill(id, words)
    with pytest.raises(StreamNotFound):
        await engine.fill("0" * 12, GenerationRequest())


async def test_a_stream_begins_once_with_what_came_before(engine: Engine, writer: Writer) -> None:
    parent = await said(engine, writer, "One. ", "Two. ")
    id = (await engine.create(GenerationRequest("x"), parent=Parent(parent, 5, True))).id
    assert (await engine.get(id)).seam is None
    await engine.begin(id, "One. ")
    await engine.begin(id, "Another one. ")
    stream = await engine.get(id)
    assert (stream.parent, stream.parent_offset, stream.seam, stream.bytes) == (parent, 5, 5, 5)
    assert await engine.text(id) == b"One. "
    claim = await writer.claim(id)
    assert claim.begin == 5
    anew = (await engine.create(parent=Parent(parent, 5, True))).id
    await engine.begin(anew, "")
    assert ((await engine.get(anew)).seam, (await engine.get(anew)).parent_offset) == (0, 0)


# --- to find and to list


async def test_what_a_reference_means(engine: Engine) -> None:
    first, second = await engine.create(name="first"), await engine.create(name="second")
    for reference, found in ((first.id, first), (first.id.upper(), first), ("first", first), ("@last", second)):
        assert (await engine.find(reference)).id == found.id
    length = next(n for n in range(1, 13) if first.id[:n] != second.id[:n])
    assert (await engine.find(first.id[:length])).id == first.id
    for missing in ("nothing", "0" * 12):
        with pytest.raises(StreamNotFound):
            await engine.find(missing)
    for n in range(40):
        await engine.create(name=f"n{n}")
    ids = [stream.id for stream in await engine.listed()]
    shared = next(id[0] for id in ids if sum(each[0] == id[0] for each in ids) > 1)
    with pytest.raises(AmbiguousId):
        await engine.find(shared)


async def test_last_of_none(engine: Engine) -> None:
    with pytest.raises(StreamNotFound):
        await engine.find("@last")
    assert await engine.listed() == []
    with pytest.raises(StreamNotFound):
        await engine.get("0" * 12)
    with pytest.raises(StreamNotFound):
        await engine.recovered("0" * 12)


async def test_chunks_tell_when_they_were_kept(engine: Engine, writer: Writer) -> None:
    id = await said(engine, writer, "One. ", "Two. ", "Three. ")
    chunks = await engine.chunks(id)
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 5), (5, 10), (10, 17)]
    times = [chunk.at for chunk in chunks]
    assert times == sorted(times)
    for offset, first in ((0, 0), (4, 0), (5, 1), (9, 1), (10, 2), (16, 2), (17, 3), (99, 3)):
        assert await engine.chunks(id, offset) == chunks[first:]
    assert await engine.chunks(id, 0, times[0]) == chunks
    assert await engine.chunks(id, 0, times[2] + 60) == []
    assert await engine.chunks("0" * 12) == []


async def test_lists_are_newest_first(engine: Engine, writer: Writer) -> None:
    done = await said(engine, writer, "One. ")
    running = (await claimed(engine, writer)).id
    pending = (await engine.create()).id
    assert [stream.id for stream in await engine.listed()] == [pending, running, done]
    assert [stream.id for stream in await engine.listed(2)] == [pending, running]
    assert await engine.listed(0) == []
    for status, id in ((Status.DONE, done), (Status.STREAMING, running), (Status.PENDING, pending)):
        assert [stream.id for stream in await engine.listed(status=(status,))] == [id]
    assert [stream.id for stream in await engine.listed(1, (Status.DONE, Status.STREAMING))] == [running]
    made = (await engine.get(pending)).created_at
    assert [stream.id for stream in await engine.listed(since=made)] == [pending]
    later = time.time() + 1
    assert [stream.id for stream in await engine.idle_since(later)] == [done, pending]
    assert [stream.id for stream in await engine.idle_since(later, keep=1)] == [done]
    assert [stream.id for stream in await engine.idle_since(later, status=Status.PENDING)] == [pending]
    assert await engine.idle_since(later - 3600) == []


# --- to own: claim, append, finish


async def test_one_of_many_claims_a_stream(engine: Engine, other: Engine) -> None:
    async with engine.writer() as mine, other.writer() as theirs:
        for _ in range(10):
            id = (await engine.create(GenerationRequest(model="m"))).id
            won: list[Claim] = []

            async def claim(writer: Writer, id: str = id, won: list[Claim] = won) -> None:
                with contextlib.suppress(ClaimLost):
                    won.append(await writer.claim(id, "m", "here"))

            async with anyio.create_task_group() as tasks:
                for writer in (mine, theirs) * 3:
                    tasks.start_soon(claim, writer)
            assert won == [Claim(id, 1, 0)]
            (attempt,) = await engine.attempts(id)
            assert (attempt.epoch, attempt.begin, attempt.model, attempt.place) == (1, 0, "m", "here")
            assert (await other.recovered(id)).status is Status.STREAMING


async def test_what_cannot_be_claimed(engine: Engine, writer: Writer) -> None:
    with pytest.raises(StreamNotFound):
        await writer.claim("0" * 12)
    cancelled = (await engine.create()).id
    await engine.cancel(cancelled)
    for id in (cancelled, await said(engine, writer, "One. ")):
        with pytest.raises(ClaimLost):
            await writer.claim(id)


async def test_text_is_there_when_it_is_acknowledged(engine: Engine, writer: Writer, other: Engine) -> None:
    claim, text = await claimed(engine, writer), b""
    for word in TEXT.split(" "):
        await writer.append(claim, len(text), f"{word} ", 1)
        text += f"{word} ".encode()
        assert await other.text(claim.id) == text
        assert (await other.recovered(claim.id)).bytes == len(text)
    await writer.finish(claim, len(text), "The last.", 9, Status.DONE, None, {"tokens": 3}, "cut off")
    text += b"The last."
    assert await other.recovered(claim.id) == State(Status.DONE, len(text), len(text), None, "cut off")
    (attempt,) = await other.attempts(claim.id)
    assert (attempt.pieces, attempt.usage, attempt.cause) == (9, {"tokens": 3}, None)
    assert attempt.ended_at is not None
    nothing = (await engine.create()).id
    none, history, other_none = await other.histories([nothing, claim.id, "0" * 12])
    assert history == ([attempt], 9, len(TEXT.split(" ")) + 1)
    assert none == other_none == ([], 0, 0)
    for offset in range(len(text) + 1):
        assert await other.text(claim.id, offset) == text[offset:]
        assert await other.text(claim.id, 0, offset) == text[:offset]


async def test_a_chunk_begins_where_the_last_one_ends(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await writer.append(claim, 0, "One. ", 1)
    for start in (0, 4, 6):
        with pytest.raises(ClaimLost):
            await writer.append(claim, start, "Two. ", 1)
        with pytest.raises(ClaimLost):
            await writer.finish(claim, start, "Two. ", 1, Status.DONE, None, None)
    assert await engine.text(claim.id) == b"One. "
    assert not await writer.is_over(claim)


async def test_nothing_comes_after_an_end(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await writer.finish(claim, 0, "One. ", 1, Status.ERROR, "why", None)
    ended = await engine.recovered(claim.id)
    assert ended == State(Status.ERROR, 5, 5, "why", None)
    for act in (
        writer.append(claim, 5, "Two. ", 1),
        writer.finish(claim, 5, "", 1, Status.DONE, None, None),
        writer.reclaim(claim, 5, "again"),
        writer.claim(claim.id),
    ):
        with pytest.raises(ClaimLost):
            await act
    assert await writer.is_over(claim)
    assert await engine.cancel(claim.id) == ended
    await writer.report_usage(claim, {"tokens": 5})
    assert (await engine.attempts(claim.id))[0].usage == {"tokens": 5}
    assert await engine.recovered(claim.id) == ended


async def test_a_further_attempt_fences_the_one_before(engine: Engine, writer: Writer) -> None:
    first = await claimed(engine, writer)
    await writer.append(first, 0, "One. ", 2)
    with pytest.raises(ClaimLost):
        await writer.reclaim(first, 4, "it broke off")
    second = await writer.reclaim(first, 5, "it broke off")
    assert second == Claim(first.id, 2, 5)
    for act in (
        writer.append(first, 5, "Old. ", 1),
        writer.finish(first, 5, "", 1, Status.DONE, None, None),
        writer.reclaim(first, 5, "again"),
    ):
        with pytest.raises(ClaimLost):
            await act
    await writer.append(second, 5, "Two. ", 1)
    await writer.finish(second, 10, "", 1, Status.DONE, None, None)
    attempts = await engine.attempts(first.id)
    assert [(a.epoch, a.begin, a.pieces, a.cause) for a in attempts] == [(1, 0, 2, "it broke off"), (2, 5, 1, None)]
    assert await engine.text(first.id) == b"One. Two. "


async def test_another_owner_has_no_part_in_it(engine: Engine, other: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    async with other.writer() as theirs:
        with pytest.raises(ClaimLost):
            await theirs.reclaim(claim, 0, "mine")
        assert await theirs.is_over(claim)


async def test_many_streams_at_once(engine: Engine, writer: Writer) -> None:
    """Whatever an engine puts together, each stream has its own text, in order."""
    ids: dict[str, bytes] = {}

    async def write(number: int) -> None:
        claim, text = await claimed(engine, writer), b""
        for n in range(10):
            await writer.append(claim, len(text), f"{number}.{n} ", n)
            text += f"{number}.{n} ".encode()
        await writer.finish(claim, len(text), "", 10, Status.DONE, None, None)
        ids[claim.id] = text

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(write, number)
    assert {id: await engine.text(id) for id in ids} == ids


async def test_who_is_cancelled_while_it_writes_leaves_nothing_half_done(engine: Engine, writer: Writer) -> None:
    for _ in range(20):
        claim = await claimed(engine, writer)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await writer.append(claim, 0, "One. ", 1)
        await writer.append(await claimed(engine, writer), 0, "Others go on. ", 1)
        assert await engine.text(claim.id) in (b"", b"One. ")


async def test_a_program_that_is_cancelled_writes_its_ends(engine: Engine, place: Place) -> None:
    with anyio.CancelScope() as program:
        async with place.open() as own, own.writer() as writer:
            claim = await claimed(own, writer)
            tail = await writer.tail(claim)
            tail.append(b"On its way. ")
            program.cancel()
            with anyio.CancelScope(shield=True):
                await writer.finish(claim, 0, "On its way. ", 1, Status.ERROR, "its program ended", None)
            tail.discard()
    assert (await engine.recovered(claim.id)).error == "its program ended"
    assert await engine.text(claim.id) == b"On its way. "


# --- the tail


async def test_a_tail_is_shown_as_far_as_it_is_kept(engine: Engine, writer: Writer, other: Engine) -> None:
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    live, stored = other.cursor(claim.id), other.cursor(claim.id, live=False)
    assert (tail.end, tail.kept, tail.trouble) == (0, 0, None)
    text = b""
    for word in TEXT.split(" "):
        rung = tail.bell.next()
        tail.append(f"{word} ".encode())
        text += f"{word} ".encode()
        assert tail.end == len(text)
        assert tail.kept <= tail.end
        await tail.caught_up()
        assert tail.kept == len(text)
        assert rung.is_set()
        assert await until(live, f"{word} ".encode()) == f"{word} ".encode()
        assert (await other.as_it_is(await other.get(claim.id))).bytes == len(text) == await live.size()
        assert await now(stored) == b""
        assert (await stored.size(), (await other.recovered(claim.id)).size) == (0, len(text))
    assert await other.text(claim.id) == text
    assert (await other.get(claim.id)).bytes == 0
    await writer.finish(claim, 0, text.decode(), 1, Status.DONE, None, None)
    tail.discard()
    assert await now(stored) == text
    assert await now(live) == b""
    assert live.ended
    assert stored.ended
    tail.close()


async def test_a_reader_goes_from_chunks_to_the_tail_without_a_seam(engine: Engine, writer: Writer) -> None:
    """At any offset, and while text moves from the one to the other."""
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    text = "".join(f"Wort {n} ä. " for n in range(40)).encode()
    pieces = [text[n : n + 13] for n in range(0, len(text), 13)]
    whole = text.decode()
    flushed = 0
    for number, piece in enumerate(pieces):
        while piece and piece[-1] & 0xC0 in (0x80, 0xC0):  # whole characters alone
            if number + 1 == len(pieces):
                break
            pieces[number + 1] = piece[-1:] + pieces[number + 1]
            piece = piece[:-1]
        tail.append(piece)
        if number % 5 == 4:
            end = whole.encode().index(b"Wort", flushed + 1)
            await writer.append(claim, flushed, text[flushed:end].decode(), number)
            flushed = end
        await tail.caught_up()
        for offset in {0, flushed, max(0, flushed - 3), tail.kept}:
            cursor = engine.cursor(claim.id, offset)
            assert await until(cursor, text[offset : tail.kept]) == text[offset : tail.kept]
            cursor.close()
    await writer.finish(claim, flushed, text[flushed : tail.end].decode(), 9, Status.DONE, None, None)
    tail.discard()
    assert await engine.text(claim.id) == text


async def test_a_reader_goes_on_across_a_further_attempt(engine: Engine, writer: Writer, other: Engine) -> None:
    first = await claimed(engine, writer)
    tail = await writer.tail(first)
    tail.append(b"One. ")
    await tail.caught_up()
    here, there = engine.cursor(first.id), other.cursor(first.id)
    assert await until(here, b"One. ") == await until(there, b"One. ") == b"One. "
    await writer.append(first, 0, "One. ", 1)
    second = await writer.reclaim(first, 5, "it broke off")
    further = await writer.tail(second)
    tail.discard()
    assert (further.end, further.kept) == (5, 5)
    further.append(b"Two. ")
    await further.caught_up()
    assert await until(here, b"Two. ") == await until(there, b"Two. ") == b"Two. "
    assert await other.text(first.id) == b"One. Two. "
    await writer.finish(second, 5, "Two. ", 1, Status.DONE, None, None)
    further.discard()
    for cursor in (here, there):
        assert await now(cursor) == b""
        assert cursor.ended


async def test_a_tail_takes_large_runs(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    text = ("数据 " * 100_000).encode()
    for begin in range(0, len(text), 7 * 10_000):
        if not tail.append(text[begin : begin + 7 * 10_000]):
            await tail.caught_up()
    await tail.caught_up()
    cursor = engine.cursor(claim.id)
    sizes = []
    while data := await cursor.read():
        data.decode()
        sizes.append(len(data))
    assert sum(sizes) == len(text)
    assert max(sizes) < len(text)  # a page at a time


# --- to read on, and to wait


@pytest.mark.parametrize("live", [True, False])
async def test_whoever_waits_is_woken(engine: Engine, writer: Writer, other: Engine, live: bool) -> None:
    """By text from this process and from another one, and by the end."""
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    got: dict[str, bytes] = {}

    async def follow(name: str, reader: Engine) -> None:
        cursor, text = reader.cursor(claim.id, live=live), b""
        while not cursor.ended:
            if data := await cursor.read():
                text += data
            elif not cursor.ended:
                await cursor.wait()
        got[name] = text
        assert cursor.state is not None
        assert cursor.state.status is Status.DONE

    sentences = [f"Sentence {n}. " for n in range(30)]
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, "here", engine)
            tasks.start_soon(follow, "there", other)
            start = 0
            for number, sentence in enumerate(sentences):
                if not tail.append(sentence.encode()):
                    await tail.caught_up()
                await writer.append(claim, start, sentence, number)
                start += len(sentence)
            await writer.finish(claim, start, "", 30, Status.DONE, None, None)
            tail.discard()
    assert got == dict.fromkeys(("here", "there"), "".join(sentences).encode())


async def test_whoever_waits_for_an_end_gets_it(engine: Engine, writer: Writer, other: Engine) -> None:
    claim = await claimed(engine, writer)
    ends: list[State] = []

    async def wait(reader: Engine) -> None:
        ends.append(await reader.ended(claim.id))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for reader in (engine, other):
                tasks.start_soon(wait, reader)
            await writer.append(claim, 0, "One. ", 1)
            assert ends == []
            await writer.finish(claim, 5, "", 1, Status.TIMEOUT, "too long", None)
    assert ends == [State(Status.TIMEOUT, 5, 5, "too long", None)] * 2
    assert await engine.ended(claim.id) == ends[0]


async def test_offsets_that_are_none(engine: Engine, writer: Writer) -> None:
    id = await said(engine, writer, "é")
    for offset in (-1, 2**63):
        with pytest.raises(UsageError):
            engine.cursor(id, offset)
    for live in (True, False):
        assert await engine.cursor(id, 2, live=live).read() == b""
        with pytest.raises(OffsetBeyondEnd):
            await engine.cursor(id, 3, live=live).read()
        with pytest.raises(StreamNotFound):
            await engine.cursor("0" * 12, live=live).read()
    running = (await claimed(engine, writer)).id
    ahead = engine.cursor(running, 100)
    assert await ahead.read() == b""
    assert not ahead.ended


async def test_a_stream_that_is_deleted_while_it_is_read(engine: Engine, writer: Writer, other: Engine) -> None:
    id = await said(engine, writer, "One. ", "Two. ")
    cursors = [engine.cursor(id), other.cursor(id, live=False), other.cursor(id, 5)]
    assert [await cursor.read() for cursor in cursors] == [b"One. Two. ", b"One. Two. ", b"Two. "]
    late, waits = engine.cursor(id), (await engine.create()).id
    gone: list[str] = []

    async def wait(reader: Engine) -> None:
        with pytest.raises(StreamNotFound):
            await reader.ended(waits)
        gone.append(waits)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for reader in (engine, other):
                tasks.start_soon(wait, reader)
            await anyio.wait_all_tasks_blocked()
            await other.delete(waits)
    assert len(gone) == 2
    await other.delete(id)
    with pytest.raises(StreamNotFound):
        await late.read()


@pytest.mark.parametrize("live", [True, False])
async def test_nothing_falls_between_a_look_and_a_wait(
    engine: Engine, other: Engine, writer: Writer, live: bool
) -> None:
    """Who is up to date waits without another look, and is told of what came since: text, then the end."""
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    cursors = [other.cursor(claim.id, live=live), engine.cursor(claim.id, live=live)]
    found, said = [b"", b""], b""

    async def come(cursor: Cursor, n: int) -> None:
        while len(found[n]) < len(said) and not cursor.ended:
            if cursor.up_to_date:
                await cursor.wait()
            assert not cursor.up_to_date
            found[n] += await cursor.read()

    with anyio.fail_after(LIMIT):
        for text in [*"abcdefgh", "large " * 100_000, "i", "j"]:
            tail.append(text.encode())
            if not live:
                await writer.append(claim, len(said), text, 1)
            said += text.encode()
            async with anyio.create_task_group() as tasks:
                for n, cursor in enumerate(cursors):
                    tasks.start_soon(come, cursor, n)
        start = 0 if live else len(said)
        await writer.finish(claim, start, said[start:].decode(), 1, Status.DONE, None, None)
        tail.discard()
        for cursor in cursors:
            while not cursor.ended:
                if cursor.up_to_date:
                    await cursor.wait()
                assert await cursor.read() == b""
    assert found == [said, said]


# --- to end, and to remove


async def test_a_pending_stream_is_cancelled_at_once(engine: Engine, other: Engine) -> None:
    id = (await engine.create()).id
    ended = await other.cancel(id)
    assert ended.status is Status.CANCELLED
    assert await engine.recovered(id) == ended
    with pytest.raises(StreamNotFound):
        await engine.cancel("0" * 12)


async def test_a_running_stream_is_marked_for_its_owner(engine: Engine, writer: Writer, other: Engine) -> None:
    claim, alone = await claimed(engine, writer), await claimed(engine, writer)
    assert list(await writer.cancelling()) == []
    assert (await other.cancel(claim.id, drain=True)).status is Status.STREAMING
    assert list(await writer.cancelling()) == [(claim.id, True)]
    assert await engine.drains(claim.id)
    assert (await other.cancel(claim.id)).status is Status.STREAMING
    assert list(await writer.cancelling()) == [(claim.id, False)]
    await other.cancel(claim.id, drain=True)
    assert list(await writer.cancelling()) == [(claim.id, False)]  # what was ended is not drained any more
    await writer.finish(claim, 0, "", 0, Status.CANCELLED, "cancelled at byte 0", None)
    assert list(await writer.cancelling()) == []
    assert not await writer.is_over(alone)


async def test_a_drained_generator_is_ended_by_a_further_cancel(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await engine.cancel(claim.id, drain=True)
    await writer.finish(claim, 0, "", 0, Status.CANCELLED, None, None)
    assert await engine.drains(claim.id)
    assert (await engine.cancel(claim.id, drain=True)).status is Status.CANCELLED
    assert await engine.drains(claim.id)
    await engine.cancel(claim.id)
    assert not await engine.drains(claim.id)
    await engine.delete(claim.id)
    assert not await engine.drains(claim.id)


async def test_delete(engine: Engine, writer: Writer, other: Engine) -> None:
    id, pending = await said(engine, writer, "One. ", name="mine"), (await engine.create()).id
    running = await claimed(engine, writer)
    with pytest.raises(NotFinished):
        await other.delete(running.id)
    for each in (id, pending):
        await other.delete(each)
        with pytest.raises(StreamNotFound):
            await engine.delete(each)
        with pytest.raises(StreamNotFound):
            await engine.recovered(each)
        with pytest.raises(StreamNotFound):
            await engine.text(each)
        assert await engine.attempts(each) == []
    assert [stream.id for stream in await engine.listed()] == [running.id]
    assert (await engine.create(GenerationRequest("another"), name="mine")).id != id
    assert await other.shrink() in (True, False)


async def test_a_running_stream_that_is_deleted_is_gone_from_its_end_on(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await engine.cancel(claim.id, delete=True)
    assert list(await writer.cancelling()) == [(claim.id, False)]
    assert (await engine.recovered(claim.id)).status is Status.STREAMING
    await writer.finish(claim, 0, "One. ", 0, Status.CANCELLED, None, None)
    for look in (engine.recovered(claim.id), engine.ended(claim.id), engine.cursor(claim.id).read()):
        with pytest.raises(StreamNotFound):
            await look
    await engine.delete(claim.id)


async def test_a_time_to_live_is_counted_from_the_end(engine: Engine, writer: Writer) -> None:
    ended, running, kept = [(await engine.create(ttl=ttl)).id for ttl in (0.001, 0.001, 3600)]
    for id in (ended, running, kept):
        claim = await writer.claim(id)
        if id != running:
            await writer.finish(claim, 0, "", 0, Status.DONE, None, None)
    with anyio.fail_after(LIMIT):
        while await engine.delete_expired() == 0:
            await anyio.sleep(0.001)
    assert {stream.id for stream in await engine.listed()} == {running, kept}
    assert await engine.delete_expired() == 0


# --- owners that die

DYING = """
import sys, anyio
from ptstream.engine import open_engine
from ptstream.settings import Home
async def main(path, url, id, chunk, live):
    async with open_engine(Home(path), url) as engine, engine.writer() as writer:
        claim = await writer.claim(id)
        tail = await writer.tail(claim)
        tail.append((chunk + live).encode())
        await tail.caught_up()
        await writer.append(claim, 0, chunk, 1)
        print('kept', flush=True)
        await anyio.sleep_forever()
anyio.run(main, *sys.argv[1:])
"""


@contextlib.contextmanager
def owner_of(place: Place, id: str, chunk: str, live: str) -> Iterator[Process]:
    """Another process that drives the stream, and has kept so much of it."""
    with program(DYING, place.home.path, place.url, id, chunk, live) as process:
        assert process.stdout.readline() == b"kept\n"
        yield process


async def test_a_dead_owner_s_stream_is_given_its_end_once(place: Place, engine: Engine, other: Engine) -> None:
    id = (await engine.create()).id
    followed = engine.cursor(id)
    with owner_of(place, id, "Stored. ", "And shown é") as owner:
        assert await until(followed, b"Stored. And shown \xc3\xa9") == b"Stored. And shown \xc3\xa9"
        assert (await engine.recovered(id)).status is Status.STREAMING
        owner.kill()
        owner.wait()
        ends: list[State] = []

        async def meet(reader: Engine) -> None:
            ends.append(await reader.ended(id))

        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as tasks:
                for reader in (engine, other) * 2:
                    tasks.start_soon(meet, reader)
    assert set(ends) == {State(Status.ERROR, 20, 20, "its owner died at byte 20", None)}
    assert await engine.text(id) == b"Stored. And shown \xc3\xa9"
    assert await until(followed, b"more") == b""
    assert followed.ended
    assert (await engine.histories([id]))[0].chunks == 2


async def test_a_new_owner_ends_what_the_dead_left(place: Place, engine: Engine) -> None:
    id = (await engine.create()).id
    with owner_of(place, id, "", "Only shown. ") as owner:
        async with engine.writer():
            assert (await engine.recovered(id)).status is Status.STREAMING  # it lives
        owner.kill()
        owner.wait()
    with anyio.fail_after(LIMIT):
        while (await engine.get(id)).status is Status.STREAMING:
            async with engine.writer():
                pass
    assert (await engine.get(id)).error == "its owner died at byte 12"
    assert await engine.text(id) == b"Only shown. "
    await engine.recover()
    assert [stream.status for stream in await engine.listed()] == [Status.ERROR]


async def test_an_owner_that_leaves_is_dead(engine: Engine, other: Engine) -> None:
    async with engine.writer() as writer:
        claim = await claimed(engine, writer)
        tail = await writer.tail(claim)
        tail.append(b"One. ")
        await tail.caught_up()
        tail.close()
        assert (await other.recovered(claim.id)).status is Status.STREAMING
    with anyio.fail_after(LIMIT):
        assert (await other.ended(claim.id)).error == "its owner died at byte 5"


# --- search


async def found(engine: Engine, query: str) -> list[tuple[str, int, str]]:
    """All places."""
    async with engine.search(query) as hits:
        return [(hit.stream.id, hit.offset, hit.line) async for hit in hits]


async def test_search(engine: Engine, writer: Writer, other: Engine) -> None:
    older = await said(engine, writer, "Ein Fl", "uß. ", "Und FLUSS.\nNoch ein fluß.")
    claim = await claimed(engine, writer)
    tail = await writer.tail(claim)
    tail.append("é Fluß".encode())
    await tail.caught_up()
    newest = (claim.id, 3, "é Fluß")
    upper = (older, 4, "Ein Fluß. Und FLUSS.")
    assert await found(other, "Fluß") == [newest, upper]
    assert await found(other, "fluß") == [newest, upper, (older, 31, "Noch ein fluß.")]
    assert await found(other, "nowhere") == []
    for query in ("", "x" * (LONGEST_QUERY + 1)):
        with pytest.raises(UsageError):
            await found(engine, query)


async def test_what_was_asked_is_searched_too(engine: Engine, other: Engine) -> None:
    asked = (await engine.create(GenerationRequest("é" * 300 + " \0 WHY this?"))).id
    run = (await engine.create(GenerationRequest(command=("say", "Why this")), name="why-this")).id

    async def places(query: str) -> list[tuple[str, str, int]]:
        async with other.search(query) as hits:
            return [(hit.stream.id, hit.where, hit.offset) async for hit in hits]

    assert await places("why this") == [(run, "title", 4), (asked, "prompt", 603)]
    assert await places("why-") == [(run, "name", 0)]
    assert await places("WHY t") == [(asked, "prompt", 603)]


async def test_a_search_ends_when_it_is_left(engine: Engine, writer: Writer) -> None:
    await said(engine, writer, *["aaaa\n" * 2000] * 5)
    hits: list[Hit] = []
    with anyio.fail_after(LIMIT):
        async with engine.search("aa") as places:
            while len(hits) < 3:
                hits.append(await anext(places))
        with anyio.move_on_after(0.001):
            async with engine.search("aa") as places:
                async for hit in places:
                    hits.append(hit)
                    await anyio.lowlevel.checkpoint()
    assert [hit.offset for hit in hits[:3]] == [0, 2, 5]
    assert await found(engine, "nowhere") == []


# --- to be copied


def in_a_file(folder: Path) -> AbstractAsyncContextManager[Engine]:
    """What takes a copy, and has no owners: so it is held to this part alone."""
    return open_engine(Home(str(folder / "nowhere")), f"file://{folder}/{random.randrange(2**32)}.db")


@pytest.fixture(params=[*PLACES, "file"])
async def target(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Engine]:
    """An engine over another place."""
    if request.param == "file":
        async with in_a_file(folder) as opened:
            yield opened
    else:
        with PLACES[request.param](folder / "target") as made:
            async with made.open() as opened:
                yield opened


async def kept_of(engine: Engine, ids: list[str]) -> tuple[dict[str, Record], Runs]:
    """All that is kept of these streams."""
    chunks = [run async for page in engine.archive.chunks(ids) for run in page]
    return await engine.archive.records(ids), chunks


async def put(intake: Intake, source: Engine, ids: list[str]) -> set[str]:
    """Copy these, page by page; those that appeared."""
    async for page in source.archive.chunks(ids):
        await intake.stage(page)
    return {*await intake.publish([*(await source.archive.records(ids)).values()])}


async def of_every_kind(engine: Engine, writer: Writer) -> list[str]:
    """Streams that differ in all that an engine keeps; the parents first."""
    asked = GenerationRequest("Why? \0 é" * 50, "Be short.", "m", None, None, Flush.LINES, OPTIONS)
    first = (await engine.create(asked, name="why", title="A question", ttl=3600)).id
    claim = await writer.claim(first, "m-1", "http://models")
    await writer.append(claim, 0, TEXT, 3)
    claim = await writer.reclaim(claim, len(TEXT.encode()), "dropped")
    usage = {"input": 3, "cost": 0.25, "of": {"tokens": 7}}
    await writer.finish(claim, len(TEXT.encode()), "rest", 5, Status.DONE, None, usage, "cut off")
    after = (await engine.create(parent=Parent(first, len(TEXT.encode()), continued=True))).id
    await engine.begin(after, TEXT)
    claim = await writer.claim(after)
    await writer.finish(claim, len(TEXT.encode()), "more", 1, Status.ERROR, "no more", None)
    answer = (await engine.create(GenerationRequest("and?"), parent=Parent(after, 3, continued=False))).id
    await writer.finish(await writer.claim(answer), 0, "", 0, Status.TIMEOUT, "too slow", None)
    cancelled = (await engine.create(GenerationRequest(command=("sh", "-c", "\0")))).id
    await engine.cancel(cancelled)
    return [first, after, answer, cancelled]


async def test_all_that_is_kept_is_copied(engine: Engine, writer: Writer, target: Engine) -> None:
    ids = await of_every_kind(engine, writer)
    async with target.intake() as intake:
        assert await put(intake, engine, ids) == {*ids}
    records, chunks = await kept_of(engine, ids)
    assert [*records] == ids
    assert records[ids[0]].ttl == 3600
    assert [len(records[id].attempts) for id in ids] == [2, 1, 1, 0]
    assert await kept_of(target, ids) == (records, chunks)
    assert [entry._replace(position=0) for entry in await target.archive.entries()] == [
        entry._replace(position=0) for entry in await engine.archive.entries()
    ]
    for id in ids:
        assert await target.get(id) == await engine.get(id)
        assert await target.attempts(id) == await engine.attempts(id)
        assert (await target.histories([id]))[0][1:] == (await engine.histories([id]))[0][1:]
        assert await target.text(id) == await engine.text(id)
    assert [stream.id for stream in await target.listed()] == ids[::-1]
    assert (await target.find("why")).id == ids[0]


async def test_a_copied_stream_is_one_like_any_other(engine: Engine, writer: Writer, target: Engine) -> None:
    id = await said(engine, writer, "One. ", "Two. ")
    async with target.intake() as intake:
        await put(intake, engine, [id])
    assert await found(target, "two") == [(id, 5, "One. Two.")]
    assert await until(target.cursor(id, 2), b"e. Two. !") == b"e. Two. "
    assert await target.ended(id) == State(Status.DONE, 10, 10, None, None)
    await target.delete(id)
    assert await target.archive.entries() == []
    assert await kept_of(target, [id]) == ({}, [])


async def test_usage_that_became_known_later_can_be_given(engine: Engine, writer: Writer, target: Engine) -> None:
    first, *ids = await of_every_kind(engine, writer)
    async with target.intake() as intake:
        await put(intake, engine, [first, *ids])
        await writer.report_usage(Claim(first, 2, 0), {"tokens": 9})
        await intake.set_usage([*(await engine.archive.records([first])).values()])
    assert [attempt.usage for attempt in await target.attempts(first)] == [None, {"tokens": 9}]
    assert await kept_of(target, [first, *ids]) == await kept_of(engine, [first, *ids])


async def test_nothing_is_seen_of_what_was_only_begun(engine: Engine, writer: Writer, target: Engine) -> None:
    id = await said(engine, writer, "One. ", "Two. ")
    async with target.intake() as intake:
        async for page in engine.archive.chunks([id]):
            await intake.stage(page)
            await intake.stage(page)  # said again, after an answer was lost
        assert [chunk.text for _, chunk in (await kept_of(target, [id]))[1]] == [b"One. ", b"Two. "]
        assert await target.listed() == [] == await target.archive.entries()
        assert await found(target, "Two") == []
        with pytest.raises(StreamNotFound):
            await target.text(id)
    async with target.intake() as intake:
        assert (await kept_of(target, [id]))[1] == []
        await put(intake, engine, [id])
        await intake.discard([id])  # nothing of what is there
    assert await target.text(id) == b"One. Two. "


async def test_a_name_stays_with_its_stream(engine: Engine, writer: Writer, target: Engine) -> None:
    taken, free = await said(engine, writer, "Mine. ", name="one"), await said(engine, writer, "Free. ")
    async with target.intake() as intake:
        await put(intake, engine, [taken])
        await engine.delete(taken)
        again = await said(engine, writer, "Another. ", name="one")
        assert await intake.holders(["one", "two"]) == {"one": taken}
        assert await put(intake, engine, [again, free]) == {free}
        await intake.discard([again])
    assert await kept_of(target, [again]) == ({}, [])
    assert await target.text((await target.find("one")).id) == b"Mine. "


async def test_one_copy_comes_in_at_a_time(place: Place, engine: Engine, other: Engine) -> None:
    async with engine.intake():
        with pytest.raises(StoreBusy, match="another copy"):
            async with other.intake():
                pass
    async with other.intake() as intake:
        assert await intake.publish([]) == set()


async def test_a_large_text_is_read_in_pages(engine: Engine, writer: Writer, target: Engine) -> None:
    large, small = (await engine.create()).id, await said(engine, writer, "Small. ")
    claim, run, count = await writer.claim(large), "é" * 128 * 1024, 20
    for n in range(count):
        await writer.append(claim, n * 256 * 1024, run, 1)
    await writer.finish(claim, count * 256 * 1024, "", 1, Status.DONE, None, None)
    pages = [page async for page in engine.archive.chunks([small, large])]
    assert max(sum(len(chunk.text) for _, chunk in page) for page in pages) <= 2 * 1024 * 1024
    assert [run for page in pages for run in page] == (await kept_of(engine, [small, large]))[1]
    async with target.intake() as intake:
        await put(intake, engine, [large])
    assert await target.text(large) == run.encode() * count


async def test_what_is_deleted_with_its_end_is_not_copied(engine: Engine, writer: Writer) -> None:
    claim = await claimed(engine, writer)
    await engine.cancel(claim.id, delete=True)
    assert [entry.status for entry in await engine.archive.entries()] == [Status.STREAMING]
    await writer.finish(claim, 0, "", 0, Status.CANCELLED, None, None)
    assert await engine.archive.entries() == []
    assert await engine.archive.records([claim.id]) == {}


async def test_a_place_is_itself(engine: Engine, other: Engine, target: Engine) -> None:
    for each in (engine, target):
        await each.migrate()
    assert await engine.archive.identity() == await other.archive.identity()
    assert await engine.archive.identity() != await target.archive.identity()


# --- the whole


async def test_any_order_of_acts_leaves_a_prefix(engine: Engine, other: Engine) -> None:
    """Pieces, flushes and further attempts in a random order: every reader has a prefix, at every moment."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    async with engine.writer() as writer:
        claim = await claimed(engine, writer)
        tail, text, flushed = await writer.tail(claim), "", 0
        cursors = {cursor: b"" for cursor in (engine.cursor(claim.id), other.cursor(claim.id))}
        stored = other.cursor(claim.id, live=False)
        kept = b""
        for _ in range(150):
            act = chance.random()
            if act < 0.7:
                piece = chance.choice(["a", "é", "世界 ", "🙂", "\0", "\r\n", "word " * 20])
                text += piece
                tail.append(piece.encode())
            elif act < 0.9 or flushed < len(text):
                end = chance.randrange(flushed, len(text) + 1) if act < 0.9 else len(text)
                if end > flushed:
                    await writer.append(claim, len(text[:flushed].encode()), text[flushed:end], 1)
                    flushed = end
            else:
                await tail.caught_up()
                claim = await writer.reclaim(claim, len(text.encode()), "again")
                before, tail = tail, await writer.tail(claim)
                before.discard()
            for cursor in cursors:
                if chance.random() < 0.5:
                    cursors[cursor] += await cursor.read()
                    assert text.encode().startswith(cursors[cursor])
            kept += await stored.read()
            assert text.encode().startswith(kept)
        size = len(text[:flushed].encode())
        await writer.finish(claim, size, text[flushed:], 1, Status.DONE, None, None)
        tail.discard()
    for cursor, had in [*cursors.items(), (stored, kept)]:
        assert had + await until(cursor, text.encode()[len(had) :] + b"!") == text.encode()
        assert cursor.ended


async def test_an_engine_says_what_it_is(engine: Engine, place: Place) -> None:
    assert engine.location
    await engine.create()
    assert engine.lost is None
    await engine.check()
    with pytest.raises(ConfigurationError, match="no engine"):
        open_engine(place.home, "carrier-pigeon://loft")


def test_a_stream_is_a_stream(place: Place) -> None:
    """What one engine object made, another one of a later event loop reads."""

    async def make() -> Stream:
        async with place.open() as engine:
            return await engine.create(GenerationRequest("x"))

    async def look(id: str) -> Stream:
        async with place.open() as engine:
            return await engine.get(id)

    made = anyio.run(make)
    assert anyio.run(look, made.id) == made


async def test_what_a_place_needs_is_made_once(place: Place) -> None:
    async with place.open() as engine:
        await engine.migrate()
        await engine.migrate()
        assert await engine.listed() == []
