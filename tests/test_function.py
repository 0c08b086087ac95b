"""A user's own generator function: inside a program, and in a process of the caller's interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ptstream.errors import ConfigurationError, GeneratorError, UsageError
from ptstream.generators import Caller, Event, Note, Reasoning, Stderr, Usage
from ptstream.generators.function.frames import Frames
from ptstream.generators.function.in_program import from_function
from ptstream.generators.function.loading import generator
from ptstream.generators.function.signature import Append
from ptstream.generators.function.subprocess_source import source
from ptstream.streams import GenerationRequest, Status, Stream
from tests.conftest import LIMIT

pytestmark = pytest.mark.anyio

ROOT = str(Path(__file__).parents[1])


def a_stream(generator: str | None = None, bytes: int = 0) -> Stream:
    words = GenerationRequest(prompt="Why?", system="Be brief.", model="m", generator=generator)
    return Stream("id1", "name", None, Status.STREAMING, bytes, words, None, 1.5, None, None, None)


async def events_of(function: Callable[..., Any], bytes: int = 0) -> list[Event]:
    async with aclosing(from_function(function, a_stream(bytes=bytes))) as events:
        return [event async for event in events]


# --- inside a program


async def test_a_function_that_yields() -> None:
    async def generate(stream: Stream) -> AsyncIterator[Event]:
        yield f"{stream.id} {stream.prompt} {stream.system} {stream.model}"
        yield Reasoning("hm")
        yield "\ud83d"
        yield "\ude00"

    assert await events_of(generate) == ["id1 Why? Be brief. m", Reasoning("hm"), "😀"]


async def test_a_function_that_appends_gets_offsets_in_bytes() -> None:
    offsets: list[int] = []

    async def generate(_: Stream, append: Append) -> None:
        texts = ("Hi there!", "", "ü", "\ud83d", "\ude00", "\ud83d")
        offsets.extend([await append(text) for text in texts])

    assert await events_of(generate, bytes=100) == ["Hi there!", "ü", "😀", "\ufffd"]
    assert offsets == [109, 109, 111, 111, 115, 115]


async def test_append_returns_when_the_reader_has_come_back() -> None:
    log: list[str] = []

    async def generate(_: Stream, append: Append) -> None:
        for text in ("a", "b"):
            await append(text)
            log.append(f"kept {text}")

    async with aclosing(from_function(generate, a_stream())) as events:
        async for event in events:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            log.append(f"keeping {event}")
    assert log == ["keeping a", "kept a", "keeping b", "kept b"]


async def test_appends_of_many_tasks_take_turns() -> None:
    async def generate(_: Stream, append: Append) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(append, f"{number} ")

    assert sorted(await events_of(generate), key=lambda text: int(str(text))) == [f"{n} " for n in range(20)]


async def test_an_append_that_is_given_up_before_it_is_looked_at_leaves_nothing() -> None:
    async def generate(_: Stream, append: Append) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await append("never")
        await append("but this")

    assert await events_of(generate) == ["but this"]


async def test_after_the_end_append_is_closed() -> None:
    kept: list[Append] = []

    async def generate(_: Stream, append: Append) -> None:
        kept.append(append)

    assert await events_of(generate) == []
    with pytest.raises(anyio.ClosedResourceError):
        await kept[0]("late")


async def test_an_append_from_outside_is_released_when_the_generation_is_left() -> None:
    kept: list[Append] = []
    refused = anyio.Event()

    async def generate(_: Stream, append: Append) -> None:
        kept.append(append)
        await append("first")
        await anyio.sleep_forever()

    async def outside() -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await kept[0]("second")
        refused.set()

    async with anyio.create_task_group() as tasks:
        async with aclosing(from_function(generate, a_stream())) as events:
            assert await anext(events) == "first"
            tasks.start_soon(outside)
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(LIMIT):
            await refused.wait()


async def boom_yielding(_: Stream) -> AsyncIterator[str]:
    yield "before"
    raise KeyError("boom")


async def boom_appending(_: Stream, append: Append) -> None:
    await append("before")
    raise KeyError("boom")


@pytest.mark.parametrize("function", [boom_yielding, boom_appending])
async def test_its_own_exception_comes_through_after_its_text(function: Callable[..., Any]) -> None:
    text = ""
    with pytest.raises(KeyError, match="boom"):
        async with aclosing(from_function(function, a_stream())) as events:
            async for event in events:
                text += str(event)
    assert text == "before"


@pytest.mark.parametrize("form", ["yields", "appends"])
async def test_leaving_runs_its_cleanup(form: str) -> None:
    log: list[str] = []

    async def yields(_: Stream) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            log.append("cleaned")

    async def appends(_: Stream, append: Append) -> None:
        try:
            while True:
                await append("x")
        finally:
            log.append("cleaned")

    async with aclosing(from_function(yields if form == "yields" else appends, a_stream())) as events:
        async for _ in events:
            break
    assert log == ["cleaned"]


async def test_what_is_no_generator_is_said_to_be_none() -> None:
    async def coroutine(_: Stream) -> str:
        return "text"

    def plain(_: Stream) -> list[str]:
        return ["text"]

    async def bytes_(_: Stream) -> AsyncIterator[Any]:
        yield b"text"

    async def appends_bytes(_: Stream, append: Callable[[Any], Coroutine[Any, Any, int]]) -> None:
        await append(b"text")

    def nothing() -> None: ...

    neither: list[Callable[..., Any]] = [coroutine, plain]
    for function in neither:
        with pytest.raises(UsageError, match="is no async generator"):
            await events_of(function)
    wrong: list[Callable[..., Any]] = [bytes_, appends_bytes]
    for function in wrong:
        with pytest.raises(TypeError, match=r"text \(str\), not bytes"):
            await events_of(function)
    with pytest.raises(UsageError, match="nothing does not"):
        await events_of(nothing)


def test_a_name_is_a_mark_only() -> None:
    assert generator("hello")(boom_yielding) is boom_yielding


# --- in a process of the caller's


FILE = """
import os, sys
import ptstream
from ptstream.generators import Note, Reasoning, Stderr, Usage
import beside

print("imported")

async def yields(stream):
    print("to stderr")
    yield f"{stream.id} {stream.name} {stream.prompt} {stream.system} {stream.model}\\n"
    yield Reasoning("hm")
    yield Note("note")
    yield Usage({"tokens": 3})
    yield "\\ud83d"
    yield "\\ude00\\u2028" + beside.TEXT

@ptstream.generator("named")
async def appends(stream, append):
    await append(f"{await append('a'*100000)} ")
    await append(str(os.getcwd()) + os.environ["OWN"] + sys.stdin.read())

async def fails(stream):
    yield "before"
    raise ValueError("boom")

async def leaves(stream):
    yield "before"
    os._exit(3)

async def leaves_well(stream):
    yield "before"
    os._exit(0)

async def dies(stream):
    yield "before"
    os.kill(os.getpid(), 9)

async def waits(stream, append):
    await append(str(os.getpid()))
    import asyncio
    await asyncio.sleep(1000)
"""


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "own" / "beside.py").write_text("TEXT = 'beside'\n", encoding="utf-8")
    (tmp_path / "asyncio.py").write_text("raise SystemExit('the wrong asyncio')\n", encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "OWN": " own ", "PYTHONPATH": ROOT}
    return Caller(str(tmp_path), environment, python=sys.executable)


async def called(caller: Caller, name: str) -> list[Event]:
    async with aclosing(source(a_stream(f"own/mine.py:{name}"), caller).generate()) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event for event in events if isinstance(event, str))


async def test_a_function_in_a_file(caller: Caller) -> None:
    events = await called(caller, "yields")
    assert text_of(events) == "id1 name Why? Be brief. m\n😀\u2028beside"
    assert Reasoning("hm") in events
    assert Usage({"tokens": 3}) in events
    assert Note("note") in events
    assert "".join(event.text for event in events if isinstance(event, Stderr)) == "imported\nto stderr\n"


async def test_a_named_function_that_appends_in_the_callers_place(caller: Caller) -> None:
    expected = "a" * 100_000 + "100000 " + caller.directory + " own "
    assert text_of(await called(caller, "named")) == expected
    assert text_of(await called(caller, "appends")) == expected


@pytest.mark.usefixtures("caller")
async def test_without_ptstream_on_its_path_it_still_finds_it(tmp_path: Path) -> None:
    bare = Caller(str(tmp_path), {"PATH": os.environ["PATH"], "OWN": ""}, python=sys.executable)
    assert text_of(await called(bare, "yields"))


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("fails", "before", r"own/mine.py:fails: ValueError: boom \(mine.py, line 25\)"),
        ("leaves", "before", "own/mine.py:leaves: .*exit code 3"),
        ("leaves_well", "before", "leaves_well: left its process before its end"),
        ("dies", "before", "SIGKILL"),
        ("missing", "", r"has no function missing; write own/mine.py:NAME \(there is named, yields, appends, fails"),
    ],
)
async def test_how_it_may_fail(caller: Caller, name: str, text: str, cause: str) -> None:
    seen: list[Event] = []
    with pytest.raises(GeneratorError, match=cause):
        async with aclosing(source(a_stream(f"own/mine.py:{name}"), caller).generate()) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - what came before the error is wanted
    assert text_of(seen) == text
    notes = "".join(event.text for event in seen if isinstance(event, Stderr))
    assert ("Traceback" in notes) == (name == "fails")


async def test_an_entry_point_that_is_not_there(caller: Caller) -> None:
    with pytest.raises(GeneratorError, match="no generator is called nobody; installed: "):
        async for _ in source(a_stream("nobody"), caller).generate():
            pass


async def test_an_entry_point(caller: Caller, tmp_path: Path) -> None:
    info = tmp_path / "installed" / "mine-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[ptstream.generators]\nmine = mine:yields\n", encoding="utf-8")
    path = os.pathsep.join([ROOT, str(tmp_path / "installed"), str(tmp_path / "own")])
    other = Caller(caller.directory, {**caller.environment, "PYTHONPATH": path}, python=sys.executable)
    async with aclosing(source(a_stream("mine"), other).generate()) as events:
        assert text_of([event async for event in events]).startswith("id1 name Why?")


def test_a_file_that_is_not_there_is_seen_at_once(caller: Caller) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file nowhere\.py in "):
        source(a_stream("nowhere.py:x"), caller)


async def test_leaving_ends_its_process(caller: Caller) -> None:
    async with aclosing(source(a_stream("own/mine.py:waits"), caller).generate()) as events:
        async for event in events:
            if isinstance(event, str):
                pid = int(event)
                break
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_frames_may_be_cut_anywhere() -> None:
    data = b'{"text": "a"}\n{"text": "\\ud83d\\ude00"}\n{"note": "b"}\n{"end": true}\n'
    frames = Frames()
    events = [event for byte in data for event in frames.feed(bytes([byte]))]
    assert events == ["a", "😀", Note("b")]
    assert frames.ended


def test_its_process_loads_neither_an_event_loop_of_ours_nor_http() -> None:
    """It starts for every stream, perhaps in an interpreter that has none of our dependencies."""
    code = (
        "import sys; import ptstream.generators.function.function_process\n"
        "assert not {'anyio', 'httpx', 'sqlite3', 'starlette', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
