"""The OpenAPI document of the daemon's HTTP: its operations, over the forms of `schemas.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from ptstream import __version__, wire
from ptstream.daemon import schemas
from ptstream.http.server_sent_events import MEDIA_TYPE as EVENTS
from ptstream.integers import MAX_DIGITS
from ptstream.streams import Status
from ptstream.text_search import LONGEST_QUERY

MOST = 1000
"""How many streams, or places that were found, one answer lists at most."""

JSON = "application/json"

Schema = dict[str, Any]

FORMS: tuple[type[Struct], ...] = (
    schemas.CreateStream,
    schemas.FillStream,
    schemas.DriveStream,
    schemas.CancelStream,
    schemas.Completion,
)
"""What requests hold on TCP."""


def _object(properties: Mapping[str, Schema], *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


STRING: Schema = {"type": "string"}
STRING_OR_NULL: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MOST}
MOMENT: Schema = {"type": "integer", "minimum": 0, "maximum": 10**MAX_DIGITS - 1}
SINCE: Schema = {"type": "number", "minimum": 0, "maximum": 10**MAX_DIGITS - 1}
STATUS: Schema = {"type": "string", "enum": [status.value for status in Status]}

STATUSES: Schema = {
    "type": "string",
    "pattern": r"^(S)(,(S))*$".replace("S", "|".join(status.value for status in Status)),
    "description": "one or more, a comma between them",
}

STATE = _object({"id": STRING, "status": STATUS, "bytes": COUNT, "error": STRING_OR_NULL}, "id", "status", "bytes")
STREAM = _object(
    {**STATE["properties"], "name": STRING_OR_NULL, "title": STRING, "pieces": COUNT, "chunks": COUNT},
    *STATE["required"],
)
STREAMS = _object({"streams": {"type": "array", "items": STREAM}}, "streams")
CHUNK = _object({"start": COUNT, "stop": COUNT, "at": STRING}, "start", "stop", "at")
CHUNKS = _object({"chunks": {"type": "array", "items": CHUNK}, "end": COUNT}, "chunks", "end")
DRIVEN = _object(
    {"id": STRING, "attached": {"type": "boolean"}, "model": STRING_OR_NULL, "place": STRING_OR_NULL}, "id", "attached"
)
WHERE: Schema = {"type": "string", "enum": ["text", "prompt", "title", "name"]}
HIT = _object(
    {"id": STRING, "title": STRING, "offset": COUNT, "line": STRING, "where": WHERE}, "id", "offset", "line", "where"
)
HITS = _object({"hits": {"type": "array", "items": HIT}, "complete": {"type": "boolean"}}, "hits", "complete")
DAEMON = _object({"host": STRING, "pid": COUNT, "version": STRING, "running": COUNT}, "host", "pid", "version")
DAEMONS = _object({"daemons": {"type": "array", "items": DAEMON}}, "daemons")
EVENT = _object({"event": STRING, "id": STRING, "data": STRING})
ERROR = _object({"error": _object({"code": STRING, "message": STRING}, "code", "message")}, "error")

OPENAI_MODEL = _object({"id": STRING, "object": STRING}, "id", "object")
OPENAI_MODELS = _object({"object": STRING, "data": {"type": "array", "items": OPENAI_MODEL}}, "object", "data")
OPENAI_ERROR = _object({"error": _object({"message": STRING}, "message")}, "error")

ANYTHING: Schema = {"type": "object"}
"""An object whose fields are not described."""


@cache
def parameters(path: str, method: str) -> frozenset[str] | None:
    """The names of an operation's query parameters; None for one that is not described, or takes any."""
    operation = _paths().get(path, {}).get(method.lower())
    if operation is None or path == wire.TEXT:  # a reader of the protocol may send more than we know
        return None
    return frozenset(parameter["name"] for parameter in operation.get("parameters", ()))


def document() -> dict[str, Any]:
    """The whole document."""
    _, components = msgspec.json.schema_components(FORMS, ref_template="#/components/schemas/{name}")
    components["CreateStream"]["dependentRequired"] = {"parent_offset": ["parent"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ptstream",
            "version": __version__,
            "description": "Persistent text streaming: streams, and their text as it comes. Offsets are bytes of UTF-8."
            " Reading follows the Durable Streams protocol; `live=1`, the text until its end, is ours.",
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": components},
        "security": [{"token": []}],
        "paths": _paths(),
    }


def _paths() -> dict[str, Any]:
    stream = {"name": "id", "in": "path", "required": True, "schema": msgspec.json.schema(schemas.Reference)}
    fields = _json(STREAM)
    text = {**_content("text/plain", STRING), **_content(EVENTS, EVENT)}
    return {
        wire.STATUS: {"get": _operation("What the daemon does", {"200": _json(ANYTHING)})},
        wire.DAEMONS: {"get": _operation("The daemons of this store", {"200": _json(DAEMONS)})},
        wire.MODELS: {"get": _operation("The models that can be asked", {"200": _json(ANYTHING)})},
        wire.STREAMS: {
            "get": _operation(
                "Streams, newest first",
                {"200": _json(STREAMS)},
                query={
                    "limit": LIMIT,
                    "status": STATUSES,
                    "since": SINCE | {"description": "only what was made then or later: Unix seconds"},
                    "idle_since": MOMENT | {"description": "only what ended before, oldest first: Unix seconds"},
                    "keep": MOMENT | {"description": "with idle_since: without so many of the newest of all"},
                    "details": {"type": "string", "enum": ["1"], "description": "all that is known of each"},
                },
            ),
            "post": _operation("Make a pending stream", {"201": fields}, body=schemas.CreateStream),
        },
        wire.STREAM: {
            "parameters": [stream],
            "get": _operation("What is known of a stream", {"200": fields}),
            "patch": _operation(
                "Give a pending one what it was made without", {"200": fields}, body=schemas.FillStream
            ),
            "delete": _operation("Delete it; one that runs is cancelled first", {"204": {"description": "deleted"}}),
        },
        wire.CHECK: {
            "post": _operation(
                "What speaks against driving this; what keeps it from being driven is an error",
                {"200": _json(_object({"doubt": STRING_OR_NULL}, "doubt"))},
                body=schemas.FillStream,
            ),
        },
        wire.DRIVE: {
            "parameters": [stream],
            "post": _operation(
                "Have it written: by its model, in the daemon. With `live`, the answer is its text as it comes",
                {"200": {"description": "driven", "content": {**_content(JSON, DRIVEN), **text}}},
                query={"live": {"type": "string", "enum": ["1"]}},
                body=schemas.DriveStream,
            ),
        },
        wire.CANCEL: {
            "parameters": [stream],
            "post": _operation("End it, its text kept", {"200": _json(STATE)}, body=schemas.CancelStream),
        },
        wire.TEXT: {
            "parameters": [stream],
            "get": _operation(
                "Its text from an offset: what is there, or as it comes",
                {
                    "200": {"description": "text", "content": text},
                    "204": {"description": "nothing new"},
                    "304": {"description": "as it was"},
                },
                query={
                    "offset": {"type": "string", "pattern": r"^(-1|now|[0-9]{1,16})$"},
                    "live": {"type": "string", "enum": ["1", "long-poll", "sse"]},
                    "cursor": {"type": "string"},
                    "encoding": {"type": "string"},
                    "stored": {
                        "type": "string",
                        "enum": ["1"],
                        "description": "out of the database alone, by sentences",
                    },
                },
            ),
        },
        wire.CHUNKS: {
            "parameters": [stream],
            "get": _operation(
                "When its text came: its durable chunks, 1,000 at most, and where the last of all ends",
                {"200": _json(CHUNKS)},
                query={
                    "offset": MOMENT | {"description": "only what ends behind this byte"},
                    "since": SINCE | {"description": "only what was kept then or later: Unix seconds"},
                },
            ),
        },
        wire.REMARKS: {
            "parameters": [stream],
            "get": _operation(
                "What its generator says beside the text",
                {"200": {"description": "events", "content": _content(EVENTS, EVENT)}},
            ),
        },
        wire.SEARCH: {
            "get": _operation(
                "Where a text stands, in all streams: in their texts, prompts, titles and names",
                {"200": _json(HITS)},
                query={"q": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY}, "limit": LIMIT},
                required=("q",),
            )
        },
        **_openai_paths(),
    }


def _openai_paths() -> dict[str, Any]:
    content = {**_content(JSON, ANYTHING), **_content(EVENTS, EVENT)}
    complete = _operation(
        "An answer of a model, as OpenAI's clients ask for it; the header Stream-ID names the stream that keeps it",
        {"200": {"description": "the provider's answer, as it came", "content": content}},
        body=schemas.Completion,
        error=OPENAI_ERROR,
    )
    listing = _operation(
        "The models that can be asked, as OpenAI lists them",
        {"200": _json(OPENAI_MODELS)},
        error=OPENAI_ERROR,
    )
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    one = _operation("One of them", {"200": _json(OPENAI_MODEL)}, error=OPENAI_ERROR)
    return {
        wire.COMPLETIONS: {"post": complete},
        wire.COMPLETION_MODELS: {"get": listing},
        wire.COMPLETION_MODEL: {"parameters": [name], "get": one},
    }


def _content(media_type: str, schema: Schema) -> Schema:
    return {media_type: {"schema": schema}}


def _json(schema: Schema) -> Schema:
    return {"description": "as asked", "content": _content(JSON, schema)}


def _reference(form: type[Struct]) -> Schema:
    return {"$ref": f"#/components/schemas/{form.__name__}"}


def _operation(
    summary: str,
    answers: dict[str, Schema],
    *,
    query: dict[str, Schema] | None = None,
    required: tuple[str, ...] = (),
    body: type[Struct] | None = None,
    error: Schema = ERROR,
) -> dict[str, Any]:
    refused = {"description": "why not", "content": _content(JSON, error)}
    operation: dict[str, Any] = {"summary": summary, "responses": {**answers, "4XX": refused, "5XX": refused}}
    if query:
        operation["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in query.items()
        ]
    if body:
        operation["requestBody"] = {"required": False, "content": _content(JSON, _reference(body))}
    return operation
