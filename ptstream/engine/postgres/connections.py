"""Statements on their way: each runs in a task of the engine's, on a connection that is made again when it breaks.

Whoever asks waits for the answer, and may leave: the statement goes on. What breaks with its connection is said again
on the next one, the primary's or its successor's; so each piece of work is such that it may be done twice, or looks
whether it has been.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import anyio
import psycopg
from anyio.abc import TaskGroup

from ptstream.engine.postgres.server import Connection, OutOfReach, Server
from ptstream.errors import StoreBusy

RECONNECT_FOR = 60.0
"""Seconds that one waits for a database which has been reached before: a standby's promotion takes up to 30."""

CONNECT_FOR = 30.0
"""The same, for one that has not been, but says that it starts, or that another host is to be the primary."""

FIRST_RETRY = 0.05
LONGEST_RETRY = 1.0
"""Seconds between two tries to connect, at first and at most."""

SLOW = 2.0
"""Seconds without an answer after which one says so."""

T = TypeVar("T")

Work = Callable[[Connection], Awaitable[T]]


class Answer(Generic[T]):
    """What will have come of a piece of work."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.tries = 0
        self.trouble: str | None = None
        """Why it takes so long, when that is known."""
        self._value: T | None = None
        self._error: Exception | None = None

    def give(self, value: T) -> None:
        """It is done."""
        self._value = value
        self.done.set()

    def fail(self, error: Exception) -> None:
        """It cannot be done."""
        self._error = error
        self.done.set()

    @property
    def value(self) -> T:
        """What came of it. Raises why nothing did."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


class Lane:
    """One connection, made when it is needed; one piece of work at a time, in order."""

    def __init__(
        self, server: Server, tasks: TaskGroup, session: Mapping[str, str] | None = None, first: Work[Any] | None = None
    ) -> None:
        """`session` are settings of its own, `first` is done on each new connection before all else."""
        self._server = server
        self._tasks = tasks
        self._session = session
        self._first = first
        self._lock = anyio.Lock(fast_acquire=True)
        self._connection: Connection | None = None
        self._scope = anyio.CancelScope()  # of what is being done
        self._closed = False

    def begin(self, work: Work[T], *, retry_for: float = RECONNECT_FOR) -> Answer[T]:
        """Have it done, at once unless something is being done; it fails after `retry_for` s without a connection."""
        answer = Answer[T]()
        self._tasks.start_soon(self._answer, work, answer, retry_for)
        return answer

    async def do(self, work: Work[T]) -> T:
        """What comes of it. Raises StoreBusy, StoreUnusable."""
        answer = self.begin(work)
        await answer.done.wait()
        return answer.value

    async def _answer(self, work: Work[T], answer: Answer[T], retry_for: float) -> None:
        try:
            # When its program is cancelled, what its writer still has to say is said; `close` ends it.
            with anyio.CancelScope(shield=True):
                async with self._lock:
                    with anyio.CancelScope() as self._scope:
                        await self._persist(work, answer, retry_for)
        except Exception as error:
            answer.fail(error)
        finally:
            if not answer.done.is_set():  # it broke off
                answer.fail(busy(self._server.location))

    async def _persist(self, work: Work[T], answer: Answer[T], retry_for: float) -> None:
        begun = anyio.current_time()
        wait = FIRST_RETRY
        while not self._closed:
            try:
                answer.give(await self._try(work, answer))
                return
            except (psycopg.Error, OutOfReach) as error:
                waits = isinstance(error, OutOfReach) or self._server.broke(error, self._connection)
                failure = self._server.translate(error) if isinstance(error, psycopg.Error) else error
                if not waits or anyio.current_time() > begun + min(retry_for, self._retry_for(error)):
                    raise failure from error
                await self._drop()
                answer.trouble = str(failure)
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_RETRY)

    def _retry_for(self, error: Exception) -> float:
        if self._server.reached:
            return float("inf")
        return CONNECT_FOR if isinstance(error, OutOfReach) and error.soon else 0.0

    async def _try(self, work: Work[T], answer: Answer[T]) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = await self._server.connect(self._session)
            if self._first is not None:
                await self._first(self._connection)
        answer.tries += 1
        return await work(self._connection)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Let go of the connection; what runs on it breaks off, without a cancel request."""
        self._closed = True
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._drop()


class Connections:
    """All connections of one engine: some to look, others to change, so that a write that hangs keeps no reader."""

    LOOKING, CHANGING = 3, 2

    def __init__(self, server: Server, tasks: TaskGroup) -> None:
        self.server = server
        self.tasks = tasks
        self._all: list[Lane] = []
        self._looking = [self.lane() for _ in range(self.LOOKING)]
        self._changing = [self.lane() for _ in range(self.CHANGING)]
        self._turn = 0

    def lane(self, session: Mapping[str, str] | None = None, first: Work[Any] | None = None) -> Lane:
        """A further one."""
        made = Lane(self.server, self.tasks, session, first)
        self._all.append(made)
        return made

    async def rows(self, sql: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a statement that only looks. Raises StoreBusy, StoreUnusable."""
        return await self._free(self._looking).do(lambda connection: connection.rows(sql, values))

    def change(self, work: Work[T]) -> Answer[T]:
        """Have something changed."""
        return self._free(self._changing).begin(work)

    def _free(self, lanes: list[Lane]) -> Lane:
        """One that has nothing to do, the first such; else each in its turn."""
        for lane in lanes:
            if not lane._lock.locked():
                return lane
        self._turn += 1
        return lanes[self._turn % len(lanes)]

    async def remove(self, lane: Lane) -> None:
        """Close one that is needed no more."""
        self._all.remove(lane)
        await lane.close()

    async def close(self) -> None:
        """Close all."""
        for lane in self._all:
            await lane.close()


def busy(location: str) -> StoreBusy:
    """For whoever gives up what was not answered."""
    return StoreBusy(f"the database at {location} does not answer (do its standbys live?)")
