"""The daemons that keep their streams at one place, as they tell of themselves: see `ptstream daemon status --all`.

An older and a newer daemon may run side by side: what only one of them knows is left out, or None.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ptstream import strict_json
from ptstream.stream_json import iso

SILENT = 10.0
"""Seconds without news of a daemon after which something is wrong with it, or with its way to the store."""


class RunningDaemon(NamedTuple):
    """One daemon. `began_at` is in Unix seconds; it was `heard` of so many seconds ago."""

    host: str
    pid: int
    version: str
    began_at: float
    running: int | None
    paused: int | None
    listen: str | None
    trouble: str | None
    heard: float

    @property
    def silence(self) -> str | None:
        """That it is not heard of, if it is not."""
        return f"not heard of for {self.heard:.0f} s" if self.heard > SILENT else None

    def as_json(self) -> dict[str, Any]:
        """Its stable fields."""
        fields = self._asdict() | {"began_at": iso(self.began_at), "heard": round(self.heard, 1)}
        return fields | {"trouble": "; ".join(filter(None, (self.trouble, self.silence))) or None}


def told_of(daemon: RunningDaemon) -> str:
    """What it tells of itself."""
    fields = daemon._asdict()
    del fields["heard"]
    return strict_json.dumps(fields, compact=True)


def heard_of(told: Iterable[tuple[str, float]]) -> list[RunningDaemon]:
    """The daemons among those that tell something, and were heard of so many seconds ago; the oldest first."""
    found = [daemon for text, heard in told if (daemon := _daemon(text, heard)) is not None]
    return sorted(found, key=lambda daemon: daemon.began_at)


def _daemon(text: str, heard: float) -> RunningDaemon | None:
    try:
        fields = strict_json.loads(text)
        known = {name: fields.get(name) for name in RunningDaemon._fields if name != "heard"}
        return RunningDaemon(**known, heard=max(0.0, heard)) if isinstance(known["began_at"], float) else None
    except (ValueError, AttributeError, RecursionError):  # half written, or another program's
        return None
