"""The streams of a home on this machine: its store in this process, and its daemon for what must outlive it.

What `protocol.Streams` says of each method holds here. Those that neither drive nor wait never suspend, so that a
command which only asks needs no event loop (see `Here.without_loop`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from ptstream.engine.sqlite.cursor import Cursor, read_now
from ptstream.engine.sqlite.recovery import as_it_is, listed, settle_all
from ptstream.engine.sqlite.search import search
from ptstream.engine.sqlite.store import Store
from ptstream.errors import DaemonUnreachable, PtstreamError, StoreBusy
from ptstream.fields import title as title_of
from ptstream.protocol import Beside, Details, Driven, Hit, Listing
from ptstream.settings import Home
from ptstream.streams import Status, Stream, Words

# What drives or waits is imported where it is used: `asyncio` and `httpx` take longer to load than `show` takes.
if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ptstream.client.connection import Client
    from ptstream.engine.sqlite.wakeups import Wakes

T = TypeVar("T")


class Here:
    """The streams of one home. Made by `opened`, or by `without_loop`.

    `say` is told what a person is to know.
    """

    def __init__(
        self, store: Store, say: Callable[[str], None], tasks: TaskGroup | None, stack: AsyncExitStack
    ) -> None:
        self._store = store
        self._say = say
        self._tasks = tasks
        self._stack = stack
        self._client: Client | None = None
        self._wakes: Wakes | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, home: Home, say: Callable[[str], None]) -> AsyncIterator[Here]:
        """For as long as the context lasts, with all that the protocol has."""
        import anyio

        from ptstream.engine.sqlite.busy import BRIEFLY
        from ptstream.errors import ungrouped

        with Store(home, patience=BRIEFLY) as store, ungrouped():
            async with anyio.create_task_group() as tasks:
                async with AsyncExitStack() as stack:
                    yield cls(store, say, tasks, stack)
                tasks.cancel_scope.cancel()

    @classmethod
    @contextlib.contextmanager
    def without_loop(cls, home: Home, say: Callable[[str], None]) -> Iterator[Here]:
        """The same for find, get, details, list, create, fill, read and search alone, which then need no event loop."""
        with Store(home) as store:
            yield cls(store, say, None, AsyncExitStack())

    # --- what there is

    async def find(self, reference: str) -> Stream:
        return as_it_is(self._store, self._store.find(reference))

    async def get(self, id: str) -> Stream:
        return as_it_is(self._store, self._store.get(id))

    async def details(self, id: str) -> Details:
        stream = await self.get(id)
        return Details(stream, self._store.attempts(id), *self._store.counts(id))

    async def list(self, limit: int | None = None, status: Status | None = None) -> Listing:
        return Listing(listed(self._store, limit, status), complete=True)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        self._tidy()
        return self._store.idle_since(moment, status=status, keep=keep)

    async def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Hit, None]:
        for hit in islice(search(self._store, query), limit):
            yield Hit(hit.stream.id, title_of(hit.stream), hit.offset, hit.line)

    # --- what is made, and removed

    async def create(
        self,
        words: Words,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: str | None = None,
        parent_offset: int | None = None,
        ttl: float | None = None,
    ) -> Stream:
        before = None
        if parent is not None:
            from ptstream.conversation import going_on

            words, before = going_on(self._store, self._store.get(parent), parent_offset, words)
        return await self._written(lambda: self._store.create(words, name=name, title=title, parent=before, ttl=ttl))

    async def fill(self, id: str, words: Words) -> Stream:
        return await self._written(lambda: self._store.fill(id, words))

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        from ptstream import cancellation

        self._tidy()
        failures: list[PtstreamError] = []
        for id in ids:
            try:
                await cancellation.delete(self._store, id)
            except PtstreamError as error:
                failures.append(error)
        if len(failures) < len(ids) and not self._store.shrink():
            self._say(
                "a reader holds on to the log: what was deleted leaves it with the next rm, or when all have ended"
            )
        return failures

    async def cancel(self, id: str, *, drain: bool = False) -> Stream:
        from ptstream import cancellation

        async def ask_the_daemon() -> None:
            """Where the store takes no mark, so that a full disk keeps no model running."""
            await self._stopped_by_daemon(id)

        await cancellation.cancel(self._store, id, drain=drain, otherwise=None if drain else ask_the_daemon)
        return await self.get(id)

    # --- driving

    async def check(self, words: Words) -> str | None:
        from ptstream.client.caller import own_context
        from ptstream.config import load
        from ptstream.generators import Caller
        from ptstream.generators.models import check, doubt

        caller, settings = Caller(**own_context()), load(self._store.home)
        check(words, caller, settings, self._store.home)
        return await doubt(words, caller, settings, self._store.home)

    async def drive(self, id: str, *, stderr: bool = False, on_drop: bool = False) -> Driven:
        """A stream that was begun by another one is left to that, if the daemon cannot be reached: the text is read.

        So it is if a daemon dies before it answers: it may have begun.
        """
        from ptstream import wire
        from ptstream.client.caller import own_context
        from ptstream.client.launch import connect_or_start

        told = {**own_context(), "stderr": stderr, "on_drop": on_drop}
        try:
            self._client = await self._stack.enter_async_context(connect_or_start(self._store.home))
            answer = await self._client.ask("POST", wire.DRIVE.format(id=id), told)
        except DaemonUnreachable:
            if not self.begun(id):
                raise
            return Driven(attached=True, model=None, place=None)
        return Driven(answer["attached"], answer["model"], answer["place"])

    def begun(self, id: str) -> bool:
        with contextlib.suppress(PtstreamError):
            return self._store.state(id).status is not Status.PENDING
        return True

    async def beside(self, id: str, after: int = 0) -> AsyncGenerator[Beside, None]:
        if self._client is None:
            return
        with contextlib.suppress(DaemonUnreachable):  # the text is read on without it
            async with contextlib.aclosing(self._client.beside(id, after)) as entries:
                async for entry in entries:
                    yield entry

    # --- reading

    async def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        """What is driven from here is read from the daemon, else from one that came after it, else from the store."""
        from ptstream.follow import Follow

        if live and self._client is not None:
            async with contextlib.aclosing(self._from_daemons(self._client, id, offset)) as runs:
                async for data in runs:
                    if data is None:
                        return
                    offset += len(data)
                    yield data
        wakes = None if live else self._watched()
        async for data in Follow(self._store, Cursor(self._store, id, offset, live=live), wakes=wakes):
            yield data

    async def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        end = (await self.get(id)).bytes
        for data in read_now(Cursor(self._store, id, offset), end):
            yield data

    async def wait(self, id: str) -> Stream:
        from ptstream.follow import wait_for_end

        await wait_for_end(self._store, id)
        return await self.get(id)

    # --- within

    async def _from_daemons(self, client: Client, id: str, offset: int) -> AsyncGenerator[bytes | None, None]:
        """The text as the daemon has it, then as one that came after it has; None where its end was reached."""
        from ptstream.client.unix_socket import connect

        with contextlib.suppress(DaemonUnreachable):
            async for data in client.text(id, offset):
                offset += len(data)
                yield data
            yield None
            return
        with contextlib.suppress(DaemonUnreachable):
            self._client = await self._stack.enter_async_context(connect(self._store.home))
            async for data in self._client.text(id, offset):
                yield data
            yield None

    async def _stopped_by_daemon(self, id: str) -> None:
        """Raises NotFinished when the daemon has stopped the stream's generator, and the store takes no end either."""
        from ptstream import wire
        from ptstream.client.there import check_ended
        from ptstream.client.unix_socket import connect

        try:
            async with connect(self._store.home) as daemon:
                answer = await daemon.ask("POST", wire.CANCEL.format(id=id), {"drain": False})
        except (DaemonUnreachable, StoreBusy):  # the stream is not the daemon's: there is only the mark
            return
        check_ended(id, Status(answer["status"]))

    async def _written(self, write: Callable[[], T]) -> T:
        """What `write` does with the store; one that is busy is tried again, without holding up the event loop."""
        if self._tasks is None:
            return write()
        from ptstream.engine.sqlite.busy import patiently

        return await patiently(write)

    def _watched(self) -> Wakes:
        """What wakes whoever follows by sentences: made with the first of them."""
        from ptstream.engine.sqlite.wakeups import Wakes

        assert self._tasks is not None
        if self._wakes is None:
            self._wakes = Wakes(self._store)
            self._tasks.start_soon(self._wakes.watch)
        return self._wakes

    def _tidy(self) -> None:
        """Before anything is removed: the streams of dead owners get their ends, and what nobody needs is swept."""
        if self._store.exists:
            settle_all(self._store)
