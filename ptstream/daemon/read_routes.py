"""The routes that only read, on the socket and on TCP alike: text, what is said beside it, search, models, status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from ptstream import wire
from ptstream.config import load
from ptstream.daemon.callers import own_caller
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.openapi import document
from ptstream.daemon.routes import Table, client_gone, id_of, limit_of, moment_of, number_of
from ptstream.engine.protocol import Engine, Hit
from ptstream.generators import Note, Reasoning, Remark, Stderr
from ptstream.generators.models.discovery import discover
from ptstream.http import server_sent_events
from ptstream.http.durable_streams import read_parameters
from ptstream.http.followed_response import FollowedResponse
from ptstream.http.json_response import UNSTORED, json_response
from ptstream.http.read_response import head_response, read_response
from ptstream.http.stream_reader import StreamReader
from ptstream.integers import count_of
from ptstream.stream_json import iso, title
from ptstream.ungrouped import ungrouped

SEARCH_TIME = 10.0
"""Seconds that a search may take, its wait for others included."""


async def show_status(daemon: Daemon, _: Request) -> Response:
    """What the daemon does."""
    return json_response(daemon.status())


async def list_daemons(daemon: Daemon, _: Request) -> Response:
    """All that keep their streams where this one does."""
    return json_response({"daemons": [each.as_json() for each in await daemon.streams.daemons()]})


async def show_text(daemon: Daemon, request: Request) -> Response:
    """A stream's text, by the Durable Streams protocol."""
    asked = read_parameters(request.query_params, request.headers)
    reader = await StreamReader.open(
        daemon.engine, id_of(request), asked.offset, stored=asked.stored, audience=daemon.owner.audience
    )
    if request.method == "HEAD":
        await reader.read()  # what would be wrong with GET
        return await head_response(reader)
    return await read_response(reader, asked, none_match=request.headers.get("if-none-match"))


async def show_chunks(daemon: Daemon, request: Request) -> Response:
    """When its text came."""
    id = (await daemon.streams.find(id_of(request))).id
    found = await daemon.streams.chunks(id, number_of(request, "offset"), moment_of(request, "since"))
    chunks = [{"start": start, "stop": stop, "at": iso(at)} for start, stop, at in found.chunks]
    return json_response({"chunks": chunks, "end": found.end})


async def show_remarks(daemon: Daemon, request: Request) -> Response:
    """What its generator says beside the text, as events, each with its number, after which one may go on."""
    seen = count_of(request.headers.get("last-event-id", "")) or 0
    if request.method == "HEAD":  # at once: the next request on its connection would wait for the end
        response = Response(media_type=server_sent_events.MEDIA_TYPE, headers=UNSTORED)
        del response.headers["content-length"]  # GET has none
        return response
    id = id_of(request)
    body = _aside_events(daemon, id, seen)
    return FollowedResponse(
        body, lambda: not daemon.goes_on_elsewhere(id), media_type=server_sent_events.MEDIA_TYPE, headers=UNSTORED
    )


KINDS: dict[type[Remark], str] = {Note: wire.NOTE, Reasoning: wire.REASONING, Stderr: wire.STDERR}


async def _aside_events(daemon: Daemon, id: str, seen: int) -> AsyncIterator[bytes]:
    async for entries in daemon.remarks(id, seen):
        yield b"".join(
            server_sent_events.event(KINDS[type(entry)], wire.dumps(entry.text), str(number))
            for number, entry in entries
        )


async def find_text(daemon: Daemon, request: Request) -> Response:
    """Where the parameter `q` stands, as far as SEARCH_TIME allows, and while its client is there to hear it."""
    query, limit = request.query_params.get("q", ""), limit_of(request)
    found: dict[str, Any] = {"hits": [], "complete": False}  # so much is known if its client leaves
    with ungrouped():
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await client_gone(request)
                tasks.cancel_scope.cancel()  # one that waits for its turn, too

            tasks.start_soon(give_up)
            found = await _find(daemon.engine, query, limit)
            tasks.cancel_scope.cancel()
    return json_response(found)


async def _find(engine: Engine, query: str, limit: int) -> dict[str, Any]:
    hits: list[Hit] = []
    with anyio.move_on_after(SEARCH_TIME) as scope:
        async with engine.search(query) as places:
            while len(hits) < limit and (hit := await anext(places, None)):
                hits.append(hit)
    found = [
        {"id": hit.stream.id, "title": title(hit.stream), "offset": hit.offset, "line": hit.line, "where": hit.where}
        for hit in hits
    ]
    return {"hits": found, "complete": len(found) < limit and not scope.cancelled_caught}


async def show_models(daemon: Daemon, _: Request) -> Response:
    """What can be asked, the default first."""
    home = daemon.home
    found = await discover(own_caller(home), load(home), home)
    fields = ("name", "place", "problem", "default")
    return json_response({"models": [{field: getattr(each, field) for field in fields} for each in found]})


async def show_document(daemon: Daemon, _: Request) -> Response:
    """The OpenAPI document."""
    return json_response(document())


READ_ROUTES: Table = [
    ("GET", wire.STATUS, show_status),
    ("GET", wire.DAEMONS, list_daemons),
    ("GET", wire.MODELS, show_models),
    ("GET", wire.TEXT, show_text),
    ("GET", wire.CHUNKS, show_chunks),
    ("GET", wire.REMARKS, show_remarks),
    ("GET", wire.SEARCH, find_text),
    ("GET", wire.OPENAPI, show_document),
]
