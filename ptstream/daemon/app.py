"""The daemon's routes. Each only asks or reads: generations live in the owner's tasks, never in a request.

A request is cancelled when its client leaves, and nothing but its own answer ends with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ptstream import __version__, durable, ending, wire
from ptstream.asides import Asides
from ptstream.drive import Attempt
from ptstream.errors import ClaimLost, DaemonStopping, PtstreamError, UsageError
from ptstream.generators import Caller, Note, Source
from ptstream.generators.llamacpp import LocalServer
from ptstream.generators.models import resolve
from ptstream.lineage import history, text_before
from ptstream.owner import Owner
from ptstream.settings import load
from ptstream.store.patience import patiently
from ptstream.store.recover import settle
from ptstream.store.sqlite import Store
from ptstream.streams import Status, Stream

REMEMBERED = 64
"""Ended attempts whose notes are kept for a driver that has not asked for them yet."""


@dataclass(slots=True, eq=False)
class Daemon:
    """What the routes work on. `stop` is set when the daemon is to end."""

    store: Store
    owner: Owner
    local: LocalServer
    stop: anyio.Event = field(default_factory=anyio.Event)
    failure: PtstreamError | None = None
    """Why it ends, if nobody told it to."""
    asides_of: dict[str, tuple[Asides, anyio.Event]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def status(self) -> dict[str, Any]:
        """What `ptstream daemon status` shows."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "socket": self.store.home.socket,
            "database": self.store.home.database,
            "running": len(self.owner.running),
            "paused": sum(attempt.paused for attempt in self.owner.running.values()),
            "trouble": self.owner.trouble,
            "uptime": round(time.monotonic() - self.began, 3),
        }

    async def drive(self, id: str, caller: Caller, *, on_drop: bool = False) -> dict[str, Any]:
        """Drive a pending stream; one that is driven already, or has ended, is left as it is.

        Raises DaemonStopping, StreamNotFound, ConfigurationError when nothing can generate it, and UsageError when
        it is to go on after a drop and cannot.
        """
        if self.stop.is_set():
            raise DaemonStopping("the daemon is stopping")
        state, _ = settle(self.store, id, self.store.state(id))
        stream = self.store.get(id)
        if state.status is not Status.PENDING:
            return _attached(stream)
        settings = load(self.store.home)  # each time: what the user changes counts from the next drive on
        before = history(self.store, stream)
        source = await resolve(stream, caller, settings, self.store.home, self.local, before)
        if on_drop and source.go_on is None:
            raise UsageError(f"{source.model} cannot go on from a text that broke off: leave out --on-drop")
        note = await self._begin(stream, source)
        try:
            attempt = await self.owner.start(id, source, settings, on_drop=on_drop)
        except ClaimLost:
            return _attached(stream)
        if note:
            attempt.asides.add(Note(note))
        self._remember(attempt)
        return {"id": id, "attached": False, "model": source.model, "place": source.place}

    async def cancel(self, id: str) -> dict[str, Any]:
        """End a stream; one that is driven here at once, also when the store takes no mark. See `ending.cancel`."""
        if attempt := self.owner.running.get(id):
            attempt.stop(Status.CANCELLED, f"cancelled at byte {attempt.offset}")
            with anyio.move_on_after(ending.ANSWER_TIME):
                await attempt.ended.wait()
        else:
            await ending.cancel(self.store, id)
        state = self.store.state(id)
        return {"id": id, "status": state.status, "bytes": state.bytes, "error": state.error}

    async def _begin(self, stream: Stream, source: Source) -> str | None:
        """Let a stream that comes after another one begin with that one's text, if its source can go on from there."""
        if stream.seam is not None or stream.parent is None:
            return None
        text = text_before(self.store, stream.parent, stream.parent_offset) if source.go_on else ""
        await patiently(lambda: self.store.begin(stream.id, text))
        if source.go_on:
            return f"goes on from {stream.parent} at byte {stream.parent_offset}"
        return f"{source.model} cannot go on from a text: it begins anew"

    def _remember(self, attempt: Attempt) -> None:
        """For a driver that asks for notes after a short end. Not the attempt, which holds its caller's environment."""
        self.asides_of[attempt.claim.id] = (attempt.asides, attempt.ended)
        ended = [id for id, (_, end) in self.asides_of.items() if end.is_set()]
        for id in ended[:-REMEMBERED]:
            del self.asides_of[id]

    async def asides(self, id: str) -> AsyncIterator[bytes]:
        """What the running attempt says beside its text, as server-sent events, to its end."""
        if id not in self.asides_of:
            return
        asides, end = self.asides_of[id]
        seen, ended = 0, False
        while not ended:
            ended, rung = end.is_set(), asides.bell.next()
            yield _events(asides, seen)
            seen = asides.since(seen)[1]
            if not ended:
                await rung.wait()


def _attached(stream: Stream) -> dict[str, Any]:
    return {"id": stream.id, "attached": True, "model": stream.words.model, "place": None}


def _events(asides: Asides, seen: int) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n"
        % ((wire.NOTE if isinstance(entry, Note) else wire.REASONING).encode(), wire.dumps(entry.text))
        for entry in asides.since(seen)[0]
    )


Handler = Callable[[Daemon, Request], Awaitable[Response]]


def _json(value: Any) -> Response:
    return Response(wire.dumps(value), media_type="application/json")


async def _status(daemon: Daemon, _: Request) -> Response:
    return _json(daemon.status())


async def _stop(daemon: Daemon, request: Request) -> Response:
    idle = request.query_params.get("idle")
    # One that is to be replaced may be busy by now, or another that was started since.
    if idle is None or (idle == str(os.getpid()) and not daemon.owner.running):
        daemon.stop.set()
    return _json(daemon.status())


async def _drive(daemon: Daemon, request: Request) -> Response:
    try:
        caller, on_drop = _asked(json.loads(await request.body()))
    except ClientDisconnect as error:
        raise UsageError("the request broke off") from error  # nobody hears it, and it is no fault of ours
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"  # its `repr` may hold all of the body, and keys with it
        raise UsageError(f"a drive is asked for with directory, environment, umask and python: {what}") from error
    return _json(await daemon.drive(request.path_params["id"], caller, on_drop=on_drop))


def _asked(told: Any) -> tuple[Caller, bool]:
    """What a drive is asked for with: from where, and whether it goes on after a drop.

    Raises ValueError, KeyError, TypeError for what no operating system would have given to the client.
    """
    names = ("directory", "environment", "umask", "python", "stderr", "on_drop")
    directory, environment, umask, python, stderr, on_drop = (told[name] for name in names)
    if not isinstance(environment, dict) or any("=" in name for name in environment):
        raise ValueError("the environment is no environment")
    if type(umask) is not int or not 0 <= umask <= 0o777:
        raise ValueError("the umask is none")
    if not isinstance(stderr, bool) or not isinstance(on_drop, bool):
        raise TypeError("stderr and on_drop are true or false")
    variables = {_given(name): _given(value) for name, value in environment.items()}
    return Caller(_given(directory), variables, umask, None if python is None else _given(python), stderr), on_drop


def _given(text: Any) -> str:
    """`text`, if a path, or a word of an environment, can be that. Raises ValueError, TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} instead of a string")
    if b"\0" in text.encode("utf-8", "surrogateescape"):
        raise ValueError("a NUL inside a string")
    return text


async def _cancel(daemon: Daemon, request: Request) -> Response:
    return _json(await daemon.cancel(request.path_params["id"]))


async def _text(daemon: Daemon, request: Request) -> Response:
    ask = durable.asked(request.query_params, request.headers)
    reader = durable.Reader(daemon.store, request.path_params["id"], ask, daemon.owner.audience)
    if request.method == "HEAD":
        return reader.head()
    return await reader.respond(none_match=request.headers.get("if-none-match"))


async def _asides(daemon: Daemon, request: Request) -> Response:
    return _streamed(request, daemon.asides(request.path_params["id"]), "text/event-stream")


def _streamed(request: Request, body: AsyncIterable[bytes], media_type: str) -> Response:
    """The body as it comes. HEAD is answered at once: the next request on its connection would wait for the end."""
    if request.method != "HEAD":
        return StreamingResponse(body, media_type=media_type)
    answer = Response(media_type=media_type)
    del answer.headers["content-length"]  # GET has none
    return answer


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", wire.STATUS, _status),
    ("POST", wire.STOP, _stop),
    ("POST", wire.DRIVE, _drive),
    ("POST", wire.CANCEL, _cancel),
    ("GET", wire.TEXT, _text),
    ("GET", wire.ASIDES, _asides),
]


def make_app(daemon: Daemon) -> Starlette:
    """The HTTP application over `daemon`."""

    def bound(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await handler(daemon, request)

        return endpoint

    return Starlette(
        routes=[Route(path, bound(handler), methods=[method]) for method, path, handler in ROUTES],
        exception_handlers={PtstreamError: _refuse},
    )


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, PtstreamError)
    return Response(wire.error_body(error), error.http_status, media_type="application/json")
