"""The routes that everybody has who is let in: create, list, show, drive, cancel, delete, read, search.

On the socket and on TCP alike. Each only asks or reads; a request is cancelled when its client leaves, and nothing but
its own answer ends with it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
import anyio.to_thread
from fastjsonschema import JsonSchemaValueException
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ptstream import cancellation, durable, strict_json, wire
from ptstream.config import load
from ptstream.conversation import going_on
from ptstream.daemon.drives import Daemon
from ptstream.daemon.gate import MAX_BODY
from ptstream.daemon.openapi import MOST, document, parameters, validator
from ptstream.engine.protocol import Engine, Hit
from ptstream.errors import CodedBody, NotAllowed, PtstreamError, TooLarge, UsageError, ungrouped
from ptstream.fields import as_json, title
from ptstream.generators import Caller
from ptstream.generators.llamacpp.gguf import PREFIX as GGUF
from ptstream.generators.models.discovery import discover
from ptstream.generators.models.resolve import check as check_model
from ptstream.generators.models.resolve import doubt
from ptstream.generators.replay import PREFIX
from ptstream.serving import HEADERS, error_response, until_now, wants_events
from ptstream.settings import Home
from ptstream.streams import Flush, Status, Words

USUALLY = 100
"""How many streams, or places that were found, one answer lists unless it is asked for more or fewer."""

LARGE = 256 * 1024
"""Bytes of a request from which on it is read in a thread of its own, so that others have their turn meanwhile."""

SEARCH_TIME = 10.0
"""Seconds that a search may take, its wait for others included."""

Handler = Callable[[Daemon, Request], Awaitable[Response]]


def routes(daemon: Daemon, handlers: Sequence[tuple[str, str, Handler]]) -> list[Route]:
    """Starlette's routes for the handlers, each of which is given the daemon, and of a stream that is meant the id.

    One for each path, whatever its methods: a further one is refused with all that there are.
    """
    table: dict[str, dict[str, Handler]] = {}
    for method, path, handler in handlers:
        table.setdefault(path, {})[method] = handler

    def bound(path: str, methods: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            _check_query(request, parameters(path, method))
            if "id" in request.path_params:  # once: @last is another stream soon
                request.path_params["id"] = (await daemon.engine.find(request.path_params["id"])).id
            return await methods[method](daemon, request)

        return endpoint

    return [
        # A model's name may have slashes of its own.
        Route(path.replace("{model}", "{model:path}"), bound(path, methods), methods=list(methods))
        for path, methods in table.items()
    ]


def _check_query(request: Request, known: frozenset[str] | None) -> None:
    """Raises UsageError: what is misspelled must not be taken for what was left out."""
    if known is not None and (unknown := set(request.query_params) - known):
        raise UsageError(f"there is no parameter {', '.join(map(repr, sorted(unknown)))} here")


def answer(value: Any, code: int = 200) -> Response:
    """JSON."""
    return Response(wire.dumps(value), code, media_type="application/json")


async def refuse(_: Request, error: Exception) -> Response:
    """What stands in the way, as every answer tells it."""
    if isinstance(error, HTTPException):  # Starlette's own: no such route, or not by this method
        told = PtstreamError(error.detail)
        return Response(wire.error_body(told), error.status_code, error.headers, media_type="application/json")
    if isinstance(error, ClientDisconnect):  # nobody hears it, and it is no fault of ours
        error = UsageError("the request broke off")
    assert isinstance(error, PtstreamError)
    return error_response(error)


REFUSALS: dict[Any, Any] = dict.fromkeys((PtstreamError, HTTPException, ClientDisconnect), refuse)


async def body_of(request: Request) -> Any:
    """The request's JSON; an empty body is an empty object. Raises UsageError, CodedBody."""
    if coding := wire.coding_of(request.headers.getlist("content-encoding")):
        raise CodedBody(f"a request is taken as it is, and not compressed ({coding[:40]}): send it without")
    try:
        data = await _whole(request)
        if len(data) > LARGE:
            return await anyio.to_thread.run_sync(strict_json.loads, data)
        return strict_json.loads(data) if data else {}
    except strict_json.TooComplex as error:
        raise UsageError(f"the request holds {error}") from error
    except ValueError as error:
        # Not its `repr`, which may hold all of the body, and keys with it.
        raise UsageError(f"the request is no JSON: {type(error).__name__}: {error}") from error


async def _whole(request: Request) -> bytes:
    """All of the body. Raises TooLarge as soon as it is that, ClientDisconnect."""
    data = bytearray()
    async for run in request.stream():
        data += run
        if len(data) > MAX_BODY:
            raise TooLarge(f"a request may have {MAX_BODY} bytes")
    return bytes(data)


async def asked(request: Request, schema: str) -> dict[str, Any]:
    """The request's JSON, as the schema has it; what is null is left out. Raises UsageError."""
    return fitting(await body_of(request), schema)


def fitting(told: Any, schema: str) -> dict[str, Any]:
    """The same of JSON that was read already."""
    try:
        validator(schema)(told)
    except JsonSchemaValueException as error:
        raise UsageError(f"the request does not fit: {error.message[:200]}") from error
    return {key: value for key, value in told.items() if value is not None}


def id_of(request: Request) -> str:
    """The id of the stream that the path means."""
    id: str = request.path_params["id"]
    return id


def number_of(request: Request, name: str) -> int:
    """A parameter that is a number from 0 on, 0 if it is not given. Raises UsageError."""
    word = request.query_params.get(name, "0")
    if not (word.isascii() and word.isdecimal() and len(word) <= 18):
        raise UsageError(f"{name} is a number from 0 on")
    return int(word)


def count_of(request: Request) -> int:
    """The parameter `limit`. Raises UsageError."""
    word = request.query_params.get("limit", str(USUALLY))
    count = int(word) if word.isascii() and word.isdecimal() and len(word) <= 18 else 0
    if not 1 <= count <= MOST:
        raise UsageError(f"limit is a number from 1 to {MOST}")
    return count


# --- streams


async def show_status(daemon: Daemon, _: Request) -> Response:
    """What the daemon does."""
    return answer(daemon.status())


async def show_list(daemon: Daemon, request: Request) -> Response:
    """Streams, newest first."""
    word = request.query_params.get("status")
    if word is not None and word not in list(Status):
        raise UsageError(f"status is one of {', '.join(Status)}")
    status = Status(word) if word else None
    if "idle_since" in request.query_params:
        moment, keep = number_of(request, "idle_since"), number_of(request, "keep")
        idle = await daemon.engine.idle_since(moment, status=status, keep=keep)
        return answer({"streams": [as_json(stream) for stream in idle[: count_of(request)]]})
    streams = await daemon.engine.listed(count_of(request), status)
    return answer({"streams": [as_json(stream) for stream in streams]})


async def create(daemon: Daemon, told: dict[str, Any], check: Callable[[Words], None]) -> Response:
    """A pending stream. `check` raises for words that may not be asked from there."""
    words = words_of(told)
    parent = None
    if "parent" in told:
        before = await daemon.engine.get((await daemon.engine.find(told["parent"])).id)
        offset = int(told["parent_offset"]) if "parent_offset" in told else None  # 5.0 is an integer as well
        words, parent = await going_on(daemon.engine, before, offset, words)
    elif "parent_offset" in told:
        raise UsageError("parent_offset goes with parent")
    check(words)
    more = {"name": told.get("name"), "title": told.get("title"), "ttl": told.get("ttl")}
    stream = await daemon.engine.create(words, parent=parent, **more)
    response = answer(as_json(stream, []), 201)
    response.headers["location"] = wire.STREAM.format(id=stream.id)
    return response


def words_of(told: Mapping[str, Any]) -> Words:
    """What a stream is asked, out of a request's fields."""
    return Words(
        prompt=told.get("prompt"),
        system=told.get("system"),
        model=told.get("model"),
        command=tuple(told["command"]) if "command" in told else None,
        generator=told.get("generator"),
        flush=Flush(told["flush"]) if "flush" in told else None,
    )


def anything(words: Words) -> None:
    """On the socket, whose owner may run anything anyway."""


def only_models(words: Words) -> None:
    """Raises NotAllowed for words that would start a command or read a file."""
    if words.command or words.generator or (words.model or "").startswith((GGUF, PREFIX)):
        raise NotAllowed("commands and files are for the daemon's own socket: over the network only models are asked")


async def show(daemon: Daemon, request: Request) -> Response:
    """What is known of a stream."""
    stream = await daemon.engine.as_it_is(await daemon.engine.get(id_of(request)))
    fields = as_json(stream, await daemon.engine.attempts(stream.id))
    fields["pieces"], fields["chunks"] = await daemon.engine.counts(stream.id)
    return answer(fields)


async def fill(daemon: Daemon, id: str, words: Words) -> Response:
    """Give a pending stream what it was made without."""
    stream = await daemon.engine.fill(id, words)
    return answer(as_json(stream, await daemon.engine.attempts(id)))


async def check(daemon: Daemon, words: Words, caller: Caller) -> Response:
    """What speaks against driving these words, if anything; an error for what keeps them from being driven."""
    home = daemon.home
    settings = load(home)
    check_model(words, caller, settings, home)
    return answer({"doubt": await doubt(words, caller, settings, home)})


async def drive(
    daemon: Daemon, request: Request, caller: Caller, check: Callable[[Words], None], *, on_drop: bool = False
) -> Response:
    """Have it driven; with `live`, the answer is the text, from its first byte to its end, or events if accepted.

    `check` raises for words that may not be driven from there.
    """
    live = request.query_params.get("live")
    if live not in (None, "1"):
        raise UsageError("live is 1")
    told = await daemon.drive(id_of(request), caller, check, on_drop=on_drop)
    if live is None:
        return answer(told)
    events = wants_events(request.headers)
    ask = durable.Asked(0, "sse" if events else "1", 0, events, until_now=until_now(request.headers))
    reader = await durable.Reader.begun(daemon.engine, told["id"], ask, daemon.owner.audience)
    return await reader.respond()


async def cancel(daemon: Daemon, request: Request) -> Response:
    """End it, its text kept."""
    told = await asked(request, "CANCEL")
    return answer(await daemon.cancel(id_of(request), drain=told.get("drain", False)))


async def delete(daemon: Daemon, request: Request) -> Response:
    """Remove it."""
    await cancellation.delete(daemon.engine, id_of(request))
    await daemon.engine.shrink()
    return Response(status_code=204)


# --- text


async def show_text(daemon: Daemon, request: Request) -> Response:
    """Its text, see `durable`."""
    ask = durable.asked(request.query_params, request.headers)
    reader = await durable.Reader.begun(daemon.engine, id_of(request), ask, daemon.owner.audience)
    if request.method == "HEAD":
        return await reader.head()
    return await reader.respond(none_match=request.headers.get("if-none-match"))


async def show_asides(daemon: Daemon, request: Request) -> Response:
    """What its generator says beside the text, as events, each with its number, after which one may go on."""
    last = request.headers.get("last-event-id", "")
    seen = int(last) if last.isascii() and last.isdecimal() and len(last) <= 18 else 0
    return _streamed(request, daemon.asides(id_of(request), seen), "text/event-stream")


def _streamed(request: Request, body: AsyncIterable[bytes], media_type: str) -> Response:
    """The body as it comes. HEAD is answered at once: the next request on its connection would wait for the end."""
    if request.method != "HEAD":
        return StreamingResponse(body, media_type=media_type, headers=HEADERS)
    response = Response(media_type=media_type, headers=HEADERS)
    del response.headers["content-length"]  # GET has none
    return response


async def find(daemon: Daemon, request: Request) -> Response:
    """Where the parameter `q` stands, as far as SEARCH_TIME allows, and while its client is there to hear it."""
    query, limit = request.query_params.get("q", ""), count_of(request)
    found: dict[str, Any] = {"hits": [], "complete": False}

    with ungrouped():
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await left(request)
                tasks.cancel_scope.cancel()  # one that waits for its turn, too

            tasks.start_soon(give_up)
            found = await _find(daemon.engine, query, limit)
            tasks.cancel_scope.cancel()
    return answer(found)


async def left(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _find(engine: Engine, query: str, limit: int) -> dict[str, Any]:
    hits: list[Hit] = []
    with anyio.move_on_after(SEARCH_TIME) as scope:
        async with engine.search(query) as places:
            while len(hits) < limit and (hit := await anext(places, None)):
                hits.append(hit)
    found = [{"id": hit.stream.id, "title": title(hit.stream), "offset": hit.offset, "line": hit.line} for hit in hits]
    return {"hits": found, "complete": len(found) < limit and not scope.cancelled_caught}


async def show_models(daemon: Daemon, request: Request) -> Response:
    """What can be asked, the default first."""
    home = daemon.home
    found = await discover(own_caller(home), load(home), home)
    fields = ("name", "place", "problem", "default")
    return answer({"models": [{field: getattr(each, field) for field in fields} for each in found]})


def own_caller(home: Home) -> Caller:
    """The daemon itself: who asks from elsewhere has no directory, no environment and no keys here."""
    return Caller(home.path, dict(os.environ))


async def show_document(daemon: Daemon, _: Request) -> Response:
    """The OpenAPI document."""
    return answer(document())


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", wire.STATUS, show_status),
    ("GET", wire.MODELS, show_models),
    ("GET", wire.STREAMS, show_list),
    ("GET", wire.STREAM, show),
    ("DELETE", wire.STREAM, delete),
    ("POST", wire.CANCEL, cancel),
    ("GET", wire.TEXT, show_text),
    ("GET", wire.ASIDES, show_asides),
    ("GET", wire.SEARCH, find),
    ("GET", wire.OPENAPI, show_document),
]
"""Without those that the socket and TCP do each in its own way."""
