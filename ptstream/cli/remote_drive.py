"""`ptstream drive` on another machine (PTSTREAM_HOST): it runs there, as that user there, and is shown here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio

from ptstream.cli.drive import (
    LAST_ASIDES,
    OnDrop,
    Order,
    asked_words,
    place,
    show_aside,
    tell_detached,
    tell_driven,
)
from ptstream.cli.reading import Form, detachable, form_of, how_it_goes_on, say_end, show
from ptstream.cli.remote import end_of, found, told_of
from ptstream.cli.screen import Screen
from ptstream.errors import (
    ConfigurationError,
    DaemonUnreachable,
    NoModel,
    PtstreamError,
    StoreUnusable,
    StreamNotFound,
)
from ptstream.fields import from_json
from ptstream.names import as_name
from ptstream.remote import Persistence, Remote, connect_to, follow
from ptstream.ssh import Host
from ptstream.streams import Status, Stream


async def drive(host: Host, screen: Screen, order: Order) -> int:
    """Drive or attach, and print to the end; the exit code of that end."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        told: list[str] = []
        new = order.reference is None and not (order.name and await _exists(far, order.name))
        stream = await _stream(far, screen, order, told.append)
        form = form_of(stream.words, stream.bytes, plain=order.shown.plain, json=order.shown.json)
        return await _Drive(far, screen, order, stream, form, told, new=new).run()


async def _exists(far: Remote, name: str) -> bool:
    """Whether a stream there has this name. Raises UsageError for what can be none."""
    name = as_name(name)
    try:
        return (await found(far, name)).name == name
    except StreamNotFound:
        return False


async def _stream(far: Remote, screen: Screen, order: Order, tell: Callable[[str], None]) -> Stream:
    """The stream that the line means, made if it names none. Raises UsageError, WordsDiffer."""
    if order.reference is not None:
        stream = await found(far, order.reference)
        given = told_of(asked_words(screen, order, stream, tell))
        return from_json(await far.fill(stream.id, given)) if given else stream
    more: dict[str, Any] = {"name": order.name, "title": order.title, "ttl": order.ttl}
    after, more["parent_offset"] = place(order.after)
    more["parent"] = (await found(far, after)).id if after is not None else None  # before a pipe is read, see there
    return from_json(await far.create(told_of(asked_words(screen, order, None, tell), **more)))


class _Drive:
    """One drive, from asking for it to its end."""

    def __init__(
        self,
        far: Remote,
        screen: Screen,
        order: Order,
        stream: Stream,
        form: Form,
        told: Sequence[str],
        *,
        new: bool,
    ) -> None:
        """`told` is said after the id; a stream that is `new` was made for this drive."""
        self._far = far
        self._screen = screen
        self._order = order
        self._stream = stream
        self._form = form
        self._told = told
        self._new = new
        self._persistence = Persistence(screen.note)
        self._asides = 0
        self._pending = stream.status is Status.PENDING

    async def run(self) -> int:
        """Show it; its exit code."""
        return await detachable(self._screen, self._stream.id, self._work, self._cancel, self._left)

    async def _cancel(self) -> None:
        await self._far.cancel(self._stream.id)

    def _left(self) -> str:
        return how_it_goes_on(self._stream.id, pending=self._pending)

    async def _work(self) -> int:
        id, shown = self._stream.id, self._order.shown
        for line in self._told if shown.detach else (id, *self._told):
            self._screen.note(line)
        await self._ask()
        if shown.detach:
            tell_detached(self._screen, await end_of(self._far, id, self._persistence), self._form)
            return 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_asides)
            async with aclosing(follow(self._far, id, 0, self._persistence)) as runs:
                await show(self._screen, runs, self._form)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(LAST_ASIDES):  # the rest of them, over the text's connection: theirs may not stand yet
            await self._show_asides()
        await self._screen.aside_end()
        code = say_end(self._screen, id, await end_of(self._far, id, self._persistence), self._form)
        if shown.no_keep:
            await self._far.delete(id)
        return code

    async def _ask(self) -> None:
        """Ask for the drive. Asked twice, it is attached to."""
        on_drop = self._order.on_drop is OnDrop.CONTINUE
        ask = partial(self._far.drive_there, self._stream.id, stderr=self._order.stderr, on_drop=on_drop)
        try:
            driven = await self._persistence.of(ask)
        except PtstreamError as error:
            if self._new and isinstance(error, ConfigurationError) and not isinstance(error, NoModel | StoreUnusable):
                await self._far.delete(self._stream.id)  # as here, where a mistyped model leaves no stream behind
            elif self._pending:  # nothing that was said is lost
                self._screen.note(self._left())
            raise
        self._pending = False
        tell_driven(self._screen, self._stream, driven, self._order)

    async def _show_asides(self) -> None:
        """Those that were not shown yet. They are tried for as often as the text is, without a word."""
        persistence = Persistence(lambda _: None)
        while True:
            try:
                async with aclosing(self._far.asides(self._stream.id, self._asides)) as asides:
                    async for aside in asides:
                        await show_aside(self._screen, aside)
                        self._asides = aside.number
                        persistence.succeeded()
                return
            except DaemonUnreachable as error:
                try:
                    await persistence.failed(error)
                except DaemonUnreachable:  # the text tells
                    return
