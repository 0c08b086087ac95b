"""A daemon on another machine, as the command line asks it: see `ssh.py` for the way there.

All that the commands need of a store that is not here: what there is, what is made, driven, read and deleted. A reading
goes on over a new connection where one broke: the number of bytes received is where it goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
import fastjsonschema
import httpx

from ptstream import wire
from ptstream.client import BadAnswer, Client, Driven
from ptstream.errors import DaemonUnreachable, ungrouped
from ptstream.fields import from_json
from ptstream.ssh import Hear, Host, Transport
from ptstream.streams import Status

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try to connect, when a connection broke."""

T = TypeVar("T")

_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_PLAIN: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
_ATTEMPT: dict[str, Any] = {"type": "object", "additionalProperties": {"anyOf": [_PLAIN, {"type": "object"}]}}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)} | more


_STREAM = _object(
    {name: _TEXT_OR_NULL for name in ("name", "model", "generator", "error", "note", "ended_at", "parent")}
    | {name: _TEXT for name in ("id", "title", "created_at")}
    | {name: {"type": ["integer", "null"]} for name in ("parent_offset", "seam")}
    | {
        "status": {"enum": [status.value for status in Status]},
        "bytes": _COUNT,
        "command": {"type": ["array", "null"], "items": _TEXT},
    },
    # What `show` prints besides: words, counts, and attempts with their usage.
    additionalProperties={"anyOf": [_PLAIN, {"type": "array", "items": _ATTEMPT}]},
)

ANSWERS: dict[str, dict[str, Any]] = {
    "stream": _STREAM,
    "streams": _object({"streams": {"type": "array", "items": _STREAM}}),
    "driven": _object({"attached": {"type": "boolean"}, "model": _TEXT_OR_NULL, "place": _TEXT_OR_NULL}),
    "state": _object({"status": _TEXT, "bytes": _COUNT}),
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


def path_of(path: str, reference: str) -> str:
    """The path that means a stream: a name may hold what a path has another use for."""
    return path.format(id=quote(reference, safe="@").replace(".", "%2E"))


@dataclass(slots=True, eq=False)
class Remote(Client):
    """A connection to a daemon elsewhere. Where a method takes `reference`, it is an id, its beginning, a name, @last.

    Made by `connect_to`. What answers there is not trusted: each method raises BadAnswer for what no daemon says.
    """

    transport: Transport

    async def show(self, reference: str) -> dict[str, Any]:
        """What is known of a stream. Raises StreamNotFound, AmbiguousId."""
        return self._checked("stream", await self._ask("GET", path_of(wire.STREAM, reference)))

    async def streams(self, limit: int, status: str | None) -> list[dict[str, Any]]:
        """The newest, newest first."""
        query = {"limit": limit} | ({"status": status} if status else {})
        told = self._checked("streams", await self._ask("GET", wire.STREAMS, query=query))
        streams: list[dict[str, Any]] = told["streams"]
        return streams

    async def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A pending stream, out of the fields of a POST; what there is of it. Raises NameTaken, UsageError."""
        return self._checked("stream", await self._ask("POST", wire.STREAMS, wire.dumps(fields)))

    async def fill(self, id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Give a pending stream what it was made without. Raises WordsDiffer."""
        return self._checked("stream", await self._ask("PATCH", wire.STREAM.format(id=id), wire.dumps(fields)))

    async def drive_there(self, id: str, *, stderr: bool = False, on_drop: bool = False) -> Driven:
        """Have it driven there, as who was let in: with that user's directory and environment. See `Client.drive`.

        Raises CallerGone if the connection ended meanwhile.
        """
        if self.transport.caller is None:
            await self.status()  # connects
        told = {"caller": self.transport.caller, "stderr": stderr, "on_drop": on_drop}
        answer = self._checked("driven", await self._ask("POST", wire.DRIVE.format(id=id), wire.dumps(told)))
        return Driven(answer["attached"], answer["model"], answer["place"])

    async def page(self, id: str, offset: int) -> bytes:
        """The text that is there from `offset`: some of it. Raises OffsetBeyondEnd."""
        return await self._answer("GET", wire.TEXT.format(id=id), query={"offset": str(offset)})

    async def delete(self, id: str) -> None:
        """Delete it; one that runs is cancelled first. Raises StreamNotFound, OwnerStopped."""
        await self._answer("DELETE", wire.STREAM.format(id=id))

    async def search(self, query: str, limit: int) -> dict[str, Any]:
        """Where a text stands: `hits`, and whether they are `complete`."""
        return self._checked("found", await self._ask("GET", wire.SEARCH, query={"q": query, "limit": limit}))

    async def cancel(self, id: str, *, drain: bool = False) -> dict[str, Any]:
        """See `Client.cancel`."""
        # Not `super()`, which a dataclass with slots makes of another class than this one.
        return self._checked("state", await Client.cancel(self, id, drain=drain))

    def _checked(self, name: str, told: dict[str, Any]) -> dict[str, Any]:
        """What was told, if it is what the commands are made for. Raises BadAnswer."""
        try:
            _validator(name)(told)
            for fields in {"stream": [told], "streams": told.get("streams", [])}.get(name, []):
                from_json(fields)  # its times
        except (fastjsonschema.JsonSchemaValueException, ValueError) as error:
            why = getattr(error, "message", str(error))[:200]
            raise BadAnswer(f"what answers at {self.place} is no daemon of this version: {why}") from error
        return told


@contextlib.asynccontextmanager
async def connect_to(host: Host, hear: Hear) -> AsyncIterator[Remote]:
    """The daemon there. It is connected to, and started if need be, by the first request: each may raise SshFailed.

    `hear` is told each line that ssh, or what runs there, says on stderr.
    """
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            transport = Transport(host, tasks, hear)
            # No time-out: somebody may have to type a password.
            async with httpx.AsyncClient(
                transport=transport,
                base_url=wire.BASE_URL,
                timeout=None,
                headers=wire.PLAIN,
                event_hooks={"response": [wire.check_plain]},
            ) as http:
                yield Remote(host.destination, http, transport)
            tasks.cancel_scope.cancel()


class Persistence:
    """Trying again when a connection broke, with a pause that grows; `say` is told."""

    def __init__(self, say: Callable[[str], None], pauses: Sequence[float] = PAUSES) -> None:
        self._say = say
        self._pauses = pauses
        self._failed = 0

    def succeeded(self) -> None:
        """What comes next may fail as often."""
        self._failed = 0

    async def failed(self, error: DaemonUnreachable) -> None:
        """Wait for the time of the next try. Raises the error if there is none."""
        if self._failed == len(self._pauses):
            raise error
        await anyio.sleep(self._pauses[self._failed])
        self._failed += 1
        # Not before: Ctrl-C ends ssh too, and its user has left by now.
        self._say(f"{error} · connecting again ({self._failed} of {len(self._pauses)})")

    async def of(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, once it can."""
        while True:
            try:
                result = await work()
            except DaemonUnreachable as error:
                await self.failed(error)
            else:
                self.succeeded()
                return result


async def follow(remote: Remote, id: str, offset: int, persistence: Persistence) -> AsyncGenerator[bytes, None]:
    """The stream's bytes from `offset` as they come, to its end: each once, over as many connections as it takes."""
    while True:
        try:
            async with contextlib.aclosing(remote.text(id, offset)) as runs:
                async for data in runs:
                    offset += len(data)
                    persistence.succeeded()
                    yield data
            return
        except DaemonUnreachable as error:
            await persistence.failed(error)
