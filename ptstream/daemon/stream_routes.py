"""The routes of streams that everybody has who is let in, on the socket and on TCP alike: create, list, show, drive,
cancel, delete.

Each only asks; a request is cancelled when its client leaves, and nothing but its own answer ends with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from ptstream import wire
from ptstream.config import load
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.routes import Table, id_of, limit_of, moment_of, number_of
from ptstream.daemon.schemas import CancelStream, CreateAnyStream, CreateStream, FillAnyStream, request_of
from ptstream.errors import UsageError
from ptstream.generators import Caller
from ptstream.generators.models.resolve import check, doubt
from ptstream.http.durable_streams import Live, ReadParameters
from ptstream.http.json_response import json_response
from ptstream.http.read_response import read_response
from ptstream.http.request_body import body_as
from ptstream.http.server_sent_events import accepts_events, accepts_only_present
from ptstream.http.stream_reader import StreamReader
from ptstream.stream_json import as_json
from ptstream.streams import GenerationRequest, Status
from ptstream.streams_protocol import Details

Check = Callable[[GenerationRequest], None]
"""Raises for what may not be asked from there."""


async def list_streams(daemon: Daemon, request: Request) -> Response:
    """Streams, newest first; with `details`, all that is known of each."""
    status, limit = _statuses_of(request), limit_of(request)
    if request.query_params.get("details", "1") != "1":
        raise UsageError("details is 1")
    since = moment_of(request, "since")
    moment, keep = number_of(request, "idle_since"), number_of(request, "keep")
    if "idle_since" in request.query_params:
        only = status[0] if len(status) == 1 else None
        idle = await daemon.streams.idle_since(moment, status=only, keep=keep)
        streams = [each for each in idle if each.created_at >= since and (not status or each.status in status)][:limit]
    else:
        streams = (await daemon.streams.list(limit, status, since)).streams
    if "details" in request.query_params:
        return json_response({"streams": [_fields(each) for each in await daemon.streams.detailed(streams)]})
    return json_response({"streams": [as_json(stream) for stream in streams]})


def _statuses_of(request: Request) -> list[Status]:
    """The parameter `status`: some, a comma between them. Raises UsageError."""
    word = request.query_params.get("status")
    try:
        return [] if word is None else [Status(each) for each in word.split(",")]
    except ValueError:
        raise UsageError(f"status is one or more of {', '.join(Status)}, a comma between them") from None


async def create(daemon: Daemon, body: CreateStream | CreateAnyStream, check: Check) -> Response:
    """A pending stream. `check` raises for what may not be asked from there."""
    if body.parent is UNSET and body.parent_offset is not UNSET:
        raise UsageError("parent_offset goes with parent")
    stream = await daemon.streams.create(
        request_of(body),
        name=body.name,
        title=body.title,
        parent=None if body.parent is UNSET else (await daemon.streams.find(body.parent)).id,
        parent_offset=None if body.parent_offset is UNSET else int(body.parent_offset),
        ttl=body.ttl,
        check=check,
    )
    return json_response(as_json(stream, []), 201, {"location": wire.STREAM.format(id=stream.id)})


async def show(daemon: Daemon, request: Request) -> Response:
    """What is known of a stream."""
    return json_response(_fields(await daemon.streams.details(id_of(request))))


def _fields(details: Details) -> dict[str, Any]:
    return as_json(details.stream, details.attempts) | {"pieces": details.pieces, "chunks": details.chunks}


async def drive(
    daemon: Daemon,
    request: Request,
    caller: Caller,
    check: Check,
    *,
    on_drop: bool = False,
) -> Response:
    """Have it driven; with `live`, the answer is the text, from its first byte to its end, or events if accepted.

    `check` raises for words that may not be driven from there.
    """
    live = request.query_params.get("live")
    if live not in (None, "1"):
        raise UsageError("live is 1")
    driven = await daemon.drive(id_of(request), caller, check, on_drop=on_drop)
    if live is None:
        return json_response(driven)
    if accepts_events(request.headers):
        asked = ReadParameters(0, Live.EVENTS, exact=True, until_now=accepts_only_present(request.headers))
    else:
        asked = ReadParameters(0, Live.TEXT)
    reader = await StreamReader.open(daemon.engine, driven["id"], audience=daemon.owner.audience)
    return await read_response(reader, asked)


async def cancel(daemon: Daemon, request: Request) -> Response:
    """End it, its text kept."""
    body = await body_as(request, CancelStream)
    return json_response(await daemon.cancel(id_of(request), drain=body.drain))


async def delete(daemon: Daemon, request: Request) -> Response:
    """Remove it, and its text."""
    for error in await daemon.streams.delete([id_of(request)]):
        raise error
    return Response(status_code=204)


async def fill(daemon: Daemon, request: Request, check: Check) -> Response:
    """Give a pending stream what it was made without. `check` raises for what may not be asked from there."""
    id, generation = id_of(request), request_of(await body_as(request, FillAnyStream))
    check(generation)
    await daemon.streams.fill(id, generation)
    return json_response(_fields(await daemon.streams.details(id)))


async def check_request(daemon: Daemon, generation: GenerationRequest, caller: Caller) -> Response:
    """What speaks against driving this, if anything; an error for what keeps it from being driven."""
    settings = load(daemon.home)
    check(generation, caller, settings, daemon.home)
    return json_response({"doubt": await doubt(generation, caller, settings, daemon.home)})


STREAM_ROUTES: Table = [
    ("GET", wire.STREAMS, list_streams),
    ("GET", wire.STREAM, show),
    ("DELETE", wire.STREAM, delete),
    ("POST", wire.CANCEL, cancel),
]
"""Without those that the socket and TCP do each in its own way."""
