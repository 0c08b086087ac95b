"""The OpenAPI document of the daemon's HTTP, and what holds request bodies to it: one description for both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import fastjsonschema

from ptstream import __version__, wire
from ptstream.names import LONGEST
from ptstream.streams import Flush, Status
from ptstream.text_search import LONGEST_QUERY

Schema = dict[str, Any]

MOST = 1000
"""How many streams, or places that were found, one answer lists at most."""

MAX_OFFSET = 10**15

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET}
_WORD = r"[^\s@/\x00-\x1f\x7f-\x9f-][^\s@/\x00-\x1f\x7f-\x9f]{0,199}"
REFERENCE: Schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": rf"^(@last|{_WORD})$"}
NAME: Schema = {
    "type": "string",
    "format": "stream-name",
    "minLength": 1,
    "maxLength": LONGEST,
    "description": "letters and digits of any script, the marks that belong to them, and ._:+- (but no - in front)",
}
"""What `as_name` takes, which judges it where the stream is made: a pattern knows too little of letters."""


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: dict[str, Schema], *, required: tuple[str, ...] = (), more: bool = False) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": more,
    }


CREATE = _object(
    {
        "prompt": _or_null(TEXT),
        "system": _or_null(TEXT),
        "model": _or_null({"type": "string", "minLength": 1}),
        "name": _or_null(NAME),
        "title": _or_null(TEXT),
        "flush": _or_null({"type": "string", "enum": [rule.value for rule in Flush]}),
        "ttl": _or_null({"type": "number", "minimum": 0, "maximum": 10**10, "description": "seconds after its end"}),
        "parent": REFERENCE,
        "parent_offset": OFFSET,
    }
) | {"dependentRequired": {"parent_offset": ["parent"]}}
"""A new stream. With `parent` it goes on from that one: as its next turn with a prompt, else as its continuation."""

CREATE_HERE = _object(
    {
        **CREATE["properties"],
        "command": _or_null({"type": "array", "items": TEXT, "minItems": 1}),
        "generator": _or_null(TEXT),
    }
)
"""The same on the socket, whose owner may run anything anyway."""

COMPLETION = _object({"model": _or_null(TEXT)}, more=True)
"""OpenAI's request for an answer. All of it is the provider's to judge, but who that is."""

FILL = _object({name: CREATE["properties"][name] for name in ("prompt", "system", "model", "flush")})
"""What a pending stream was made without, or what is to be driven."""

FILL_HERE = _object(FILL["properties"] | {name: CREATE_HERE["properties"][name] for name in ("command", "generator")})
"""The same on the socket."""

DRIVE = _object({"on_drop": {"type": "boolean"}})
CANCEL = _object({"drain": {"type": "boolean"}})

STREAM = _object(
    {
        "id": TEXT,
        "name": _or_null(TEXT),
        "title": TEXT,
        "status": {"type": "string", "enum": [status.value for status in Status]},
        "bytes": OFFSET,
        "error": _or_null(TEXT),
        "pieces": COUNT,
        "chunks": COUNT,
    },
    required=("id", "status", "bytes"),
    more=True,
)

STATE = _object({"id": TEXT, "status": TEXT, "bytes": OFFSET, "error": _or_null(TEXT)}, required=("id", "status"))

DRIVEN = _object(
    {"id": TEXT, "attached": {"type": "boolean"}, "model": _or_null(TEXT), "place": _or_null(TEXT)},
    required=("id", "attached"),
)

HIT = _object({"id": TEXT, "title": TEXT, "offset": OFFSET, "line": TEXT}, required=("id", "offset", "line"))

OPENAI_ERROR = _object({"error": _object({"message": TEXT}, required=("message",), more=True)}, required=("error",))

ERROR = _object({"error": _object({"code": TEXT, "message": TEXT}, required=("code", "message"))}, required=("error",))


BODIES = {
    "CREATE": CREATE,
    "CREATE_HERE": CREATE_HERE,
    "FILL": FILL,
    "FILL_HERE": FILL_HERE,
    "DRIVE": DRIVE,
    "CANCEL": CANCEL,
    "COMPLETION": COMPLETION,
}
"""What a request may be held to."""


@cache
def validator(name: str) -> Callable[[Any], Any]:
    """What raises fastjsonschema.JsonSchemaValueException for a body that is not the one of BODIES called `name`."""
    made: Callable[[Any], Any] = fastjsonschema.compile(
        BODIES[name], use_default=False, formats={"stream-name": lambda _: True}
    )
    return made


@cache
def parameters(path: str, method: str) -> frozenset[str] | None:
    """The names of an operation's query parameters; None for one that is not described, or takes any."""
    operation = _paths().get(path, {}).get(method.lower())
    if operation is None or path == wire.TEXT:  # a reader of the protocol may send more than we know
        return None
    return frozenset(parameter["name"] for parameter in operation.get("parameters", ()))


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ptstream",
            "version": __version__,
            "description": "Persistent text streaming: streams, and their text as it comes. Offsets are bytes of UTF-8."
            " Reading follows the Durable Streams protocol; `live=1`, the text until its end, is ours.",
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": _paths(),
    }


def _paths() -> dict[str, Any]:
    stream = {"name": "id", "in": "path", "required": True, "schema": REFERENCE}
    return {
        wire.STATUS: {"get": _operation("What the daemon does", {"200": _json({"type": "object"})})},
        wire.MODELS: {"get": _operation("The models that can be asked", {"200": _json({"type": "object"})})},
        wire.STREAMS: {
            "get": _operation(
                "Streams, newest first",
                {"200": _json(_object({"streams": {"type": "array", "items": STREAM}}, required=("streams",)))},
                query={
                    "limit": _count(),
                    "status": {"type": "string", "enum": [status.value for status in Status]},
                    "idle_since": _number("only those that ended before this moment, oldest first: Unix seconds"),
                    "keep": _number("with idle_since: without so many of the newest of all"),
                },
            ),
            "post": _operation("Make a pending stream", {"201": _json(STREAM)}, body=CREATE),
        },
        wire.STREAM: {
            "parameters": [stream],
            "get": _operation("What is known of a stream", {"200": _json(STREAM)}),
            "patch": _operation("Give a pending one what it was made without", {"200": _json(STREAM)}, body=FILL),
            "delete": _operation("Delete it; one that runs is cancelled first", {"204": {"description": "deleted"}}),
        },
        wire.CHECK: {
            "post": _operation(
                "Whether these words could be driven: what speaks against it, if anything",
                {"200": _json(_object({"doubt": _or_null(TEXT)}, required=("doubt",)))},
                body=FILL,
            ),
        },
        wire.DRIVE: {
            "parameters": [stream],
            "post": _operation(
                "Have it written: by its model, in the daemon. With `live`, the answer is its text as it comes",
                {
                    "200": {
                        "description": "driven",
                        "content": {"application/json": {"schema": DRIVEN}, **_TEXT, **_EVENTS},
                    }
                },
                query={"live": {"type": "string", "enum": ["1"]}},
                body=DRIVE,
            ),
        },
        wire.CANCEL: {
            "parameters": [stream],
            "post": _operation("End it, its text kept", {"200": _json(STATE)}, body=CANCEL),
        },
        wire.TEXT: {
            "parameters": [stream],
            "get": _operation(
                "Its text from an offset: what is there, or as it comes",
                {
                    "200": {"description": "text", "content": {**_TEXT, **_EVENTS}},
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
        wire.ASIDES: {
            "parameters": [stream],
            "get": _operation(
                "What its generator says beside the text", {"200": {"description": "events", "content": _EVENTS}}
            ),
        },
        wire.SEARCH: {
            "get": _operation(
                "Where a text stands, in all streams",
                {"200": _json(_object({"hits": {"type": "array", "items": HIT}, "complete": {"type": "boolean"}}))},
                query={"q": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY}, "limit": _count()},
                required=("q",),
            )
        },
        **_openai_paths(),
    }


def _openai_paths() -> dict[str, Any]:
    model = _object({"id": TEXT, "object": TEXT}, required=("id", "object"), more=True)
    models = _object({"object": TEXT, "data": {"type": "array", "items": model}}, required=("object", "data"))
    whole = {"application/json": {"schema": {"type": "object"}}}
    complete = _operation(
        "An answer of a model, as OpenAI's clients ask for it; the header Stream-ID names the stream that keeps it",
        {"200": {"description": "the provider's answer, as it came", "content": {**whole, **_EVENTS}}},
        body=COMPLETION,
        error=OPENAI_ERROR,
    )
    listing = _operation(
        "The models that can be asked, as OpenAI lists them", {"200": _json(models)}, error=OPENAI_ERROR
    )
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    one = _operation("One of them", {"200": _json(model)}, error=OPENAI_ERROR)
    return {
        wire.COMPLETIONS: {"post": complete},
        wire.COMPLETION_MODELS: {"get": listing},
        wire.COMPLETION_MODEL: {"parameters": [name], "get": one},
    }


_TEXT: Schema = {"text/plain": {"schema": TEXT}}
_EVENTS: Schema = {
    "text/event-stream": {"schema": {"type": "object", "properties": {"event": TEXT, "id": TEXT, "data": TEXT}}}
}


def _count() -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": MOST}


def _number(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": 10**15, "description": description}


def _json(schema: Schema) -> Schema:
    return {"description": "as asked", "content": {"application/json": {"schema": schema}}}


def _operation(
    summary: str,
    answers: dict[str, Schema],
    *,
    query: dict[str, Schema] | None = None,
    required: tuple[str, ...] = (),
    body: Schema | None = None,
    error: Schema = ERROR,
) -> dict[str, Any]:
    refused = {"description": "why not", "content": {"application/json": {"schema": error}}}
    operation: dict[str, Any] = {"summary": summary, "responses": {**answers, "4XX": refused, "5XX": refused}}
    if query:
        operation["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in query.items()
        ]
    if body:
        operation["requestBody"] = {"required": False, "content": {"application/json": {"schema": body}}}
    return operation
