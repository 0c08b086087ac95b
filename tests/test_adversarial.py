"""Text of strangers that makes the work grow with the square of its size, or worse: each of ours grows with its size.

Each is long enough that the square of it would be minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from starlette.responses import StreamingResponse

from ptstream.cli.control_sequences import Filter, clean
from ptstream.cli.markdown import Rendered
from ptstream.conversation import without_thoughts
from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.generators.openai.error_text import message_in
from ptstream.generators.openai.event_stream import EventStream
from ptstream.generators.openai.finish_reason import finish_of
from ptstream.generators.openai.refusals import MESSAGE_BYTES
from ptstream.generators.openai.request import UNKNOWN_FIELD
from ptstream.generators.openai.retry_after import _wait_in
from ptstream.generators.openai.web_page import PAGE_CHARACTERS, page_words
from ptstream.generators.surrogates import Surrogates, mend
from ptstream.http.durable_streams import Live, ReadParameters
from ptstream.http.read_response import EVENT_SIZE, read_response
from ptstream.http.stream_reader import StreamReader
from ptstream.origins import is_loopback, origin_of
from ptstream.sentences import Cutter
from ptstream.streams import Flush
from ptstream.text_search import folded
from tests.bounded import processor_seconds
from tests.conftest import Cli

LONG = 100_000
"""Characters."""

LISTS = 2_000
"""The same, of Markdown: each item is laid out, which takes most of a millisecond. Its square would be minutes."""


def long(unit: str, size: int = LONG) -> str:
    return (unit * size)[:size]


def filtered(text: str) -> None:
    """In pieces: as a whole, `clean` has it."""
    pieces = Filter()
    for begin in range(0, len(text), 7):
        pieces.feed(text[begin : begin + 7])


def laid_out(text: str) -> None:
    shown = Rendered(lambda: (80, 24), time.process_time)
    shown.feed(text)
    shown.end()


def framed(text: str) -> None:
    try:
        body = EventStream()
        list(body.feed(text.encode("utf-8", "replace")))
        list(body.end())
    except ValueError:
        pass


ESCAPES = ["\x1b]", "\x1b[", "\x1b[1", "\x9d", "\x1bPq", "\x1b", "\r", "\x9b0;", "\x1b]8;;"]
PAGES = ["<title", "<script", "<style>", "<", "<a ", "</script", "<TITLE x", "<title>"]
THOUGHTS = ["<think>", "</think>", "\n<think> ", "\n </think> x", " ", "\n", "[THINK]", "<"]
FAULTS = ["again in 1", "1ms", "retry after: 1.1.1", 'retry_after": ', "unknown ", "extra a.", '\\"', "estimated_time"]
LINES = ["data", "data ", "data: {", "\n", "\r", ":", "event: a\n", "{},", "{", "[", "id", " "]


@pytest.mark.parametrize(
    ("work", "units", "size"),
    [
        (clean, ESCAPES, LONG),
        (filtered, ESCAPES, LONG),
        (
            laid_out,
            ["- a\n", "1. a\n", "*a   - b\n", "> - a\n", "\\(a ", "$a ", "[a ", "| a ", "字。", "a`", "a*"],
            LISTS,
        ),
        (page_words, PAGES, PAGE_CHARACTERS),
        (without_thoughts, THOUGHTS, LONG),
        (_wait_in, FAULTS, MESSAGE_BYTES),
        (UNKNOWN_FIELD.search, FAULTS, MESSAGE_BYTES),
        (message_in, [*PAGES, *FAULTS], MESSAGE_BYTES),
        (framed, LINES, LONG),
        (finish_of, ["a", "A", "aA", "_", "reason_", "stop"], LONG),
        (mend, ["\ud800", "\udc00", "😀"], LONG),
        (Surrogates().feed, ["\ud800", "\udc00", "😀"], LONG),
        (folded, ["İ", "Σ", "ßa", "ſ"], LONG),
        (origin_of, ["a", "a.", ":", "http://", "[", "/"], LONG),
        (is_loopback, ["1.", "a.", ":", "["], LONG),
    ],
)
def test_the_work_grows_with_the_text_alone(work: Callable[[str], object], units: list[str], size: int) -> None:
    with processor_seconds(20):
        for unit in units:
            for text in (long(unit, size), long(unit, size - 1) + "x", "<" + long(unit, size - 1)):
                work(text)


@pytest.mark.parametrize(
    "unit",
    ["J. R. R. ", "a", ".", "\n", "“", "(", "`", ":", "1. ", "- ", "a\u0301", "\u0301", "👨\u200d", "🇩", "。", " "],
)
@pytest.mark.parametrize("rule", Flush)
def test_the_cutter_looks_back_no_further_than_it_must(unit: str, rule: Flush) -> None:
    """A character of a long text costs what one of a short text does: so no step holds the others up for long."""
    cutter, text = Cutter(rule), long(unit, 40_000)
    with processor_seconds(20):
        for begin in range(0, len(text), cutter.at_once):
            cutter.push(text[begin : begin + cutter.at_once], 0.0)
            cutter.take(0.0)
            cutter.deadline()


@pytest.mark.anyio
async def test_events_are_made_in_parts_whatever_they_hold(cli: Cli, store: Store) -> None:
    """A page of line feeds becomes a line of an event each: six bytes for one."""
    size = 200_000
    cli.run("tee", input=b"\n" * size)
    (stream,) = store.streams()
    async with attached(store) as engine:
        reader = await StreamReader.open(engine, stream.id)
        answer = await read_response(reader, ReadParameters(live=Live.EVENTS))
        assert isinstance(answer, StreamingResponse)
        sizes = [len(event) async for event in answer.body_iterator]
    assert sum(sizes) > 6 * size
    assert max(sizes) < 8 * EVENT_SIZE
