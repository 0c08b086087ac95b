"""What the daemon's routes work on: the store, the owner, and how a stream is driven on a caller's behalf.

Generations live in the owner's tasks, never in a request. It knows no HTTP.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from ptstream import __version__, cancellation
from ptstream.config import Settings, load
from ptstream.conversation import history, text_before
from ptstream.daemon.spooled_buffer import Quota
from ptstream.drive import Drive
from ptstream.engine.protocol import Engine
from ptstream.engine_streams import EngineStreams
from ptstream.errors import CallerGone, ClaimLost, DaemonStopping, PtstreamError, UsageError
from ptstream.generators import Caller, Note, Remark, Source
from ptstream.generators.llamacpp.local_server import LocalServer
from ptstream.generators.models.resolve import resolve
from ptstream.generators.openai.request import UnsupportedFields
from ptstream.owner import Owner
from ptstream.remarks import Remarks
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status, Stream

REMEMBERED = 64
"""Ended attempts whose notes are kept for a driver that has not asked for them yet."""


class OnTcp(Protocol):
    """The daemon on TCP; see `tcp_server.TcpServer`."""

    @property
    def url(self) -> str: ...

    def invitation(self) -> str: ...

    def lock(self) -> None: ...


class OpensTcp(Protocol):
    """How it comes to be there; see `listen_policy.ListenPolicy`."""

    @property
    def server(self) -> OnTcp | None:
        """Where it answers on TCP, if it does."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why it does not listen where the config file says."""
        ...

    async def ensure(self) -> OnTcp:
        """Open that, if it is not. Raises ConfigurationError."""
        ...


@dataclass(slots=True, eq=False)
class Daemon:
    """The daemon of one home. `stop` is set when it is to end."""

    home: Home
    engine: Engine
    owner: Owner
    local: LocalServer
    unsupported: UnsupportedFields = field(default_factory=UnsupportedFields)
    """What endpoints were found not to understand, while the daemon lives."""
    stop: anyio.Event = field(default_factory=anyio.Event)
    failure: PtstreamError | None = None
    """Why it ends, if nobody asked for that."""
    remarks_of: dict[str, tuple[Remarks, anyio.Event]] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    """On whose behalf connections from elsewhere drive here, for as long as each lasts."""
    spool_quota: Quota = field(default_factory=Quota)
    """For what waits for clients that are slower than their answers."""
    streams: EngineStreams = field(init=False)
    """Those of the home: all that asks nobody to drive."""
    began: float = field(default_factory=time.monotonic)
    tcp: OpensTcp | None = None

    def __post_init__(self) -> None:
        self.streams = EngineStreams(self.engine)

    def status(self) -> dict[str, Any]:
        """What `ptstream daemon status` shows."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "socket": self.home.socket,
            "database": self.engine.location,
            "store": self.home.store_name,
            "listen": self.tcp.server.url if self.tcp and self.tcp.server else None,
            "running": len(self.owner.running),
            "paused": sum(attempt.paused for attempt in self.owner.running.values()),
            "trouble": "; ".join(filter(None, (self.owner.trouble, self.tcp.trouble if self.tcp else None))) or None,
            "uptime": round(time.monotonic() - self.began, 3),
        }

    async def drive(
        self, id: str, caller: Caller, check: Callable[[GenerationRequest], None], *, on_drop: bool = False
    ) -> dict[str, Any]:
        """Drive a pending stream; one that is driven already, or has ended, is left as it is.

        `check` is given the words that are driven, and raises where they may not be. Raises DaemonStopping,
        StreamNotFound, ConfigurationError when nothing can generate it, and UsageError when it is to go on after a
        drop and cannot.
        """
        if self.stop.is_set():
            raise DaemonStopping("the daemon is stopping")
        state = await self.engine.recovered(id)
        stream = await self.engine.get(id)
        check(stream.request)
        if state.status is not Status.PENDING:
            return _attached(stream)
        settings = load(self.home)  # each time: what the user changes counts from the next drive on
        before = await history(self.engine, stream) if stream.parent else []
        source = await resolve(stream, caller, settings, self.home, self.local, before, self.unsupported)
        if on_drop and source.resume is None:
            raise UsageError(f"{source.model} cannot go on from a text that broke off: leave out --on-drop")
        if source.asked_as:
            await self.engine.fill(id, GenerationRequest(model=source.asked_as))
        note = await self._begin(stream, source)
        try:
            attempt = await self.start(id, source, settings, on_drop=on_drop)
        except ClaimLost:
            return _attached(stream)
        if note:
            attempt.remarks.add(Note(note))
        return {"id": id, "attached": False, "model": source.model, "place": source.place}

    async def start(self, id: str, source: Source, settings: Settings, *, on_drop: bool = False) -> Drive:
        """See `Owner.start`; what is said beside the text is kept for whoever asks for it."""
        attempt = await self.owner.start(id, source, settings, on_drop=on_drop)
        self.remember(attempt)
        return attempt

    def caller(self, id: str) -> Caller:
        """Who was registered so. Raises CallerGone."""
        try:
            return self.callers[id]
        except KeyError as error:
            raise CallerGone("the connection that asks for the drive is not there (any more)") from error

    async def cancel(self, id: str, *, drain: bool = False) -> dict[str, Any]:
        """End a stream; one that is driven here at once, also when the store takes no mark. See `cancellation`."""
        attempt = self.owner.running.get(id)
        if attempt and not drain:
            attempt.stop(Status.CANCELLED, f"cancelled at byte {attempt.offset}")
            with anyio.move_on_after(cancellation.ANSWER_TIME):
                await attempt.ended.wait()
        if attempt is None or drain or attempt.remarks.go_on:  # or it was handed over just before
            await cancellation.cancel(self.engine, id, drain=drain)
        state = await self.engine.recovered(id)
        return {"id": id, "status": state.status, "bytes": state.bytes, "error": state.error}

    async def _begin(self, stream: Stream, source: Source) -> str | None:
        """Let a stream that comes after another one begin with that one's text, if its source can go on from there."""
        if stream.seam is not None or stream.parent is None:
            return None
        parent, offset, text = stream.parent, stream.parent_offset, ""
        if source.resume:
            text = await text_before(self.engine, parent, offset)
        await self.engine.begin(stream.id, text)
        if not stream.parent_offset:  # it was only asked again
            return None
        if source.resume:
            return f"goes on from {stream.parent} at byte {stream.parent_offset}"
        return f"{source.model} cannot go on from a text: it begins anew"

    def remember(self, attempt: Drive) -> None:
        """For a driver that asks for notes after a short end. Not the attempt, which holds its caller's environment."""
        self.remarks_of[attempt.claim.id] = (attempt.remarks, attempt.ended)
        ended = [id for id, (_, end) in self.remarks_of.items() if end.is_set()]
        for id in ended[:-REMEMBERED]:
            del self.remarks_of[id]

    def goes_on_elsewhere(self, id: str) -> bool:
        """Whether the stream was handed over, so that more may be said of it by another daemon."""
        return id in self.remarks_of and self.remarks_of[id][0].go_on

    async def remarks(self, id: str, seen: int = 0) -> AsyncIterator[list[tuple[int, Remark]]]:
        """What the running attempt says beside its text after the first `seen`, numbered, as it comes, to its end."""
        if id not in self.remarks_of:
            return
        remarks, end = self.remarks_of[id]
        ended = False
        while not ended:
            ended, rung = end.is_set(), remarks.bell.next()
            yield _numbered(remarks, seen)
            seen = remarks.since(seen)[1]
            if not ended:
                await rung.wait()


def _numbered(remarks: Remarks, seen: int) -> list[tuple[int, Remark]]:
    entries, total = remarks.since(seen)
    first = total - len(entries) + 1
    numbered = list(enumerate(entries, first))
    if seen > remarks.before and first > seen + 1:  # said to whoever was listening; who comes late, comes late
        numbered.insert(0, (first - 1, Note("more was said beside the text than is kept: some is missing here")))
    return numbered


def _attached(stream: Stream) -> dict[str, Any]:
    return {"id": stream.id, "attached": True, "model": stream.request.model, "place": None}
