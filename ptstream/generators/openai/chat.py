"""Any OpenAI-compatible endpoint: its chat completions as a generator, and the names of its models.

What is asked, what of it is left out where it is not understood, how long a busy endpoint is waited for, and how an
answer is read to its end. What a refusal means is `refusals`' business, what an answer says is `answer`'s.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from ptstream import strict_json
from ptstream.errors import GeneratorDropped, GeneratorError
from ptstream.generators import Generation, Note, Quiet
from ptstream.generators.openai.answer import Answer, Fault, NoAnswer
from ptstream.generators.openai.connection import client_for, get_json, send
from ptstream.generators.openai.event_stream import Body, Incomplete, Item, Malformed, Trailing, WebPage
from ptstream.generators.openai.refusals import Refused, shorten
from ptstream.generators.openai.upstream import COMPLETIONS, Upstream
from ptstream.strict_json import TooComplex
from ptstream.turns import Turns

TRIES = 3
"""How often an endpoint is asked, in all."""

FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is four times as long, unless the endpoint names one."""

LONGEST_WAIT = 120.0
"""Seconds: an endpoint that wants to be left alone for longer has refused."""

LOADING_WAIT = 2.0
"""Seconds between two questions to a server that loads its model, which it does within LONGEST_WAIT or not at all."""

AFTERWARDS = 30.0
"""Seconds that may pass after a finish reason until more is said: usage, another choice, or text after all."""

AFTER_ALL = 2.0
"""Seconds that are waited for the end of a connection when the endpoint has said that this was all."""

WHOLE_TIME = 600.0
"""Seconds that an answer in one piece may take, as long as OpenAI's clients wait by themselves."""

AT_ONCE = 16 * 1024 * 1024
"""Bytes that an endpoint may send without saying anything: who sends more means no good."""

SLICE = 4096
"""Bytes of a body that are read before others have their turn."""

JSON = "application/json"

STREAM, STREAM_OPTIONS = "stream", "stream_options"

OUR_OWN = {STREAM_OPTIONS: re.compile(r"stream_options|include_usage"), STREAM: re.compile(r"\bstream", re.IGNORECASE)}
"""The fields of a request that nobody asked for, and by what a refusal names them."""

UNFIT = (400, 403, 404, 405, 406, 409, 415, 422, 501)
"""The statuses of a refusal that may be for a field of the request, also for one that it does not name in full."""

NOT_FOR_A_FIELD = (0, 401, 407, 429)
"""Those of refusals that never are."""

UNKNOWN_FIELD = re.compile(
    r"(unknown|unrecogni[sz]ed|unexpected|unsupported|additional|extra)\W+(\w+\W+){0,3}?"
    r"(field|parameter|argument|propert|key|option|input)|extra_forbidden|additionalProperties",
    re.IGNORECASE,
)
"""What a refusal says for a field that it does not name."""

PARAMETER = re.compile(r'"param": *"')
"""Where a refusal names the one that it is for."""

Message = Mapping[str, str]
"""One turn of a conversation: `role` (system, user, assistant) and `content`."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an endpoint wants to be asked, as far as that is known beforehand."""

    stream: bool = True
    stream_options: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request (temperature, max_tokens)."""
    tries: int = TRIES
    longest_wait: float = LONGEST_WAIT
    """Seconds that it may want to be left alone for."""
    silence: float | None = None
    """Seconds of silence after which whoever drives gives up; None: never."""


class Learned:
    """What endpoints were found not to understand, for as long as it is remembered: fields that are left out."""

    def __init__(self) -> None:
        self._refused: set[tuple[str, str, str]] = set()

    def refuse(self, upstream: Upstream, model: str, name: str) -> None:
        """Leave the field out from now on."""
        self._refused.add(self._key(upstream, model, name))

    def refused(self, upstream: Upstream, model: str, name: str) -> bool:
        """Whether the field is left out."""
        return self._key(upstream, model, name) in self._refused

    def _key(self, upstream: Upstream, model: str, name: str) -> tuple[str, str, str]:
        # Options are a server's to know; which of its models may be streamed differs.
        return upstream.base_url, model if name == STREAM else "", name


async def chat(
    upstream: Upstream,
    model: str,
    messages: Sequence[Message],
    *,
    options: Mapping[str, Any] | None = None,
    manner: Manner = Manner(),
    learned: Learned | None = None,
    sleep: Sleep = anyio.sleep,
) -> Generation:
    """The answer of `model` to `messages`, piece by piece.

    `options` are further fields of the request that suit the model. An endpoint that is busy or not there yet is asked
    again, before its first word only; what it does not understand is left out, and that is `learned`. Raises
    GeneratorError when it refuses, breaks off, or says something that is not an answer; ConfigurationError for an
    address or a key that is none.
    """
    asking = _Asking(upstream, model, messages, {**(options or {}), **manner.body}, manner, learned or Learned())
    async with client_for(upstream) as client:
        while True:
            begun = False
            try:
                request, streamed = asking.request(client)
                if not streamed:  # it is silent until it is whole
                    yield Quiet(max(0.0, WHOLE_TIME - (manner.silence or WHOLE_TIME)))
                response = await send(client, request, upstream)
                asking.was_understood()
                async with aclosing(response), aclosing(_answer_in(response, upstream, manner.silence)) as events:
                    async for event in events:
                        begun = begun or event != ""
                        yield event
                return
            except Refused as refusal:
                again = asking.again(refusal)
            except GeneratorDropped as dropped:  # before its first word it is as good as refused
                if begun:
                    raise
                again = asking.again(Refused(str(dropped), again=True))
            except Fault as fault:
                if begun or not asking.mends(fault):
                    raise
                again = 0.0, None
            wait, note = again
            if note:
                yield Note(note)
            yield Quiet(wait + 1)
            await sleep(wait)
            yield ""  # the time for a first word begins anew


class _Asking:
    """One question, and how often and in which form it has been asked."""

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        messages: Sequence[Message],
        body: Mapping[str, Any],
        manner: Manner,
        learned: Learned,
    ) -> None:
        self._upstream = upstream
        self._model = model
        self._body = {"model": model, "messages": messages, **body}
        self._manner = manner
        self._learned = learned
        self._tries = 1
        self._left_out: set[str] = set()
        self._loading_since: float | None = None

    def request(self, client: httpx.AsyncClient) -> tuple[httpx.Request, bool]:
        """The request in the form that is understood, and whether it asks for a stream."""
        own: dict[str, Any] = {STREAM: True} if self._sends(STREAM) else {}
        if self._sends(STREAM_OPTIONS):
            own[STREAM_OPTIONS] = {"include_usage": True}
        # What is not ASCII is escaped, so that half an emoji in a prompt does not fail to encode.
        content = strict_json.dumps({**self._body, **own}).encode("ascii")
        url = self._upstream.url(COMPLETIONS)
        return client.build_request("POST", url, content=content, headers={"Content-Type": JSON}), STREAM in own

    def _sends(self, name: str) -> bool:
        if name == STREAM_OPTIONS and not (self._manner.stream_options and self._sends(STREAM)):
            return False
        left_out = name in self._left_out or self._learned.refused(self._upstream, self._model, name)
        return self._manner.stream and not left_out

    def was_understood(self) -> None:
        """It is answered: what was left out for that is remembered."""
        for name in self._left_out:
            self._learned.refuse(self._upstream, self._model, name)

    def mends(self, fault: Fault) -> bool:
        """Whether an error is for a field of our own, which is left out from now on."""
        name = self._not_understood(Refused(str(fault), status=UNFIT[0], body=str(fault)))
        self._left_out |= {name} if name else set()
        return name is not None

    def again(self, refusal: Refused) -> tuple[float, str | None]:
        """How long to wait before asking again, and what to say meanwhile. Raises `refusal` where it is final."""
        if name := self._not_understood(refusal):
            self._left_out.add(name)
            return 0.0, None
        if refusal.loading:
            return self._while_loading(refusal)
        wait = FIRST_WAIT * 4 ** (self._tries - 1) if refusal.wait is None else refusal.wait
        if refusal.again and wait > self._manner.longest_wait:
            raise Refused(
                f"{refusal}; it wants to be left alone for {wait:g} s, longer than longest_wait"
                f" ({self._manner.longest_wait:g} s)"
            ) from refusal
        if not refusal.again or self._tries >= self._manner.tries:
            raise refusal
        self._tries += 1
        return wait, f"{refusal}; asking again in {wait:g} s"

    def _while_loading(self, refusal: Refused) -> tuple[float, str | None]:
        """A server that loads its model is asked until it has."""
        now, note = anyio.current_time(), None
        if self._loading_since is None:
            self._loading_since, note = now, f"{refusal}; waiting until it has"
        wait = min(max(refusal.wait or LOADING_WAIT, 0.05), 10 * LOADING_WAIT)
        if now + wait - self._loading_since > self._manner.longest_wait:
            raise refusal
        return wait, note

    def _not_understood(self, refusal: Refused) -> str | None:
        """The field of our own for which it refuses, if it is one."""
        if refusal.status in NOT_FOR_A_FIELD:
            return None
        sent = list(filter(self._sends, OUR_OWN))
        named = next((name for name in sent if OUR_OWN[name].search(refusal.body)), None)
        if refusal.status not in UNFIT:
            return named if named == STREAM_OPTIONS else None
        another = PARAMETER.search(refusal.body)  # it is for that one, then
        unnamed = STREAM_OPTIONS in sent and not another and UNKNOWN_FIELD.search(refusal.body)
        return named or (STREAM_OPTIONS if unnamed else None)


async def models(upstream: Upstream) -> list[Mapping[str, Any]]:
    """What the endpoint says of each of its models, in its own order, each with an `id`. Raises GeneratorError."""
    table = await get_json(upstream, upstream.url("models"))
    rows = (table.get("data") or table.get("models") or ()) if isinstance(table, dict) else table
    try:
        return [{**row, "id": str(row.get("id") or row.get("name") or row["model"])} for row in rows]
    except (TypeError, KeyError, AttributeError) as error:
        raise GeneratorError(f"{upstream.host} does not say which models it has") from error


async def _answer_in(response: httpx.Response, upstream: Upstream, silence: float | None) -> Generation:
    answer = Answer(upstream)
    items = items_of(response.aiter_bytes(), Body(), answer, upstream)
    async with aclosing(events_of(items, answer, local=upstream.local, silence=silence)) as events:
        async for event in events:
            yield event


async def events_of(
    items: AsyncGenerator[Item, None], answer: Answer, *, local: bool = False, silence: float | None = None
) -> Generation:
    """What the items of an answer say, to their end: when they have been proven whole, only for a while more.

    An empty piece is a sign of life; for an endpoint that is `local`, on this machine, a comment is one, too: it reads
    the prompt. `silence` is how many seconds of it whoever drives bears. Raises GeneratorError.
    """
    fault: GeneratorDropped | None = None
    async with aclosing(items):
        try:
            while (item := await _next(items, _patience(answer, silence))) is not None:
                beat = local or isinstance(item, Mapping)
                for event in answer.read(item):
                    beat = False
                    yield event
                if beat:
                    yield ""
        except GeneratorDropped as error:
            fault = error
        except NoAnswer:
            if not answer.proven:  # else it is over, whatever comes behind it
                raise
    try:
        for event in answer.end(in_order=fault is None):
            yield event
    except GeneratorDropped:
        if fault is None:
            raise
        raise fault from fault.__cause__


def _patience(answer: Answer, silence: float | None) -> float | None:
    """Seconds that the next item is waited for: for what is not over, whoever drives waits."""
    if not answer.proven:
        return None
    # Less than whoever drives, so that a good end is not taken for silence.
    return min(AFTER_ALL if answer.closed else AFTERWARDS, (silence or AFTERWARDS) / 2)


async def _next(items: AsyncGenerator[Item, None], patience: float | None) -> Item | None:
    """The next item; None at their end, or when none comes for so long."""
    with anyio.move_on_after(patience):
        return await anext(items, None)
    return None


async def items_of(
    runs: AsyncIterable[bytes], body: Body, answer: Answer, upstream: Upstream
) -> AsyncGenerator[Item, None]:
    """The items of a body that comes in runs, which `answer` reads.

    Raises GeneratorDropped for one that breaks off, GeneratorError for one that is no answer.
    """
    host, size, said, turns = upstream.host, 0, answer.said, Turns()
    try:
        async for part in _slices(runs):
            size = size + len(part) if said == answer.said else len(part)
            said = answer.said
            for item in body.feed(part):
                yield item
            if size > AT_ONCE:
                raise GeneratorError(f"{host} sends without end what is no part of an answer")
            await turns.give()
        for item in body.end():
            yield item
    except httpx.HTTPError as error:
        for item in _rest(body):
            yield item
        reason = upstream.redact(str(error)) or "the connection was lost"
        raise GeneratorDropped(f"{host} broke off before the answer's end: {reason}") from error
    except TooComplex as error:
        raise NoAnswer(f"{host} sent {error} at once: that is no part of an answer") from error
    except Incomplete as error:
        raise GeneratorDropped(f"{host} broke off before the answer's end: in the middle of an event") from error
    except WebPage as error:
        page = f" ({shorten(upstream.redact(str(error)))})" if str(error) else ""
        raise GeneratorError(
            f"{host} answered with a web page instead of an answer{page}: perhaps it wants a login, or base_url is not"
            " where it is asked"
        ) from error
    except Trailing as error:
        words = shorten(upstream.redact(str(error)))
        raise GeneratorDropped(f"{host} broke off before the answer's end: {words}") from error
    except Malformed as error:
        begin = shorten(upstream.redact(str(error)))[:80]
        raise NoAnswer(f"{host} sent something that is not part of an answer: {begin!r}") from error


async def _slices(runs: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    async for run in runs:
        for begin in range(0, len(run), SLICE):
            yield run[begin : begin + SLICE]


def _rest(body: Body) -> Iterator[Item]:
    """What a body that broke off has said in its last line."""
    try:
        yield from body.end()
    except ValueError:
        return
