"""What a daemon elsewhere answers, held to what the commands are made for: anything may answer there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, structs

from ptstream.client.stream_fields import from_json, moment_of
from ptstream.errors import BadAnswer
from ptstream.roll_call import RunningDaemon
from ptstream.streams import EXIT, Attempt, Kept, Status, Stream
from ptstream.streams_protocol import Chunks, Details, Driven, Match

Count = Annotated[int, Meta(ge=0)]


class AnsweredAttempt(Struct):
    """One attempt of a stream; `Attempt` says what its fields are. Times are ISO 8601."""

    epoch: Count
    owner: str
    begin: Count
    started_at: str
    ended_at: str | None
    pieces: Count
    cause: str | None
    usage: dict[str, Any] | None
    model: str | None
    place: str | None
    exit_code: int | None = None
    signal: str | None = None


class AnsweredStream(Struct, kw_only=True):
    """A stream's stable fields, as far as they are read; `Stream` says what they are. Times are ISO 8601."""

    id: str
    name: str | None
    title: str
    status: Status
    bytes: Count
    model: str | None
    command: list[str] | None
    generator: str | None
    error: str | None
    note: str | None
    created_at: str
    ended_at: str | None
    parent: str | None
    parent_offset: int | None
    seam: int | None
    options: dict[str, Any] | None = None
    prompt: str | None = None
    system: str | None = None


class AnsweredDetails(AnsweredStream, kw_only=True):
    """The same with all else that is known of a stream."""

    attempts: list[AnsweredAttempt]
    pieces: Count
    chunks: Count


class AnsweredStreams(Struct):
    """Some streams."""

    streams: list[AnsweredStream]


class AnsweredListDetails(Struct):
    """Some streams, with all that is known of each."""

    streams: list[AnsweredDetails]


class AnsweredChunk(Struct):
    """One chunk; `Kept` says what its fields are. Its time is ISO 8601."""

    start: Count
    stop: Count
    at: str


class AnsweredChunks(Struct):
    """When a text came."""

    chunks: list[AnsweredChunk]
    end: Count


class AnsweredDrive(Struct):
    """What came of a drive."""

    attached: bool
    model: str | None
    place: str | None


class AnsweredState(Struct):
    """Where a stream stands."""

    status: Status
    bytes: Count


class AnsweredDoubt(Struct):
    """What speaks against a drive."""

    doubt: str | None


class AnsweredHit(Struct):
    """One place where a text was found."""

    id: str
    title: str
    offset: Count
    line: str
    where: str


class AnsweredHits(Struct):
    """The places where a text was found; `complete`: there are no more."""

    hits: list[AnsweredHit]
    complete: bool


class AnsweredDaemon(Struct):
    """A daemon; `RunningDaemon` says what its fields are. Its beginning is ISO 8601."""

    host: str
    pid: Count
    version: str
    began_at: str
    running: Count | None
    paused: Count | None
    listen: str | None
    trouble: str | None
    heard: float


class AnsweredDaemons(Struct):
    """All daemons of a store."""

    daemons: list[AnsweredDaemon]


Answer = TypeVar("Answer", bound=Struct)


def checked(form: type[Answer], answer: Mapping[str, Any], place: str) -> Answer:
    """What `place` answered, of which `strict_json` made values, if it has this form. Raises BadAnswer."""
    try:
        return convert(answer, form)
    except (ValidationError, UnicodeEncodeError) as error:  # the latter of a lone surrogate
        raise _bad(place, str(error)) from error


def stream_of(answer: Mapping[str, Any], place: str) -> Stream:
    """The stream that was answered. Raises BadAnswer."""
    return _stream(checked(AnsweredStream, answer, place), place)


def streams_of(answer: Mapping[str, Any], place: str) -> list[Stream]:
    """The list of them that was. Raises BadAnswer."""
    return [_stream(each, place) for each in checked(AnsweredStreams, answer, place).streams]


def details_of(answer: Mapping[str, Any], place: str) -> Details:
    """What was answered of one stream. Raises BadAnswer."""
    return _details(checked(AnsweredDetails, answer, place), place)


def list_details_of(answer: Mapping[str, Any], place: str) -> list[Details]:
    """The same of several. Raises BadAnswer."""
    return [_details(each, place) for each in checked(AnsweredListDetails, answer, place).streams]


def chunks_of(answer: Mapping[str, Any], place: str) -> Chunks:
    """When a text came. Raises BadAnswer."""
    said = checked(AnsweredChunks, answer, place)
    try:
        return Chunks([Kept(each.start, each.stop, moment_of(each.at) or 0) for each in said.chunks], said.end)
    except ValueError as error:  # their times
        raise _bad(place, str(error)) from error


def driven_of(answer: Mapping[str, Any], place: str) -> Driven:
    """What came of a drive. Raises BadAnswer."""
    return Driven(**structs.asdict(checked(AnsweredDrive, answer, place)))


def hits_of(answer: Mapping[str, Any], place: str) -> list[Match]:
    """Where a text was found. Raises BadAnswer."""
    return [Match(**structs.asdict(hit)) for hit in checked(AnsweredHits, answer, place).hits]


def daemons_of(answer: Mapping[str, Any], place: str) -> list[RunningDaemon]:
    """The daemons that were answered. Raises BadAnswer."""
    try:
        return [
            RunningDaemon(**structs.asdict(each) | {"began_at": moment_of(each.began_at)})
            for each in checked(AnsweredDaemons, answer, place).daemons
        ]
    except ValueError as error:  # their times
        raise _bad(place, str(error)) from error


def _stream(answer: AnsweredStream, place: str) -> Stream:
    try:
        return from_json(structs.asdict(answer))
    except ValueError as error:  # its times
        raise _bad(place, str(error)) from error


def _details(answer: AnsweredDetails, place: str) -> Details:
    try:
        attempts = [_attempt(each) for each in answer.attempts]
    except ValueError as error:  # its times
        raise _bad(place, str(error)) from error
    return Details(_stream(answer, place), attempts, answer.pieces, answer.chunks)


def _attempt(answer: AnsweredAttempt) -> Attempt:
    fields = structs.asdict(answer)
    fields |= {name: moment_of(fields[name]) for name in ("started_at", "ended_at")}
    known = {name: value for name in EXIT if (value := fields.pop(name)) is not None}
    fields["usage"] = {**(answer.usage or {}), **known} or None
    return Attempt(**fields)


def _bad(place: str, why: str) -> BadAnswer:
    return BadAnswer(f"what answers at {place} is no daemon of this version: {why[:200]}")
