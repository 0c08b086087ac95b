"""What a daemon elsewhere answers, held to what the commands are made for: anything may answer there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import fastjsonschema

from ptstream.errors import BadAnswer
from ptstream.stream_json import from_json, moment_of
from ptstream.streams import Attempt, Status, Stream
from ptstream.streams_protocol import Details, Driven, Match

_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)} | more


_ATTEMPT = _object(
    {name: _TEXT_OR_NULL for name in ("ended_at", "cause", "model", "place")}
    | {name: _TEXT for name in ("owner", "started_at")}
    | {name: _COUNT for name in ("epoch", "begin", "pieces")}
    | {"usage": {"type": ["object", "null"]}}
)

_STREAM = _object(
    {name: _TEXT_OR_NULL for name in ("name", "model", "generator", "error", "note", "ended_at", "parent")}
    | {name: _TEXT for name in ("id", "title", "created_at")}
    | {name: {"type": ["integer", "null"]} for name in ("parent_offset", "seam")}
    | {
        "status": {"enum": [status.value for status in Status]},
        "bytes": _COUNT,
        "command": {"type": ["array", "null"], "items": _TEXT},
    },
)

_DETAILS = _STREAM | {
    "properties": _STREAM["properties"]
    | {"attempts": {"type": "array", "items": _ATTEMPT}, "pieces": _COUNT, "chunks": _COUNT}
    | {name: _TEXT_OR_NULL for name in ("prompt", "system")},
    "required": [*_STREAM["required"], "attempts", "pieces", "chunks", "prompt", "system"],
}

ANSWERS: dict[str, dict[str, Any]] = {
    "stream": _STREAM,
    "details": _DETAILS,
    "streams": _object({"streams": {"type": "array", "items": _STREAM}}),
    "driven": _object({"attached": {"type": "boolean"}, "model": _TEXT_OR_NULL, "place": _TEXT_OR_NULL}),
    "state": _object({"status": {"enum": [status.value for status in Status]}, "bytes": _COUNT}),
    "doubt": _object({"doubt": _TEXT_OR_NULL}),
    "found": _object(
        {
            "hits": {"type": "array", "items": _object({"id": _TEXT, "title": _TEXT, "offset": _COUNT, "line": _TEXT})},
            "complete": {"type": "boolean"},
        }
    ),
}
"""JSON schemas of what the commands read of an answer. The daemon here is ours; elsewhere anything may answer."""


@cache
def _validator(name: str) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = fastjsonschema.compile(ANSWERS[name], use_default=False)
    return made


def checked(name: str, answer: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """What `place` answered, if it is what ANSWERS has under `name`. Raises BadAnswer."""
    try:
        _validator(name)(answer)
    except fastjsonschema.JsonSchemaValueException as error:
        raise _bad(place, error.message) from error
    return answer


def stream_of(answer: Mapping[str, Any], place: str) -> Stream:
    """The stream that was answered. Raises BadAnswer."""
    try:
        return from_json(checked("stream", answer, place))
    except ValueError as error:  # its times
        raise _bad(place, str(error)) from error


def streams_of(answer: Mapping[str, Any], place: str) -> list[Stream]:
    """The list of them that was. Raises BadAnswer."""
    return [stream_of(each, place) for each in checked("streams", answer, place)["streams"]]


def details_of(answer: Mapping[str, Any], place: str) -> Details:
    """What was answered of one stream. Raises BadAnswer."""
    fields = checked("details", answer, place)
    try:
        attempts = [_attempt(each) for each in fields["attempts"]]
    except ValueError as error:
        raise _bad(place, str(error)) from error
    return Details(stream_of(answer, place), attempts, fields["pieces"], fields["chunks"])


def driven_of(answer: Mapping[str, Any], place: str) -> Driven:
    """What came of a drive. Raises BadAnswer."""
    fields = checked("driven", answer, place)
    return Driven(fields["attached"], fields["model"], fields["place"])


def hits_of(answer: Mapping[str, Any], place: str) -> list[Match]:
    """Where a text was found. Raises BadAnswer."""
    return [Match(**{name: hit[name] for name in Match._fields}) for hit in checked("found", answer, place)["hits"]]


def _attempt(fields: Mapping[str, Any]) -> Attempt:
    times = {name: moment_of(fields[name]) for name in ("started_at", "ended_at")}
    return Attempt(**{name: fields[name] for name in Attempt._fields} | times)


def _bad(place: str, why: str) -> BadAnswer:
    return BadAnswer(f"what answers at {place} is no daemon of this version: {why[:200]}")
