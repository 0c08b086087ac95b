"""A stream as data: the stable fields of `--json` and of the daemon's answers. On the fast path: no datetime."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ptstream.errors import DaemonUnreachable
from ptstream.ids import is_id
from ptstream.streams import Attempt, GenerationRequest, Status, Stream


def as_json(stream: Stream, attempts: list[Attempt] | None = None) -> dict[str, Any]:
    """The stable fields of a stream; with `attempts`, those of `show` too. Times are ISO 8601 in UTC."""
    fields: dict[str, Any] = {
        "id": stream.id,
        "name": stream.name,
        "title": title(stream),
        "status": stream.status.value,
        "bytes": stream.bytes,
        "model": stream.request.model,
        "command": stream.request.command and list(stream.request.command),
        "generator": stream.request.generator,
        "options": stream.request.options,
        "error": stream.error,
        "note": stream.note,
        "created_at": iso(stream.created_at),
        "ended_at": iso(stream.ended_at),
        "parent": stream.parent,
        "parent_offset": stream.parent_offset,
        "seam": stream.seam,
    }
    if attempts is not None:
        fields["exit_code"] = attempts[-1].exit_code if attempts else None
        fields["signal"] = attempts[-1].signal if attempts else None
        fields["prompt"] = stream.request.prompt
        fields["system"] = stream.request.system
        fields["attempts"] = [_attempt(attempt) for attempt in attempts]
    return fields


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "epoch": attempt.epoch,
        "model": attempt.model,
        "place": attempt.place,
        "owner": attempt.owner,
        "begin": attempt.begin,
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "pieces": attempt.pieces,
        "cause": attempt.cause,
        "usage": attempt.counts,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
    }


def title(stream: Stream) -> str:
    """What the stream is called in a list: its title, else the beginning of what it was asked."""
    request = stream.request
    said = stream.title or request.prompt or " ".join(request.command or ()) or request.generator or ""
    return said.strip().partition("\n")[0][:200]


def iso(moment: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    if moment is None:
        return None
    whole, milliseconds = divmod(round(moment * 1000), 1000)  # so that `moment_of` is its inverse
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def from_json(fields: Mapping[str, Any]) -> Stream:
    """The stream that has these stable fields: of its prompts as much as they hold.

    Raises DaemonUnreachable for an id that is none: messages suggest commands with it in them.
    """
    if not is_id(fields["id"]):
        raise DaemonUnreachable(f"what answers is no ptstream: it calls a stream {fields['id']!r}")
    command = fields["command"]
    request = GenerationRequest(
        prompt=fields.get("prompt"),
        system=fields.get("system"),
        model=fields["model"],
        command=command and tuple(command),
        generator=fields["generator"],
        options=fields.get("options"),
    )
    same = ("id", "name", "title", "bytes", "error", "note", "parent", "parent_offset", "seam")
    created_at = moment_of(fields["created_at"])
    assert created_at is not None
    return Stream(
        status=Status(fields["status"]),
        request=request,
        created_at=created_at,
        ended_at=moment_of(fields["ended_at"]),
        **{name: fields[name] for name in same},
    )


def moment_of(word: str | None) -> float | None:
    """Unix seconds, from what `iso` has made of them."""
    if word is None:
        return None
    from calendar import timegm

    return timegm(time.strptime(word[:19], "%Y-%m-%dT%H:%M:%S")) + int(word[20:23]) / 1000
