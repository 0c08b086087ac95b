"""Answers of providers, whatever they hold: through the decoder that every answer goes through, some of them driven.

However a body is cut, it says the same; what came whole is never lost; there is one end, and it is true.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, NamedTuple

import httpx
from hypothesis import strategies as st

import ptstream
from ptstream.errors import GeneratorError, StreamFailed
from ptstream.generators import Note, Reasoning, Usage
from ptstream.generators.openai.answer_reader import answer_in
from ptstream.generators.openai.chat_completion import chat
from ptstream.generators.openai.chat_options import ChatOptions
from ptstream.generators.openai.upstream import Upstream
from ptstream.generators.surrogates import mend
from ptstream.streams import Stream
from tests.endpoint import serve
from tests.faults.fuzz.grammar import CUTS, broken, one_of, pieces
from tests.faults.fuzz.growth import Pumped, grows_evenly
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.ground import Ground, ground
from tests.faults.runs import Run
from tests.faults.tally import Tally

UPSTREAM = Upstream("http://somewhere.example/v1", key="sk-nobody-else-sees-this")

MEMORY = 64
"""How many times as long as a body what it says may be."""

TEXTS = st.text(max_size=6) | st.sampled_from(
    ("w1 ", "é", "あ", "\ud83d", "\ude00", "\r\n", "data: ", "\u2028", "[DONE]", "null")
)

LINE_ENDS = st.sampled_from(("\n", "\r\n", "\r"))

ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, 0, -1, 1.5, "", "x", "stop", "length", "content_filter", "error", [], {}, [{}], [None], {"a": 1}, [[]])
)


def delta(content: str, finish: Any = None, **more: Any) -> dict[str, Any]:
    """An object that says something."""
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}]}


DELTAS = TEXTS.map(delta)

FINISHES = st.sampled_from(("stop", "length", "content_filter", "error", "tool_calls", "what", "", None, 0, True))

OTHERS = st.one_of(
    st.builds(lambda text, name: delta("", **{name: text}), TEXTS, st.sampled_from(("reasoning_content", "refusal"))),
    st.builds(delta, TEXTS, FINISHES),
    st.builds(lambda value: {"choices": value}, ODD_VALUES),
    st.builds(
        lambda name, value: {"choices": [{"index": 0, name: value}]},
        st.sampled_from(("delta", "message", "text", "index", "finish_reason")),
        ODD_VALUES,
    ),
    st.builds(
        lambda name, value: {"choices": [{"delta": {name: value}}]},
        st.sampled_from(("content", "reasoning", "tool_calls", "function_call", "refusal")),
        ODD_VALUES,
    ),
    st.builds(
        lambda name, value: {name: value},
        st.sampled_from(
            (*("usage", "error", "message", "object", "type", "base_resp", "promptFeedback", "errors", "done"),)
        ),
        ODD_VALUES,
    ),
    st.builds(lambda text: {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}, TEXTS),
    st.builds(lambda text: {"message": {"content": text}, "done": False}, TEXTS),
)
"""What providers also send, and what none should."""


def framed(item: dict[str, Any], end: str, ascii: bool) -> bytes:
    """As one event."""
    return f"data: {json.dumps(item, ensure_ascii=ascii)}{end}{end}".encode("utf-8", "replace")


EVENTS = st.builds(framed, DELTAS | OTHERS, LINE_ENDS, st.booleans())

BESIDE = one_of(
    (
        *(
            b": ping\n\n",
            b"event: ping\ndata: x\n\n",
            b"event: error\ndata: no\n\n",
            b"id: 1\nretry: 2\n",
            b"data: [DONE]\n\n",
        ),
        *(
            b"data: {\n",
            b'data: "x":1}\n\n',
            b"data:\n\n",
            b"error: {}\n\n",
            b"data: null\n\n",
            b"<html><title>t</title>",
            b"no\n",
        ),
        *(b'{"choices":[]}\n', b"[", b"]", b"{}", b"data: [1]\n\n", b"data: " + b"[" * 3000, b"\n", b"data: NaN\n\n"),
        *(b'data: {"usage":{"a":NaN}}\n\n', b'data: {"a":' + b"9" * 5000 + b"}\n\n", b'data: {"a":' * 2000),
    )
)

RIGHT = st.lists(st.tuples(TEXTS, LINE_ENDS, st.booleans()), min_size=1, max_size=6)
"""Texts that come as events, in order."""

BODIES = broken(st.lists(EVENTS | BESIDE, max_size=8).map(b"".join))


class Said(NamedTuple):
    """All that a body says."""

    text: str
    reasoning: str
    notes: tuple[str, ...]
    usage: str
    fault: str | None
    """Why it did not end well."""


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    with run.case(tally, -1) as chance, ground(chance) as here, asyncio.Runner() as runner:
        says = Listening(runner)
        looks: list[Look[Any]] = [
            Look(st.tuples(BODIES, CUTS), lambda made: says.same(*made)),
            Look(st.tuples(RIGHT, BODIES, CUTS), lambda made: says.loses_nothing(*made)),
            Look(st.tuples(RIGHT, st.integers(0, 4096)), lambda made: says.truth(*made)),
            Look(
                st.builds(Pumped, st.just(b""), EVENTS | BESIDE | st.sampled_from(PUMPED), EVENTS | BESIDE),
                says.grows,
                5,
            ),
            Look(st.tuples(RIGHT, BODIES), lambda made: says.driven(here, *made), 5),
        ]
        search(run, tally, looks)


PUMPED = (
    b"x",
    b"[",
    b"{",
    b'{"a":',
    b"[],",
    b"data: x\n",
    b"data: {\n",
    b"{\n",
    b"<",
    b"<a ",
    b"\r",
    b"\n",
    b":",
    b"x\n",
    b"<script>",
    b"event: x\n",
    b"\\",
)


class Listening:
    """Bodies, as the decoder hears them."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def hear(self, parts: Sequence[bytes]) -> Said:
        """What they say."""
        return self._runner.run(_heard(parts))

    def same(self, body: bytes, cuts: Sequence[int] | None) -> None:
        """Cut anywhere; and never more than it may hold."""
        whole, cut = self.hear([body]), self.hear(pieces(body, cuts))
        if whole != cut:
            raise Wrong("cut elsewhere it says something else", f"{whole} but {cut}")
        if sum(len(repr(part)) for part in whole) > MEMORY * len(body) + 10_000:
            raise Wrong("it says more than it holds", len(repr(whole)))
        if UPSTREAM.key and UPSTREAM.key in repr(whole):
            raise Wrong("it says the key", whole)

    def loses_nothing(self, right: Sequence[tuple[str, str, bool]], more: bytes, cuts: Sequence[int] | None) -> None:
        """Whatever comes behind right events, their text is there."""
        said = self.hear(pieces(_events(right) + more, cuts))
        if not said.text.startswith(expected := _text(right)):
            raise Wrong("text is lost", f"{said} instead of {expected!r}")

    def truth(self, right: Sequence[tuple[str, str, bool]], at: int) -> None:
        """Whole it ends well; cut off before it says that it ends, it does not."""
        events = _events(right)
        whole = self.hear([events + framed(delta("", "stop"), "\n", True) + b"data: [DONE]\n\n"])
        if whole.fault is not None or whole.text != mend("".join(text for text, *_ in right)):
            raise Wrong("a good answer ends badly", whole)
        cut = self.hear([events[: at % (len(events) + 1)]])
        if cut.fault is None:
            raise Wrong("half an answer is taken for a whole one", cut)

    def grows(self, pumped: Pumped[bytes]) -> None:
        """In one piece, and in many."""
        grows_evenly(pumped, lambda body: self.hear([body]))
        grows_evenly(pumped, lambda body: self.hear(pieces(body, range(0, len(body), 61))))

    def driven(self, here: Ground, right: Sequence[tuple[str, str, bool]], more: bytes) -> None:
        """What is kept is what was said, with the same end."""
        self._runner.run(_driven(here, _events(right) + more))


def _events(right: Sequence[tuple[str, str, bool]]) -> bytes:
    return b"".join(framed(delta(text), end, True) for text, end, _ in right)


def _text(right: Sequence[tuple[str, str, bool]]) -> str:
    """What surely is there of the texts: the last half of an emoji may find another half."""
    text = "".join(text for text, *_ in right)
    return mend(text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text)


async def _heard(parts: Sequence[bytes]) -> Said:
    async def runs() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return await _said(answer_in(httpx.Response(200, content=runs()), UPSTREAM, None))


async def _said(events: Any) -> Said:
    text, reasoning, usage = "", "", ""
    notes: list[str] = []
    fault = None
    try:
        async with aclosing(events):
            async for event in events:
                match event:
                    case Note():
                        notes.append(event.text)
                    case Reasoning():
                        reasoning += event.text
                    case Usage():
                        usage = repr(event)
                    case str():
                        text += event
    except GeneratorError as error:
        fault = f"{type(error).__name__}: {error}"
    return Said(text, reasoning, tuple(notes), usage, fault)


async def _driven(here: Ground, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body
    messages = [{"role": "user", "content": "x"}]
    async with serve() as server, ptstream.open(here.home.path) as pts:
        server.scripts["made-up"] = answer
        ask = partial(chat, Upstream(server.base_url), "made-up", messages, options=ChatOptions(tries=1))

        async def generate(stream: Stream) -> AsyncIterator[Any]:
            async with aclosing(ask()) as events:
                async for event in events:
                    yield event

        asked = await _said(ask())
        id = await pts.create("x")
        with suppress(StreamFailed):
            async for _ in pts.drive(id, generate):
                pass
        stream = await pts.stream(id)
        kept = (await pts.body(id)).text
    if stream.status.value != ("error" if asked.fault else "done"):
        raise Wrong("a stream has another end", f"{stream} but {asked}")
    if kept != asked.text:
        raise Wrong("a stream keeps something else", f"{kept!r} but {asked}")
