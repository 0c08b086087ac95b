"""OpenAI's way of asking: a client of theirs that has `/v1` as its base URL asks the configured model, unchanged.

The exchange with the provider is the generator of an ordinary stream, so that it outlives the client's request and can
be followed, cancelled and read as any other. The provider's bytes go to the client as they came, but for our key; what
goes wrong here is reported in OpenAI's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ptstream import wire
from ptstream.config import Settings, load
from ptstream.daemon.callers import only_models, own_caller
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.keys import SHORTEST_TOKEN
from ptstream.daemon.schemas import Completion
from ptstream.daemon.spooled_buffer import SpooledBuffer
from ptstream.drive import Drive
from ptstream.errors import (
    ENDS,
    DaemonStopping,
    GeneratorError,
    GeneratorTimeout,
    ModelNotFound,
    PtstreamError,
    StreamCancelled,
    StreamFailed,
    UsageError,
)
from ptstream.generators import Source
from ptstream.generators.llamacpp.gguf import PREFIX as GGUF
from ptstream.generators.models.discovery import discover
from ptstream.generators.models.endpoints import Endpoints
from ptstream.generators.models.target import ModelTarget, find
from ptstream.generators.openai.endpoint_timeouts import WHOLE_ANSWER
from ptstream.generators.openai.passthrough import pass_through
from ptstream.generators.openai.redaction import Redaction
from ptstream.generators.surrogates import mend
from ptstream.http.json_response import MEDIA_TYPE, UNSTORED, json_response
from ptstream.http.request_body import converted, json_body
from ptstream.outcome import Outcome
from ptstream.streams import MODEL_OPTIONS, Flush, GenerationRequest, Status, Stream

STALLED = 3600.0
"""Seconds after which a client is given up that takes nothing of its answer: it cannot ask for the rest of it again, so
it is waited for longer than others, but not for ever."""

DEFAULT = "default"
"""The name of the model that is asked when none is named: OpenAI's clients must name one."""


async def complete(daemon: Daemon, request: Request) -> Response:
    """The provider's answer, kept as a stream on its way."""
    try:
        return await _complete(daemon, request)
    except PtstreamError as error:
        return _refusal(error)


async def list_models(daemon: Daemon, _: Request) -> Response:
    """What can be asked, as OpenAI lists it, the default first."""
    try:
        return json_response({"object": "list", "data": await _models(daemon)})
    except PtstreamError as error:
        return _refusal(error)


async def show_model(daemon: Daemon, request: Request) -> Response:
    """One of them."""
    name = request.path_params["model"]
    try:
        for number, model in enumerate(await _models(daemon)):
            if name == model["id"] or (name == DEFAULT and number == 0):
                return json_response(model)
        raise ModelNotFound(f"no model is called {name} here: see {wire.COMPLETION_MODELS}")
    except PtstreamError as error:
        return _refusal(error)


async def _models(daemon: Daemon) -> list[dict[str, Any]]:
    """The models that can be asked, the default first. A file is not named to who may not know of it."""
    home = daemon.home
    found = await discover(own_caller(home), load(home), home)
    able = [each for each in found if not each.problem and not each.name.startswith(GGUF)]
    return [{"id": each.name, "object": "model", "created": 0, "owned_by": each.place or "?"} for each in able]


async def _complete(daemon: Daemon, request: Request) -> Response:
    body = await json_body(request)
    converted(body, Completion)  # nulls and all are the provider's
    if daemon.stop.is_set():
        raise DaemonStopping("the daemon is stopping")
    home = daemon.home
    settings = load(home)
    _check_own_key(request, body)
    generation = _words(body)
    only_models(generation)
    name = None if generation.model == DEFAULT else generation.model
    target = await find(name, Endpoints(own_caller(home), settings, home), daemon.local)
    stream = await daemon.engine.create(generation)
    passage = _Passage(SpooledBuffer(home.path, daemon.spool_quota))
    attempt = await daemon.start(stream.id, _source(target, body, passage, settings), settings)
    return await passage.answer(stream, attempt)


def _check_own_key(request: Request, body: Mapping[str, Any]) -> None:
    """Raises UsageError for a request that has the daemon's token in its body, too: that goes to the provider."""
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    if len(key) < SHORTEST_TOKEN:  # any word that a client was given where no token is asked for
        return
    redaction = Redaction([key])
    fields = [name for name, value in body.items() if name != "messages" and redaction.within(value) != value]
    if fields:
        raise UsageError(
            f"the field {fields[0]!r} of the request has the daemon's token, and would go to the provider: leave it out"
        )


def _source(target: ModelTarget, body: Mapping[str, Any], passage: _Passage, settings: Settings) -> Source:
    content = wire.dumps({**target.body, **body, "model": target.model})
    # An answer in one piece is silent until it is whole: how long that may be, no driver's limits know.
    whole = body.get("stream") is not True
    first = (target.limits or settings.limits).first
    timeout = max(WHOLE_ANSWER, first) if whole and first else None
    return Source(
        model=target.model,
        place=target.place,
        flush=Flush.SENTENCES,
        generate=lambda: pass_through(target, content, passage, timeout=timeout),
        silence_is_normal=whole,
        limits=target.limits,
    )


def _words(body: Mapping[str, Any]) -> GenerationRequest:
    """What the stream was asked, as far as it is text: the last question, and the instructions before it."""
    given = body.get("messages")
    messages = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    asked = [_text(each) for each in messages if each.get("role") == "user"]
    system = [_text(each) for each in messages if each.get("role") in ("system", "developer")]
    return GenerationRequest(
        prompt=asked[-1] or None if asked else None,
        system="\n\n".join(filter(None, system)) or None,
        model=body.get("model") or DEFAULT,
        # Not what the answer is made for (`tools`, `response_format`), or what is known of the client (`user`).
        options={name: body[name] for name in MODEL_OPTIONS if body.get(name) is not None} or None,
    )


def _text(message: Mapping[str, Any]) -> str:
    """The text of a message, which may be one among several parts of it."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return mend("\n".join(text for text in texts if isinstance(text, str)))


class _Passage:
    """From a relay to the client: the head of the answer, and the bytes that wait."""

    def __init__(self, buffer: SpooledBuffer) -> None:
        self._buffer = buffer
        self._head: tuple[int, dict[str, str]] | None = None
        self._begun = anyio.Event()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """See `ResponseSink`."""
        self._head = status, dict(headers)
        self._begun.set()

    def put(self, data: bytes) -> None:
        """See `ResponseSink`."""
        self._buffer.put(data)

    def end(self) -> None:
        """See `ResponseSink`."""
        self._buffer.end()

    def close(self) -> None:
        """See `ResponseSink`."""
        self._buffer.end(StreamFailed("an answer to a client, whose stream has ended before it"))

    async def answer(self, stream: Stream, attempt: Drive) -> Response:
        """The answer to the client, once it has begun, or cannot begin any more."""
        try:
            async with anyio.create_task_group() as tasks:
                for event in (self._begun, attempt.ended):
                    tasks.start_soon(_wait, event, tasks.cancel_scope)
        except BaseException:
            self._buffer.leave()
            raise
        named = {"stream-id": stream.id}
        if self._head is None:
            assert attempt.end is not None
            return _refusal(_error(attempt.end), named)
        status, headers = self._head
        return RelayedResponse(self._buffer, status, UNSTORED | headers | named)


class RelayedResponse(StreamingResponse):
    """What has come and what comes. Nothing waits for a client that is gone, or takes nothing."""

    def __init__(self, buffer: SpooledBuffer, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(buffer.runs(), status, headers)
        self._buffer = buffer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def timely(message: Message) -> None:
            try:
                with anyio.fail_after(STALLED):
                    await send(message)
            except TimeoutError as error:
                raise StreamFailed(f"a client took nothing of its answer for {STALLED:g} s") from error

        try:
            await super().__call__(scope, receive, timely)
        finally:
            self._buffer.leave()


async def _wait(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _error(end: Outcome) -> PtstreamError:
    """Why there is no answer."""
    if isinstance(end.exception, PtstreamError):
        return end.exception
    kinds = {Status.ERROR: GeneratorError, Status.TIMEOUT: GeneratorTimeout}
    return kinds.get(end.status, ENDS.get(end.status, StreamFailed))(end.cause or f"the stream is {end.status}")


def _refusal(error: PtstreamError, headers: Mapping[str, str] | None = None) -> Response:
    """What stands in the way, in the form of OpenAI's errors."""
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    fields = {"message": str(error), "type": kind, "param": None, "code": error.code}
    # Their clients ask again for what failed, and what somebody cancelled has not.
    final = {"x-should-retry": "false"} if isinstance(error, StreamCancelled) else {}
    headers = UNSTORED | dict(headers or {}) | final
    return Response(wire.dumps({"error": fields}), error.http_status, headers, media_type=MEDIA_TYPE)
