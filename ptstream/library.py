"""ptstream inside a program: create, drive, follow. No daemon: the program itself is the owner.

What the iterators here return only reads, so that leaving a loop detaches and never cancels.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from ptstream import cancellation
from ptstream.config import Settings, load
from ptstream.drive import Drive
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.engine_streams import EngineStreams
from ptstream.errors import (
    ENDS,
    ClaimLost,
)
from ptstream.follow import Audience, Follow
from ptstream.generators import Source
from ptstream.generators.function.in_program import from_function
from ptstream.generators.function.signature import appends, check
from ptstream.owner import Owner, open_owner
from ptstream.settings import Home, find_home
from ptstream.streams import Body, Flush, GenerationRequest, Piece, State, Status, Stream
from ptstream.termination_signals import Interruptible, on_termination
from ptstream.ungrouped import ungrouped

if TYPE_CHECKING:
    from starlette.responses import Response

    from ptstream.http.stream_reader import StreamReader

logger = logging.getLogger("ptstream")

SAID_AFTER = 1.0
"""Seconds of waiting for running drives after which the log says so."""

Generate = Callable[..., Any]
"""`async def generate(stream): yield "…"`, or `async def generate(stream, append): await append("…")`."""


class Pieces:
    """An async iterator of `Piece`. Raises StreamFailed, StreamTimedOut or StreamCancelled after a bad end."""

    def __init__(self, follow: Follow, begin: Callable[[], Any] | None = None) -> None:
        self._follow = follow
        self._begin = begin
        self._drive: Drive | None = None

    def __aiter__(self) -> Pieces:
        return self

    async def begin(self) -> None:
        """Have the drive begin, if there is one to begin: the first `anext` does it, too."""
        if self._begin is not None:
            self._drive = await self._begin()
            self._begin = None

    async def __anext__(self) -> Piece:
        await self.begin()
        cursor = self._follow.cursor
        try:
            data = await anext(self._follow)
        except StopAsyncIteration:
            self._raise_bad_end(cursor.state)
            raise
        try:
            return Piece(data.decode(), cursor.offset)
        except UnicodeDecodeError as error:
            raise ValueError(f"offset {cursor.offset - len(data)} lies inside a character") from error

    def _raise_bad_end(self, state: State | None) -> None:
        if state is not None and state.status in ENDS:
            exception = self._drive.end.exception if self._drive and self._drive.end else None
            raise ENDS[state.status](state.error or f"the stream was {state.status}") from exception


class PersistentStreams:
    """The streams of one home, and the drives of this program. Made by `open`."""

    def __init__(self, engine: Engine, settings: Settings, tasks: TaskGroup, under_way: Interruptible) -> None:
        self._engine = engine
        self._streams = EngineStreams(engine)
        self._settings = settings
        self._tasks = tasks
        self._under_way = under_way
        self._owner: Owner | None = None
        self._audience = Audience()
        self._owner_lock = anyio.Lock()
        self._leave = anyio.Event()
        self._disowned = anyio.Event()

    async def create(
        self,
        prompt: str | None = None,
        *,
        name: str | None = None,
        title: str | None = None,
        system: str | None = None,
        model: str | None = None,
        flush: Flush | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a pending stream; its id. The same name and request are the same stream.

        `options` are further fields of the request to a model: temperature, seed and the like.

        Raises NameTaken for a taken name with another request, UsageError for a name that cannot be one.
        """
        request = GenerationRequest(prompt=prompt, system=system, model=model, flush=flush, options=options)
        return (await self._streams.create(request, name=name, title=title)).id

    def drive(self, id: str, generate: Generate) -> Pieces:
        """Run `generate` as the stream's text, from the first `anext` on, and read it from its start.

        A stream that is driven already (by anybody) is attached to, one that has ended is read; its generator is
        not called again. Leaving the loop leaves the drive running. Raises TypeError for a function that is no
        generator.
        """
        check(generate)
        return Pieces(
            Follow(self._engine.cursor(id), audience=self._audience), lambda: self.start(id, generate, logged=False)
        )

    async def stream(self, id: str) -> Stream:
        """What is known of the stream. Raises StreamNotFound."""
        return await self._streams.get(id)

    async def streams(self, limit: int | None = None) -> list[Stream]:
        """The streams there are, newest first. Of their prompts only the openings: `stream` has all."""
        return (await self._streams.list(limit)).streams

    async def body(self, id: str) -> Body:
        """All the text there is now, the tail included, and the status. Raises StreamNotFound."""
        size = (await self._engine.recovered(id)).size  # a fast stream would never let its reader return
        cursor, runs = self._engine.cursor(id), []
        while data := await cursor.read():
            runs.append(data)
            if cursor.offset >= size:
                break
            await anyio.lowlevel.checkpoint()
        cursor.close()
        assert cursor.state is not None
        return Body(b"".join(runs).decode(), cursor.state.status, cursor.offset, cursor.state.error)

    def follow(self, id: str, offset: int = 0, *, live: bool = True) -> Pieces:
        """Read the stream from byte `offset` to its end: every piece as it comes, or whole sentences out of the
        database if not `live`. Raises ValueError for an offset inside a character."""
        audience = self._audience if live else None
        return Pieces(Follow(self._engine.cursor(id, offset, live=live), audience=audience))

    # --- as answers of a web app

    def response(self, id: str, generate: Generate) -> Response:
        """The same as `drive`, as the answer of a Starlette or FastAPI app: the text as it comes, stored on the way.

        A request that accepts `text/event-stream` gets what `events` gives. Its client's going does not stop the
        drive; another one attaches. No such stream is a 404. The text ends in order only with a stream that is
        `done`: another end breaks it off, and so does a signal for the process to end. What the generator raises is
        logged, with its traceback. Raises TypeError for a function that is no generator.
        """
        from ptstream.http import app_response  # for its weight: a program that serves nothing has no web framework

        check(generate)
        reader_at, begin = partial(self._reader, id), partial(self.start, id, generate)
        return app_response.AppResponse(id, reader_at, app_response.TEXT, self._under_way, begin=begin)

    def events(self, id: str, offset: int | str = 0) -> Response:
        """The same as `follow`, as server-sent events, for whoever does not drive.

        As the daemon sends them, by the Durable Streams protocol: the event `data` is text (or base64, if the request's
        parameter `encoding` says so), and the `control` after it says in JSON where it ends; its id is that offset, so
        that `Last-Event-ID` is an `offset` to go on from. The last `control` has `streamClosed`, and says status and
        error. A bad offset is a 4xx. A request's own `Last-Event-ID` stands before `offset`; after the end it is
        answered with 204: a browser's EventSource comes back after a broken connection, and ends.
        """
        from ptstream.http import app_response  # for its weight, as above

        reader_at = partial(self._reader, id)
        return app_response.AppResponse(id, reader_at, app_response.EVENTS, self._under_way, offset=offset)

    async def _reader(self, id: str, offset: int) -> StreamReader:
        from ptstream.http.stream_reader import StreamReader  # for its weight, as above

        return await StreamReader.open(self._engine, id, offset, audience=self._audience)

    async def cancel(self, id: str, *, drain: bool = False) -> State:
        """End the stream as `cancelled`, whoever drives it; see `cancellation.cancel`."""
        return await cancellation.cancel(self._engine, id, drain=drain)

    async def delete(self, id: str) -> None:
        """Remove the stream and its text; see `delete`."""
        await cancellation.delete(self._engine, id)

    # --- driving

    async def start(
        self, id: str, generate: Generate, *, logged: bool = True, shows_its_text: bool = False
    ) -> Drive | None:
        """Begin what `drive` does, without reading; None if the stream was driven elsewhere or has ended.

        What the generator raises is `logged`, since nobody may be there to report it to. One that `shows_its_text` by
        itself is asked for more when all that it gave is kept. Raises TypeError for a function that is no generator,
        StreamNotFound, StoreBusy.
        """
        check(generate)
        stream = await self._engine.get(id)
        if (await self._engine.recovered(id)).status is not Status.PENDING:
            return self._owner.running.get(id) if self._owner else None
        owner = await self._own()
        try:
            drive = await owner.start(id, function_source(generate, stream, shows_its_text), self._settings)
        except ClaimLost:
            return owner.running.get(id)
        if logged:
            self._tasks.start_soon(_log_failure, drive)
        return drive

    async def _own(self) -> Owner:
        async with self._owner_lock:
            if self._owner is None:
                self._owner = await self._tasks.start(self._be_owner)
        return self._owner

    async def _be_owner(self, *, task_status: TaskStatus[Owner]) -> None:
        try:
            async with open_owner(self._engine) as owner:
                task_status.started(owner)
                await self._leave.wait()
        finally:
            self._disowned.set()

    async def _finish(self, grace: float | None) -> None:
        """Wait for the running drives, at most `grace` seconds or until a signal ends the process; then end them."""
        if self._owner is None:
            return
        running = list(self._owner.running.values())
        with anyio.move_on_after(grace) as waiting, on_termination(waiting.cancel):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_say_what_runs, running, waiting)
                for drive in running:
                    await drive.ended.wait()
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            self._leave.set()
            await self._disowned.wait()


async def _log_failure(drive: Drive) -> None:
    await drive.ended.wait()
    if drive.end is not None and drive.end.exception is not None:
        logger.error("stream %s: %s", drive.claim.id, drive.end.cause, exc_info=drive.end.exception)


async def _say_what_runs(running: list[Drive], waiting: anyio.CancelScope) -> None:
    """Once they have been waited for a while, who is still to end, and when."""
    await anyio.sleep(SAID_AFTER)
    ids = [drive.claim.id for drive in running if not drive.ended.is_set()]
    rest = waiting.deadline - anyio.current_time()
    limit = "" if rest == math.inf else f", at most {rest:.0f} s more"
    logger.warning("waiting for what still runs%s (Ctrl-C ends it now): %s", limit, ", ".join(ids))


def function_source(generate: Generate, stream: Stream, shows_its_text: bool) -> Source:
    """A Python function as a generator. It is its program's business how long it is silent.

    One that appends is told that what it appended is kept, and may then show it.
    """
    return Source(
        model=getattr(generate, "__name__", "a program"),
        place="this program",
        flush=Flush.SENTENCES,
        generate=lambda: from_function(generate, stream),
        silence_is_normal=True,
        shows_its_text=shows_its_text or appends(generate),
    )


@contextlib.asynccontextmanager
async def open(path: str | None = None, *, grace: float | None = None) -> AsyncIterator[PersistentStreams]:
    """The streams of the user's home, of a directory of one's own, or of an engine that a URL names.

    Leaving it waits for running drives, at most `grace` seconds (None: as long as they take) or until SIGINT or
    SIGTERM, and then ends them; leaving it by an exception ends them at once (`error`, "its program ended at byte N",
    text kept). Raises ConfigurationError for a home or a database that cannot be used.
    """
    home = Home(find_home().path, path) if path and "://" in path else find_home(path)
    settings = load(home)
    with Interruptible() as under_way, ungrouped():
        async with open_engine(home) as engine, anyio.create_task_group() as tasks:
            streams = PersistentStreams(engine, settings, tasks, under_way)
            grace_now: float | None = 0
            try:
                yield streams
                grace_now = grace
            finally:
                await streams._finish(grace_now)
                tasks.cancel_scope.cancel()
