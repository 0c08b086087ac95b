"""The streams that a daemon has, over HTTP: by whatever way it is reached.

A read goes on over a new connection where one broke: the number of bytes received is where it goes on. What answers is
not trusted: every method raises BadAnswer for what no daemon says.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from ptstream import wire
from ptstream.client import answers
from ptstream.client.daemon_client import Client
from ptstream.client.reconnect import PAUSES, Reconnecting
from ptstream.errors import DaemonUnreachable, NotFinished, PtstreamError
from ptstream.names import as_name, references
from ptstream.roll_call import RunningDaemon
from ptstream.streams import GenerationRequest, Status, Stream, TerminalSize
from ptstream.streams_protocol import Chunks, DetailedListing, Details, Driven, Listing, Match, NumberedRemark

LAST = "@last"

MOST = 1000
"""How many streams, or places, one answer of a daemon lists."""

T = TypeVar("T")


def path_of(path: str, reference: str) -> str:
    """The path that means a stream: a name may hold what a path has another use for."""
    return path.format(id=quote(reference, safe="@").replace(".", "%2E"))


class There:
    """The streams of the daemon that `client` reaches; see `streams_protocol.Streams` for what each method does.

    `asker` gives, in the wire's words, as whom a drive is asked for; `say` is called with what a person is to know.
    What is asked first fails at once if the daemon cannot be reached; once it has answered, what may be asked twice is
    asked again.
    """

    def __init__(
        self,
        client: Client,
        asker: Callable[[], Awaitable[Mapping[str, Any]]],
        say: Callable[[str], None],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._client = client
        self._asker = asker
        self._say = say
        self._reconnecting = Reconnecting(say, pauses)
        self._pauses = pauses
        self._answered = False
        self._pending: set[str] = set()

    async def find(self, reference: str) -> Stream:
        if reference != LAST:
            references(reference)
        return await self._again(lambda: self._shown(path_of(wire.STREAM, reference)))

    async def get(self, id: str) -> Stream:
        return await self._again(lambda: self._shown(wire.STREAM.format(id=id)))

    async def details(self, id: str) -> Details:
        answer = await self._again(lambda: self._client.ask("GET", wire.STREAM.format(id=id)))
        return answers.details_of(answer, self._client.place)

    async def list(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> Listing:
        answer, wanted = await self._listed({}, limit, status, since)
        streams = answers.streams_of(answer, self._client.place)
        return Listing(streams[:wanted], complete=not len(streams) == MOST < wanted)

    async def list_details(
        self, limit: int | None = None, status: Sequence[Status] = (), since: float | None = None
    ) -> DetailedListing:
        answer, wanted = await self._listed({"details": 1}, limit, status, since)
        details = answers.list_details_of(answer, self._client.place)
        return DetailedListing(details[:wanted], complete=not len(details) == MOST < wanted)

    async def _listed(
        self, query: dict[str, Any], limit: int | None, status: Sequence[Status], since: float | None
    ) -> tuple[Any, int]:
        """What is answered, and how many are wanted of it."""
        wanted = MOST + 1 if limit is None else limit
        query |= {"limit": max(1, min(wanted, MOST))}
        query |= {"status": ",".join(each.value for each in status)} if status else {}
        query |= {} if since is None else {"since": since}
        return await self._again(lambda: self._client.ask("GET", wire.STREAMS, query=query)), wanted

    async def chunks(self, id: str, offset: int = 0, since: float = 0) -> Chunks:
        query = {"offset": offset, "since": since}
        answer = await self._again(lambda: self._client.ask("GET", wire.CHUNKS.format(id=id), query=query))
        return answers.chunks_of(answer, self._client.place)

    async def idle_since(self, moment: float, *, status: Status | None = None, keep: int = 0) -> Sequence[Stream]:
        query: dict[str, Any] = {"idle_since": max(0, math.ceil(moment)), "keep": keep, "limit": MOST}
        query |= {"status": status.value} if status else {}
        answer = await self._again(lambda: self._client.ask("GET", wire.STREAMS, query=query))
        streams = answers.streams_of(answer, self._client.place)
        if len(streams) == MOST:
            self._say(f"the {MOST} oldest: there may be more")
        return streams

    async def create(
        self,
        request: GenerationRequest,
        *,
        name: str | None = None,
        title: str | None = None,
        parent: str | None = None,
        parent_offset: int | None = None,
        ttl: float | None = None,
    ) -> Stream:
        more = {
            "name": name if name is None else as_name(name),
            "title": title,
            "parent": parent,
            "parent_offset": parent_offset,
            "ttl": ttl,
        }
        answer = await self._once(self._client.ask("POST", wire.STREAMS, _fields(request, more)))
        return self._seen(answers.stream_of(answer, self._client.place))

    async def fill(self, id: str, request: GenerationRequest) -> Stream:
        fields = _fields(request)
        if not fields:
            return await self.get(id)
        answer = await self._once(self._client.ask("PATCH", wire.STREAM.format(id=id), fields))
        return self._seen(answers.stream_of(answer, self._client.place))

    async def check(self, request: GenerationRequest) -> str | None:
        async def ask() -> Any:
            return await self._client.ask("POST", wire.CHECK, {**await self._asker(), **_fields(request)})

        return answers.checked(answers.AnsweredDoubt, await self._again(ask), self._client.place).doubt

    async def drive(
        self, id: str, *, stderr: bool = False, on_drop: bool = False, terminal: TerminalSize | None = None
    ) -> Driven:
        # Over the network, where no command is driven, nobody takes what is a command's.
        of_commands = {"stderr": stderr, "terminal": terminal}
        fields = {"on_drop": on_drop} | {name: value for name, value in of_commands.items() if value}

        async def ask() -> Any:
            return await self._client.ask("POST", wire.DRIVE.format(id=id), {**await self._asker(), **fields})

        driven = answers.driven_of(await self._again(ask), self._client.place)
        self._pending.discard(id)
        return driven

    async def resize(self, id: str, size: TerminalSize) -> None:
        await self._client.answer("PUT", wire.TERMINAL.format(id=id), size._asdict())

    async def begun(self, id: str) -> bool:
        return id not in self._pending

    async def follow(self, id: str, offset: int = 0, *, live: bool = True) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                async with aclosing(self._client.text(id, offset, stored=not live)) as runs:
                    async for data in runs:
                        offset += len(data)
                        self._pending.discard(id)
                        self._reconnecting.succeeded()
                        yield data
                return
            except DaemonUnreachable as error:
                await self._reconnecting.failed(error)

    async def read(self, id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        end = (await self.get(id)).bytes
        while data := await self._again(partial(self._page, id, offset)):
            yield data
            offset += len(data)
            if offset >= end:  # a fast stream would never let its reader return
                return

    async def remarks(self, id: str, after: int = 0) -> AsyncGenerator[NumberedRemark, None]:
        quietly = Reconnecting(lambda _: None, self._pauses)
        while True:
            try:
                async with aclosing(self._client.remarks(id, after)) as entries:
                    async for entry in entries:
                        after = entry.number
                        quietly.succeeded()
                        yield entry
                return
            except DaemonUnreachable as error:
                try:
                    await quietly.failed(error)
                except DaemonUnreachable:  # reading the text says so
                    return

    async def wait(self, id: str) -> Stream:
        stream = await self.get(id)
        if not stream.status.ended:
            # Its text is read, from where it is now, and thrown away.
            async with aclosing(self.follow(id, stream.bytes)) as runs:
                async for _ in runs:
                    pass
            stream = await self.get(id)
        return stream

    async def cancel(self, id: str, *, drain: bool = False) -> Stream:
        answer = await self._once(self._client.ask("POST", wire.CANCEL.format(id=id), {"drain": drain}))
        check_ended(id, answers.checked(answers.AnsweredState, answer, self._client.place).status)
        return await self.get(id)

    async def delete(self, ids: Sequence[str]) -> Sequence[PtstreamError]:
        failures: list[PtstreamError] = []
        for id in ids:
            try:
                await self._once(self._client.answer("DELETE", wire.STREAM.format(id=id)))
            except PtstreamError as error:
                failures.append(error)
        return failures

    async def daemons(self) -> Sequence[RunningDaemon]:
        return answers.daemons_of(await self._again(lambda: self._client.ask("GET", wire.DAEMONS)), self._client.place)

    async def search(self, query: str, limit: int | None = None) -> AsyncGenerator[Match, None]:
        wanted = MOST + 1 if limit is None else limit
        asked = {"q": query, "limit": min(wanted, MOST)}
        answer = await self._again(lambda: self._client.ask("GET", wire.SEARCH, query=asked))
        hits = answers.hits_of(answer, self._client.place)
        for hit in hits:
            yield hit
        if not answer["complete"] and len(hits) < wanted:
            self._say("there may be more places")

    async def _shown(self, path: str) -> Stream:
        return self._seen(answers.stream_of(await self._client.ask("GET", path), self._client.place))

    async def _page(self, id: str, offset: int) -> bytes:
        return await self._client.answer("GET", wire.TEXT.format(id=id), query={"offset": str(offset)})

    async def _once(self, work: Awaitable[T]) -> T:
        """What is not to be asked twice, since it may have been done."""
        result = await work
        self._answered = True
        return result

    async def _again(self, work: Callable[[], Awaitable[T]]) -> T:
        """What may be asked twice."""
        if self._answered:
            return await self._reconnecting.of(work)
        return await self._once(work())

    def _seen(self, stream: Stream) -> Stream:
        if stream.status is Status.PENDING:
            self._pending.add(stream.id)
        else:
            self._pending.discard(stream.id)
        return stream


def check_ended(id: str, status: Status) -> None:
    """Raises NotFinished for a stream that a daemon has stopped, and that has no end yet."""
    if status is Status.STREAMING:
        raise NotFinished(
            f"stream {id} is stopped; the store takes no write just now, and gets its end ('cancelled') when it does"
        )


def _fields(request: GenerationRequest, more: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The fields of the body that asks for it."""
    return {name: value for name, value in {**request._asdict(), **more}.items() if value is not None}
