"""ptstream inside a program: who drives, who reads, and how each ends."""

from __future__ import annotations

import copy
import functools
import gc
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import pytest

import ptstream
from ptstream.streams import Status, Stream
from tests.conftest import LIMIT, answered

pytestmark = pytest.mark.anyio


T = TypeVar("T")


def asked(place: str, what: Callable[[ptstream.PersistentStreams], Awaitable[T]]) -> T:
    """What another program is told of the place."""

    async def ask() -> T:
        async with ptstream.open(place) as pts:
            return await what(pts)

    return anyio.run(ask)


def named(place: str, name: str) -> Stream:
    """What there is to know of a stream."""
    return next(stream for stream in asked(place, lambda pts: pts.streams()) if stream.name == name)


def text_of(place: str, name: str) -> str:
    """All its text."""
    id = named(place, name).id
    return asked(place, lambda pts: pts.body(id)).text


async def greet(stream: Stream) -> AsyncIterator[str]:
    """A generator that yields."""
    yield "Hi there! "
    yield f"You said {stream.request.prompt}. "
    yield "Bye."


async def test_drive_body_follow(place: str) -> None:
    async with ptstream.open(place) as pts:
        id = await pts.create(prompt="hello")
        assert await pts.body(id) == ("", Status.PENDING, 0, None)
        pieces = [piece async for piece in pts.drive(id, greet)]
        assert "".join(piece.text for piece in pieces) == "Hi there! You said hello. Bye."
        assert pieces[-1].offset == 30
        assert await pts.body(id) == ("Hi there! You said hello. Bye.", Status.DONE, 30, None)
        newer = await pts.create(prompt="again")
        assert [stream.id for stream in await pts.streams()] == [newer, id]
        assert [(stream.id, stream.bytes) for stream in await pts.streams(limit=1)] == [(newer, 0)]
        for live in (True, False):
            again = [piece async for piece in pts.follow(id, 10, live=live)]
            assert "".join(piece.text for piece in again) == "You said hello. Bye."
        assert "".join([piece.text async for piece in pts.drive(id, greet)]) == "Hi there! You said hello. Bye."


async def test_append_returns_the_offset(place: str) -> None:
    offsets: list[int] = []

    async def generate(stream: Stream, append: Callable[[str], Awaitable[int]]) -> None:
        offsets.append(await append("Grüße. "))
        offsets.append(await append("Tschüß."))

    async with ptstream.open(place) as pts:
        id = await pts.create()
        text = "".join([piece.text async for piece in pts.drive(id, generate)])
    assert text == "Grüße. Tschüß."
    assert offsets == [9, 18]


async def test_a_second_drive_attaches(place: str) -> None:
    began, go_on = anyio.Event(), anyio.Event()
    calls = 0

    async def generate(stream: Stream) -> AsyncIterator[str]:
        nonlocal calls
        calls += 1
        yield "One. "
        began.set()
        await go_on.wait()
        yield "Two."

    texts: list[str] = []

    async def read(pts: ptstream.PersistentStreams, id: str) -> None:
        texts.append("".join([piece.text async for piece in pts.drive(id, generate)]))

    async with ptstream.open(place) as pts, anyio.create_task_group() as tasks:
        id = await pts.create()
        tasks.start_soon(read, pts, id)
        await began.wait()
        tasks.start_soon(read, pts, id)
        tasks.start_soon(read, pts, id)
        go_on.set()
    assert texts == ["One. Two."] * 3
    assert calls == 1


async def test_leaving_a_loop_detaches(place: str) -> None:
    async with ptstream.open(place) as pts:
        id = await pts.create(prompt="x")
        async for _piece in pts.drive(id, greet):
            break
        gc.collect()
        assert "".join([piece.text async for piece in pts.follow(id)]) == "Hi there! You said x. Bye."
        assert (await pts.body(id)).status is Status.DONE


async def never(stream: Stream) -> AsyncIterator[str]:
    """A generator that begins and does not end."""
    yield "Begun. "
    await anyio.sleep_forever()


async def test_leaving_the_with_waits_or_ends(place: str) -> None:
    async with ptstream.open(place) as pts:
        whole = await pts.create(prompt="x")
        await anext(pts.drive(whole, greet))
    async with ptstream.open(place, grace=0.01) as pts:
        cut = await pts.create()
        await anext(pts.drive(cut, never))
    async with ptstream.open(place) as pts:
        assert (await pts.body(whole)).status is Status.DONE
        assert await pts.body(cut) == ("Begun. ", Status.ERROR, 7, "its program ended at byte 7")


async def test_leaving_by_an_exception_ends_at_once(place: str) -> None:
    with pytest.raises(KeyError):
        async with ptstream.open(place) as pts:
            id = await pts.create()
            await anext(pts.drive(id, never))
            raise KeyError
    with anyio.CancelScope() as scope:
        async with ptstream.open(place) as pts:
            other = await pts.create()
            await anext(pts.drive(other, never))
            scope.cancel()
            await anyio.sleep_forever()
    async with ptstream.open(place) as pts:
        for ended in (id, other):
            assert await pts.body(ended) == ("Begun. ", Status.ERROR, 7, "its program ended at byte 7")


async def test_a_generators_exception_is_the_cause(place: str) -> None:
    async def fails(stream: Stream) -> AsyncIterator[str]:
        yield "Before. "
        raise LookupError("no more words")

    async with ptstream.open(place) as pts:
        id = await pts.create()
        text = ""
        with pytest.raises(ptstream.StreamFailed, match="LookupError: no more words") as caught:
            async for piece in pts.drive(id, fails):
                text += piece.text
        assert isinstance(caught.value.__cause__, LookupError)
        assert text == "Before. "
        with pytest.raises(ptstream.StreamFailed, match="no more words"):
            [piece async for piece in pts.follow(id)]


async def test_cancel_and_delete(place: str) -> None:
    async with ptstream.open(place) as pts:
        id = await pts.create()
        reader = pts.drive(id, never)
        assert (await anext(reader)).text == "Begun. "
        await pts.cancel(id)
        with pytest.raises(ptstream.StreamCancelled):
            await anext(reader)
        assert await pts.body(id) == ("Begun. ", Status.CANCELLED, 7, "cancelled at byte 7")
        running = await pts.create()
        reader = pts.drive(running, never)
        await anext(reader)
        await pts.delete(running)
        with pytest.raises(ptstream.StreamNotFound):
            await pts.body(running)


async def test_an_offset_inside_a_character(place: str) -> None:
    async def umlaut(stream: Stream) -> AsyncIterator[str]:
        yield "ü"

    async with ptstream.open(place) as pts:
        id = await pts.create()
        [piece async for piece in pts.drive(id, umlaut)]
        with pytest.raises(ValueError, match="inside a character"):
            await anext(pts.follow(id, 1))


async def test_lone_surrogates_are_replaced(place: str) -> None:
    async def halves(stream: Stream) -> AsyncIterator[str]:
        yield "a\ud83d"
        yield "\ude42b\ud83d"
        yield "c"

    async with ptstream.open(place) as pts:
        id = await pts.create()
        assert "".join([piece.text async for piece in pts.drive(id, halves)]) == "a🙂b\ufffdc"


async def test_events_begin_at_a_character(place: str) -> None:
    async def generate(_: Stream) -> AsyncIterator[str]:
        yield "é"

    async with ptstream.open(place) as pts:
        id = await pts.create()
        async for _ in pts.drive(id, generate):
            pass
        said = [(await answered(pts.events(id, offset)))[0] for offset in (0, 1, 2, "2", 3)]
        assert said == [200, 400, 200, 200, 416]


async def plain(_: Stream, model: str, *, times: int = 1) -> AsyncIterator[str]:
    """A generator that needs more than its stream."""
    for _n in range(times):
        yield f"By {model}."


async def hands_over(_: Stream, append: Callable[[str], Awaitable[int]], model: str = "x") -> None:
    """The other form."""
    await append(f"By {model}.")


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """As decorators mostly are."""

    @functools.wraps(function)
    def call(*words: Any, **more: Any) -> Any:
        return function(*words, **more)

    return call


class Model:
    """Generators of an object's."""

    async def generate(self, stream: Stream) -> AsyncIterator[str]:
        """A method."""
        yield "By x."

    async def append(self, stream: Stream, append: Callable[[str], Awaitable[int]]) -> None:
        """The other form."""
        await append("By x.")

    async def __call__(self, stream: Stream) -> AsyncIterator[str]:
        yield "By x."


RIGHT: dict[str, Callable[..., Any]] = {
    "partial": functools.partial(plain, model="x"),
    "lambda": lambda stream: plain(stream, "x"),
    "lambda, appends": lambda stream, append: hands_over(stream, append, "x"),
    "appends, with more": hands_over,
    "method": Model().generate,
    "method, appends": Model().append,
    "object": Model(),
    "partial of an object": functools.partial(Model()),
    "decorated": decorated(functools.partial(plain, model="x")),
    "decorated, appends": decorated(hands_over),
}


@pytest.mark.parametrize("shape", RIGHT)
async def test_generators_of_many_shapes(place: str, shape: str) -> None:
    async with ptstream.open(place) as pts:
        assert "".join([piece.text async for piece in pts.drive(await pts.create(), RIGHT[shape])]) == "By x."


def sync(stream: Stream) -> str:
    """No generator."""
    return "text"


def sync_yields(stream: Stream) -> Any:
    """No asynchronous generator."""
    yield "text"


async def silent(stream: Stream) -> str:
    """No generator, and takes no `append`."""
    return "text"


async def needs_more(stream: Stream, *, model: str) -> AsyncIterator[str]:
    """Cannot be called."""
    yield model


async def takes_nothing() -> AsyncIterator[str]:
    """Cannot be called."""
    yield "text"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "sync": (lambda: sync, "sync is not `async def`"),
    "sync, yields": (lambda: sync_yields, "sync_yields is not `async def`"),
    "sync, decorated": (lambda: decorated(sync), "sync is not `async def`"),
    "builtin": (lambda: print, "print is not `async def`"),
    "no append": (lambda: silent, "silent neither yields nor takes `append`"),
    "called": (lambda: greet(None), "pass greet itself"),  # type: ignore[arg-type]
    "coroutine": (lambda: silent(None), "pass silent itself"),  # type: ignore[arg-type]
    "two words": (lambda: plain, r"plain takes \(_: "),
    "a needed option": (lambda: needs_more, r"needs_more takes \(stream"),
    "no word": (lambda: takes_nothing, r"takes_nothing takes \(\)"),
    "lambda": (lambda: lambda: None, r"takes \(\)"),
    "class": (lambda: Model, "Model is a class"),
    "text": (lambda: "text", "'text' is none"),
}


@pytest.mark.parametrize("shape", WRONG)
async def test_a_wrong_shape_is_refused_at_once(place: str, shape: str) -> None:
    make, problem = WRONG[shape]
    async with ptstream.open(place) as pts:
        id = await pts.create()
        for take in (pts.drive, pts.response):
            with pytest.raises(TypeError, match=f"a generator is `async def .*{problem}"):
                take(id, make())
        with pytest.raises(TypeError, match=problem):
            await pts.start(id, make())
        assert (await pts.body(id)).status is Status.PENDING


@pytest.mark.parametrize("given", [b"bytes", None, 7, ["list"]])
async def test_what_is_no_text_is_named(place: str, given: Any) -> None:
    async def yields(_: Stream) -> AsyncIterator[Any]:
        yield "Before. "
        yield given

    async def appends(_: Stream, append: Callable[[Any], Awaitable[int]]) -> None:
        await append("Before. ")
        await append(given)

    async with ptstream.open(place) as pts:
        for function in (yields, appends):
            id = await pts.create()
            with pytest.raises(ptstream.StreamFailed, match=rf"text \(str\), not {type(given).__name__}"):
                _ = [piece async for piece in pts.drive(id, function)]
            assert (await pts.body(id)).text == "Before. "


# --- what it gives


async def test_what_it_gives_is_an_object_to_json(place: str) -> None:
    async with ptstream.open(place) as pts:
        id = await pts.create(prompt="hello", name="n")
        assert "".join([piece.text async for piece in pts.drive(id, greet)])
        (piece,) = [piece async for piece in pts.follow(id, 26)]
        body, stream = await pts.body(id), await pts.stream(id)
    text = "Hi there! You said hello. Bye."
    assert json.loads(json.dumps(body)) == {"text": text, "status": "done", "offset": 30, "error": None}
    assert json.loads(json.dumps({"last": [piece]})) == {"last": [{"text": "Bye.", "offset": 30}]}
    told = json.loads(json.dumps(stream))
    assert (told["id"], told["name"], told["prompt"], told["status"], told["bytes"]) == (id, "n", "hello", "done", 30)
    values: tuple[Any, ...] = (body, stream, piece)
    for value in values:
        assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == value  # noqa: S301 - our own
        assert all(getattr(value, name) == value[name] for name in value.keys())  # noqa: SIM118 - it is no plain table
        with pytest.raises(AttributeError):
            value.bytes = 1
        with pytest.raises(AttributeError, match="no field"):
            _ = value.nosuch


def test_a_piece_is_its_text_and_its_offset() -> None:
    piece = ptstream.Piece("ü", 2)
    text, offset = tuple[Any, ...](piece)
    assert (text, offset, repr(piece)) == ("ü", 2, "Piece(text='ü', offset=2)")
    assert piece == ("ü", 2) == ptstream.Piece("ü", 2) == {"text": "ü", "offset": 2}
    assert piece != ("ü", 3)
    match piece:
        case ptstream.Piece(text, 2):
            assert text == "ü"
        case _:
            raise AssertionError(piece)


def test_its_names_are_listed() -> None:
    script = "import ptstream; print(*dir(ptstream))"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert set(ptstream.__all__) <= set(names)
    assert all(getattr(ptstream, name) is not None for name in ptstream.__all__)


# --- a program that ends in the middle


ENDS = """
import asyncio, sys, ptstream

async def generate(stream):
    yield "Begun. "
    await asyncio.sleep(1000)

async def reads(begun):
    async with ptstream.open(sys.argv[1]) as pts:
        async for piece in pts.drive(await pts.create(name="n"), generate):
            begun.set_result(None)

async def main():
    begun = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(reads(begun))
    await begun
    return task
"""


@pytest.mark.parametrize("way", ["asyncio.run(main())", "kept = asyncio.new_event_loop().run_until_complete(main())"])
def test_no_way_out_hangs(place: str, way: str) -> None:
    """Everything cancelled at once, as `asyncio.run` does at its end; and a loop that is simply left."""
    done = subprocess.run([sys.executable, "-c", ENDS + way, place], capture_output=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    found = named(place, "n")
    cause = "its program ended" if "run(main" in way else "its owner died"
    assert (found.status, found.error, found.bytes) == (Status.ERROR, f"{cause} at byte 7", 7)


# --- persist


def test_persist_keeps_each_piece_first(place: str) -> None:
    seen = []
    for text in ptstream.persist(iter(["One. ", "Two. ", "Three."]), name="loop", path=place):
        seen.append(text)
        assert text_of(place, "loop") == "".join(seen)
    assert named(place, "loop").status is Status.DONE


def test_persist_ends(place: str) -> None:
    def source() -> Any:
        yield "One. "
        raise LookupError("gone")

    with pytest.raises(LookupError):
        list(ptstream.persist(source(), name="raised", path=place))
    assert named(place, "raised").error == "LookupError: gone"
    loop = ptstream.persist(iter(["One. ", "Two. "]), name="left", path=place)
    for _ in loop:
        break
    loop.close()  # type: ignore[attr-defined]
    left = named(place, "left")
    assert (left.status, left.error) == (Status.ERROR, "left at byte 5")
    cancelled = iter(ptstream.persist((f"{n}. " for n in range(10**9)), name="cancelled", path=place))
    next(cancelled)
    id = named(place, "cancelled").id
    asked(place, lambda pts: pts._engine.cancel(id))  # `pts.cancel` waits until its owner, this loop, has ended it
    with pytest.raises(ptstream.StreamCancelled):
        list(cancelled)


def test_persist_with_a_taken_name_pulls_nothing(place: str) -> None:

    async def taken(pts: ptstream.PersistentStreams) -> None:
        await pts.cancel(await pts.create(name="taken"))

    asked(place, taken)
    source = iter(["One. "])
    with pytest.raises(ptstream.NameTaken):
        next(iter(ptstream.persist(source, name="taken", path=place)))
    assert next(source) == "One. "


async def test_persist_async(place: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield "One. "
        yield "Two."

    assert [text async for text in ptstream.persist(source(), name="a", path=place)] == ["One. ", "Two."]
    async with ptstream.open(place) as pts:
        (kept,) = await pts.streams()
    assert (kept.name, kept.status, kept.bytes) == ("a", Status.DONE, 9)


def test_a_killed_program_is_recovered(place: str) -> None:
    script = (
        "import os, sys, ptstream\n"
        "for n, text in enumerate(ptstream.persist((f'{n} ' for n in range(10**9)), name='p', path=sys.argv[1])):\n"
        "    print(text, end='', flush=True)\n"
        "    if n == 100: os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, place], stdout=subprocess.PIPE)
    assert str(named(place, "p").error).startswith("its owner died at byte")
    assert text_of(place, "p").startswith(done.stdout.decode())


@pytest.mark.parametrize(
    "script",
    [
        "loop = ptstream.persist(iter('abc'), name='p', path=path)\nassert next(iter(loop)) == 'a'",
        "for _ in ptstream.persist(iter('abc'), name='p', path=path): break",
        "async def main():\n async for _ in ptstream.persist(source(), name='p', path=path): break\n"
        "asyncio.run(main())",
        "async def main():\n global loop\n loop = ptstream.persist(source(), name='p', path=path)\n await anext(loop)\n"
        "asyncio.run(main())",
        "loop = ptstream.persist(iter('abc'), name='p', path=path)\nassert next(iter(loop)) == 'a'\n"
        "child = os.fork()\nif not child: sys.exit(list(loop) and 1)\nassert os.waitpid(child, 0)[1]",
    ],
    ids=["held", "left", "left async", "held async", "forked"],
)
def test_a_program_that_ends_in_its_loop_has_left_it(place: str, script: str) -> None:
    head = (
        "import asyncio, os, sys, ptstream\npath = sys.argv[1]\nasync def source():\n for each in 'abc': yield each\n"
    )
    done = subprocess.run([sys.executable, "-c", head + script, place], capture_output=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    left = named(place, "p")
    assert (left.status, left.error) == (Status.ERROR, "left at byte 1")


async def test_an_async_loop_is_left_at_once(place: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield "One. "
        yield "Two."

    async for _ in ptstream.persist(source(), name="a", path=place):
        break
    async with ptstream.open(place) as pts:
        (left,) = await pts.streams()
    assert left.error == "left at byte 5"
