"""The streams of a home on this machine: its engine in this process, and its daemon for what must outlive it.

What each method does stands in `streams_protocol.Streams`. What reaches the daemon is imported where it is asked: it
loads httpx, which takes longer than all that `watch`, `wait`, `cancel` and `rm` load without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from ptstream import wire
from ptstream.engine import open_engine
from ptstream.engine.handover import WAITS
from ptstream.engine.protocol import Engine
from ptstream.engine_streams import EngineStreams
from ptstream.errors import DaemonUnreachable, PtstreamError, StoreBusy
from ptstream.settings import Home
from ptstream.streams import GenerationRequest, Status, Stream, TerminalSize
from ptstream.streams_protocol import Driven, NumberedRemark

if TYPE_CHECKING:
    from ptstream.client.daemon_client import Client


class Here(EngineStreams):
    """The streams of one home. Made by `opened`. `say` is called with what a person is to know."""

    def __init__(self, home: Home, engine: Engine, stack: AsyncExitStack, say: Callable[[str], None]) -> None:
        super().__init__(engine, say)
        self._home = home
        self._stack = stack
        self._client: Client | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, home: Home, say: Callable[[str], None]) -> AsyncIterator[Here]:
        """For as long as the context lasts."""
        async with open_engine(home) as engine, AsyncExitStack() as stack:
            yield cls(home, engine, stack, say)

    # --- driving

    async def check(self, request: GenerationRequest) -> str | None:
        from ptstream.client.caller import own_context
        from ptstream.config import load
        from ptstream.generators import Caller
        from ptstream.generators.models.resolve import check as check_model
        from ptstream.generators.models.resolve import doubt

        caller, settings = Caller(**own_context()), load(self._home)
        check_model(request, caller, settings, self._home)
        return await doubt(request, caller, settings, self._home)

    async def drive(
        self, id: str, *, stderr: bool = False, on_drop: bool = False, terminal: TerminalSize | None = None
    ) -> Driven:
        """A stream that was begun by another one is left to that, if the daemon cannot be reached: the text is read.

        So it is if a daemon dies before it answers: it may have begun.
        """
        from ptstream.client.daemon_process import started_ahead

        ahead = started_ahead(self._home)
        from ptstream.client.caller import own_context
        from ptstream.client.launch import connect_or_start

        fields = {**own_context(), "stderr": stderr, "on_drop": on_drop, "terminal": terminal}
        try:
            await self._stack.aclose()  # a chat drives many, one after the other
            self._client = await self._stack.enter_async_context(connect_or_start(self._home, ahead))
            answer = await self._client.ask("POST", wire.DRIVE.format(id=id), fields)
        except DaemonUnreachable:
            if not await self.begun(id):
                raise
            return Driven(attached=True, model=None, place=None)
        return Driven(answer["attached"], answer["model"], answer["place"])

    async def resize(self, id: str, size: TerminalSize) -> None:
        if self._client is not None:
            await self._client.answer("PUT", wire.TERMINAL.format(id=id), size._asdict())

    async def begun(self, id: str) -> bool:
        with contextlib.suppress(PtstreamError):
            return (await self._engine.recovered(id)).status is not Status.PENDING
        return True

    async def remarks(self, id: str, after: int = 0) -> AsyncGenerator[NumberedRemark, None]:
        if self._client is None:
            return
        for is_next in (False, True):
            with contextlib.suppress(DaemonUnreachable):  # the text is read on without it
                async with aclosing((await self._daemon(self._client, is_next=is_next)).remarks(id, after)) as entries:
                    async for entry in entries:
                        after = entry.number
                        yield entry
                return
        if self._engine.wakes_live_readers:
            await self._say_if_it_waits(id)

    # --- reading

    async def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        """What is driven from here is read from the daemon if its pieces come sooner so, else from one that came after
        it, else from the engine."""
        if live and self._client is not None and not self._engine.wakes_live_readers:
            for is_next in (False, True):
                with contextlib.suppress(DaemonUnreachable):
                    async with aclosing((await self._daemon(self._client, is_next=is_next)).text(id, offset)) as runs:
                        async for data in runs:
                            offset += len(data)
                            yield data
                    return
            await self._say_if_it_waits(id)
        async with aclosing(super().follow(id, offset, live=live)) as runs:
            async for data in runs:
                yield data

    # --- ending, and removing

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        await self._engine.recover()  # whose owner died has ended
        return await super().idle_since(moment, status=status, keep=keep)

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        await self._engine.recover()  # what nobody needs any more goes as well
        return await super().delete(ids)

    async def cancel(
        self, id: str, *, drain: bool = False, otherwise: Callable[[], Awaitable[object]] | None = None
    ) -> Stream:
        async def ask_the_daemon() -> None:
            """So that a full disk keeps no model running."""
            await self._stopped_by_daemon(id)

        return await super().cancel(id, drain=drain, otherwise=otherwise or (None if drain else ask_the_daemon))

    # --- within

    async def _daemon(self, client: Client, *, is_next: bool) -> Client:
        """The daemon that was asked to drive, or the one that came after it. Raises DaemonUnreachable."""
        from ptstream.client.unix_socket import connect

        if is_next:
            self._client = client = await self._stack.enter_async_context(connect(self._home))
        return client

    async def _say_if_it_waits(self, id: str) -> None:
        """For whoever sees nothing more, until a daemon goes on with it: here there is no other than the next one."""
        if self._home.is_local and any(each.id == id for each in await self._engine.handed_over()):
            self._say(
                f"the daemon was stopped; the next one goes on with {id}, within {WAITS:g} s: ptstream daemon start"
            )

    async def _stopped_by_daemon(self, id: str) -> None:
        """Raises NotFinished when the daemon has stopped the stream's generator, and the store takes no end either."""
        from ptstream.client.there import check_ended
        from ptstream.client.unix_socket import connect

        try:
            async with connect(self._home) as daemon:
                answer = await daemon.ask("POST", wire.CANCEL.format(id=id), {"drain": False})
        except (DaemonUnreachable, StoreBusy):  # the stream is not the daemon's: there is only the mark
            return
        check_ended(id, Status(answer["status"]))
