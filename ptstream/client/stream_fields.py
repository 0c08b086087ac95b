"""A stream out of the stable fields that a daemon answers with, which `stream_json.py` has made."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Mapping
from typing import Any

from ptstream.errors import DaemonUnreachable
from ptstream.ids import is_id
from ptstream.streams import GenerationRequest, Status, Stream


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
    return timegm(time.strptime(word[:19], "%Y-%m-%dT%H:%M:%S")) + int(word[20:23]) / 1000
