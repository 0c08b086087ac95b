"""The commands whose streams are on another machine (PTSTREAM_HOST): asked for over ssh, and shown as they are here.

Each is called by the command's own module, which has read the line. `drive` is in `remote_drive.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio

from ptstream.cli.cancel import check_drain, check_end, tell_cancelled
from ptstream.cli.create import tell_made
from ptstream.cli.hot import failed, show_list
from ptstream.cli.reading import detachable, form_of, how_it_goes_on, say_end
from ptstream.cli.reading import show as show_text
from ptstream.cli.rm import check_running, say
from ptstream.cli.screen import Screen
from ptstream.cli.search import NOTHING
from ptstream.cli.search import show as show_hits
from ptstream.cli.show import show as show_fields
from ptstream.cli.wait import nothing
from ptstream.cli.watch import offset_of, only_reads
from ptstream.errors import NotFinished, PtstreamError
from ptstream.fields import from_json
from ptstream.names import as_name, references
from ptstream.remote import Persistence, Remote, connect_to, follow
from ptstream.ssh import Host
from ptstream.streams import Status, Stream, Words

LAST = "@last"

MOST = 1000
"""How many streams, or places, one answer of a daemon lists."""


def run(command: Callable[..., Awaitable[int]], *words: Any) -> int:
    """Run one of them; its exit code."""
    return anyio.run(partial(command, *words))


async def watch(host: Host, screen: Screen, reference: str, offset: str, plain: bool, json: bool) -> int:
    """Print the stream to its end, every piece as it comes; the exit code of that end."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        stream = await found(far, reference)
        begin = stream.bytes if offset == "now" else offset_of(offset)
        form = form_of(stream.words, stream.bytes, plain=plain, json=json)
        persistence = Persistence(screen.note)

        async def work() -> int:
            async with aclosing(follow(far, stream.id, begin, persistence)) as runs:
                await show_text(screen, runs, form, begin)
            return say_end(screen, stream.id, await end_of(far, stream.id, persistence), form)

        return await detachable(
            screen, stream.id, work, partial(only_reads, screen, stream.id), partial(how_it_goes_on, stream.id)
        )


async def found(far: Remote, reference: str) -> Stream:
    """The stream that is meant. Raises StreamNotFound, AmbiguousId, UsageError."""
    return from_json(await fields_of(far, reference))


async def fields_of(far: Remote, reference: str) -> dict[str, Any]:
    """What is known of it. Raises the same."""
    if reference != LAST:
        references(reference)
    return await far.show(reference)


async def end_of(far: Remote, id: str, persistence: Persistence) -> Stream:
    """The stream as it stands there."""
    return from_json(await persistence.of(partial(far.show, id)))


async def cat(host: Host, screen: Screen, reference: str, offset: int, wait: bool) -> int:
    """Print what is there."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        stream = await found(far, reference)
        if wait:
            stream = await _waited(far, stream, Persistence(screen.note))
        while data := await far.page(stream.id, offset):
            await screen.show(data)
            offset += len(data)
            if offset >= stream.bytes:  # a fast stream would never let its reader return
                break
    await screen.show_end()
    return 0


async def wait(host: Host, screen: Screen, reference: str, timeout: float | None) -> int:
    """Wait for the end; its exit code. Raises NotFinished after `timeout` seconds."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        stream = await found(far, reference)

        async def work() -> int:
            with anyio.move_on_after(timeout):
                return say_end(screen, stream.id, await _waited(far, stream, Persistence(screen.note)))
            now = from_json(await far.show(stream.id))
            raise NotFinished(f"stream {stream.id} is {now.status} still, after {timeout:g} s")

        return await detachable(screen, stream.id, work, nothing, partial(how_it_goes_on, stream.id))


async def _waited(far: Remote, stream: Stream, persistence: Persistence) -> Stream:
    """The stream when it has ended: its text is read, from where it is now, and left alone."""
    if stream.status.ended:
        return stream
    async with aclosing(follow(far, stream.id, stream.bytes, persistence)) as runs:
        async for _ in runs:
            pass
    return await end_of(far, stream.id, persistence)


async def ls(host: Host, screen: Screen, quiet: bool, limit: int | None, status: Status | None, json: bool) -> int:
    """List streams, newest first."""
    wanted = MOST + 1 if limit is None else limit
    async with connect_to(host, screen.overheard(host.destination)) as far:
        fields = await far.streams(max(1, min(wanted, MOST)), status)
    show_list(screen, [from_json(each) for each in fields[:wanted]], quiet=quiet, json=json)
    if len(fields) == MOST < wanted:
        screen.note(f"the {MOST} newest: there may be more")
    return 0


async def show(host: Host, screen: Screen, reference: str, json: bool) -> int:
    """Print what is known of a stream."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        fields = await fields_of(far, reference)
    show_fields(screen, fields, json=json)
    return 0


async def create(
    host: Host, screen: Screen, words: Words, name: str | None, title: str | None, ttl: float | None, json: bool
) -> int:
    """Make a pending stream, and print its id."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        stream = from_json(await far.create(told_of(words, name=name, title=title, ttl=ttl)))
    tell_made(screen, stream, json=json)
    return 0


def told_of(words: Words, *, name: str | None = None, **more: Any) -> dict[str, Any]:
    """The fields of a request: what is told of the words, and more. Raises UsageError for what can be no name."""
    more["name"] = name if name is None else as_name(name)
    return {field: value for field, value in (words._asdict() | more).items() if value is not None}


async def cancel(host: Host, screen: Screen, reference: str, drain: bool, quiet: bool) -> int:
    """Cancel a stream, and see its end."""
    async with connect_to(host, screen.overheard(host.destination)) as far:
        stream = await found(far, reference)
        check_drain(stream, drain)
        told = await far.cancel(stream.id, drain=drain)
    check_end(stream.id, told["status"])
    if not quiet:
        tell_cancelled(screen, stream, told["status"], told["bytes"])
    return 0


async def rm(host: Host, screen: Screen, references: Sequence[str], dry_run: bool, force: bool) -> int:
    """Delete them. One that cannot be deleted keeps no other; one that runs keeps all, but for `force` or a yes."""
    code = 0
    meant: dict[str, Stream] = {}
    async with connect_to(host, screen.overheard(host.destination)) as far:
        for reference in references:
            try:
                stream = await found(far, reference)
                meant[stream.id] = stream
            except PtstreamError as error:
                code = code or failed(screen, error)
        if dry_run:
            say(screen, list(meant.values()))
            return code
        check_running(screen, list(meant.values()), force=force)
        for id in meant:
            try:
                await far.delete(id)
            except PtstreamError as error:
                code = code or failed(screen, error)
    return code


async def search(host: Host, screen: Screen, query: str, limit: int | None, json: bool) -> int:
    """Print where a text stands."""
    wanted = MOST + 1 if limit is None else limit
    async with connect_to(host, screen.overheard(host.destination)) as far:
        told = await far.search(query, min(wanted, MOST))
    found = show_hits(screen, query, told["hits"], json=json)
    if not told["complete"] and len(told["hits"]) < wanted:
        screen.note("there may be more places")
    return 0 if found else NOTHING
