"""A stream as data: the stable fields of `--json` and of the daemon's answers, and its title. On the fast path.

A stream out of such fields is `client/stream_fields.py`'s.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from ptstream.streams import Attempt, Stream

    class Titled(Protocol):
        """What has a title: a stream, or a row of a list."""

        @property
        def title(self) -> str | None: ...
        @property
        def prompt(self) -> str | None: ...
        @property
        def command(self) -> Sequence[str] | None: ...
        @property
        def generator(self) -> str | None: ...


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


def title(stream: Titled) -> str:
    """What the stream is called in a list: its title, else the beginning of what it was asked."""
    said = stream.title or stream.prompt or " ".join(stream.command or ()) or stream.generator or ""
    return said.strip().partition("\n")[0][:200]


def iso(moment: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    if moment is None:
        return None
    whole, milliseconds = divmod(round(moment * 1000), 1000)  # so that `moment_of` is its inverse
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"
