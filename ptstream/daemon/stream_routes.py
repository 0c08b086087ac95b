"""The routes of streams that everybody has who is let in, on the socket and on TCP alike: create, list, show, drive,
cancel, delete.

Each only asks; a request is cancelled when its client leaves, and nothing but its own answer ends with it.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from ptstream import ending, wire
from ptstream.daemon.daemon import Daemon
from ptstream.daemon.routes import Table, id_of, limit_of
from ptstream.daemon.schemas import CancelStream, CreateAnyStream, CreateStream, words_of
from ptstream.errors import UsageError
from ptstream.fields import as_json
from ptstream.generators import Caller
from ptstream.http.durable_streams import Live, ReadParameters
from ptstream.http.json_response import json_response
from ptstream.http.read_response import read_response
from ptstream.http.request_body import body_as
from ptstream.http.server_sent_events import accepts_events, accepts_only_present
from ptstream.http.stream_reader import StreamReader
from ptstream.lineage import going_on
from ptstream.settings import Home
from ptstream.store.patience import apart, written
from ptstream.store.recover import as_it_is, listed
from ptstream.store.sqlite import Store
from ptstream.streams import Status, Words


async def list_streams(daemon: Daemon, request: Request) -> Response:
    """Streams, newest first."""
    word = request.query_params.get("status")
    if word is not None and word not in list(Status):
        raise UsageError(f"status is one of {', '.join(Status)}")
    streams = listed(daemon.store, limit_of(request), Status(word) if word else None)
    return json_response({"streams": [as_json(stream) for stream in streams]})


async def create(daemon: Daemon, body: CreateStream | CreateAnyStream, check: Callable[[Words], None]) -> Response:
    """A pending stream. `check` raises for words that may not be asked from there."""
    words, parent = words_of(body), None
    if body.parent is not UNSET:
        before = daemon.store.get(daemon.store.find(body.parent).id)
        offset, given = None if body.parent_offset is UNSET else int(body.parent_offset), words
        words, parent = await apart(daemon.store.home, lambda store: going_on(store, before, offset, given))
    elif body.parent_offset is not UNSET:
        raise UsageError("parent_offset goes with parent")
    check(words)
    stream = await written(
        daemon.store,
        words,
        lambda store: store.create(words, parent=parent, name=body.name, title=body.title, ttl=body.ttl),
    )
    return json_response(as_json(stream, []), 201, {"location": wire.STREAM.format(id=stream.id)})


async def show(daemon: Daemon, request: Request) -> Response:
    """What is known of a stream."""
    stream = as_it_is(daemon.store, daemon.store.get(id_of(request)))
    fields = as_json(stream, daemon.store.attempts(stream.id))
    fields["pieces"], fields["chunks"] = daemon.store.counts(stream.id)
    return json_response(fields)


async def drive(
    daemon: Daemon, request: Request, caller: Caller, check: Callable[[Words], None], *, on_drop: bool = False
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
    reader = await StreamReader.open(daemon.store, driven["id"], audience=daemon.owner.audience)
    return await read_response(reader, asked)


async def cancel(daemon: Daemon, request: Request) -> Response:
    """End it, its text kept."""
    body = await body_as(request, CancelStream)
    return json_response(await daemon.cancel(id_of(request), drain=body.drain))


async def delete(daemon: Daemon, request: Request) -> Response:
    """Remove it. In a thread of its own: a large one takes seconds, and generators go on meanwhile."""
    await anyio.to_thread.run_sync(_delete, daemon.store.home, id_of(request))
    return Response(status_code=204)


def _delete(home: Home, id: str) -> None:
    with Store(home) as store:
        anyio.run(ending.delete, store, id)
        store.shrink()


STREAM_ROUTES: Table = [
    ("GET", wire.STREAMS, list_streams),
    ("GET", wire.STREAM, show),
    ("DELETE", wire.STREAM, delete),
    ("POST", wire.CANCEL, cancel),
]
"""Without those that the socket and TCP do each in its own way."""
