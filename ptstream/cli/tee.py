"""`ptstream tee`: standard input, passed through and kept as a stream. Its own owner: needs no daemon.

It ignores SIGINT, SIGHUP and a closed stdout and reads to the end, since what feeds it may go on. SIGTERM ends it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator

import anyio
import typer

from ptstream.cli.app import session
from ptstream.cli.inlet import next_bytes
from ptstream.cli.options import FlushRule, NewName, Raw, Title, Ttl, ttl_of
from ptstream.cli.outlet import OutputClosed, OutputFailed
from ptstream.cli.reading import goes_on, show, tell_end
from ptstream.cli.screen import Screen
from ptstream.drive import Attempt
from ptstream.errors import GeneratorError, NameTaken, PtstreamError
from ptstream.follow import Follow
from ptstream.generators import Event, Note, Source
from ptstream.generators.command import Decoder
from ptstream.owner import PATIENCE, open_owner
from ptstream.settings import Settings, load
from ptstream.store.cursor import Cursor
from ptstream.store.sqlite import Store
from ptstream.streams import Flush, Status, Stream, Words

EXAMPLES = """
make 2>&1 | ptstream tee --name build   elsewhere: ptstream watch build
llm "Why is the sky blue?" | ptstream tee --flush sentences
"""


def command(
    ctx: typer.Context,
    name: NewName = None,
    title: Title = None,
    flush: FlushRule = None,
    ttl: Ttl = None,
    raw: Raw = False,
) -> None:
    """The command."""
    home, screen = session(ctx, raw=raw)
    settings = load(home)  # before anything is read: what cannot be kept must not be taken
    with Store(home) as store:
        stream = store.create(Words(flush=flush), name=name, title=title or "standard input", ttl=ttl_of(ttl))
        if stream.status is not Status.PENDING:
            raise NameTaken(f"the name {name!r} is taken by stream {stream.id}, which is {stream.status}")
        code = anyio.run(tee, settings, store, screen, stream)
    raise typer.Exit(code)


async def tee(settings: Settings, store: Store, screen: Screen, stream: Stream) -> int:
    """Keep standard input as the stream's text, and show it; the exit code of its end."""
    screen.note(stream.id)
    interrupted = anyio.Event()
    async with open_owner(store) as owner, anyio.create_task_group() as tasks:
        attempt = await owner.start(stream.id, _source(interrupted), settings)
        tasks.start_soon(_watch_signals, attempt, interrupted, tasks.cancel_scope)
        tasks.start_soon(_show_notes, screen, attempt)
        failure = await _show(screen, Follow(store, Cursor(store, stream.id), audience=owner.audience))
        if failure is not None and (screen.err_terminal or not isinstance(failure, OutputClosed)):
            screen.note(f"{failure} · {goes_on(store, stream.id)}")
        await attempt.ended.wait()
        tasks.cancel_scope.cancel()
    code = tell_end(screen, store, stream.id)
    return failure.exit_code if isinstance(failure, OutputFailed) and not code else code


async def _show(screen: Screen, follow: Follow) -> PtstreamError | None:
    """Why the text could not be shown to its end, if it could not."""
    try:
        await show(screen, follow)
    except (OutputClosed, OutputFailed) as error:
        return error
    return None


async def _watch_signals(attempt: Attempt, interrupted: anyio.Event, scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGHUP, signal.SIGTERM) as signals:
        async for number in signals:
            if number == signal.SIGINT:
                interrupted.set()
            elif number == signal.SIGTERM:
                attempt.stop(Status.ERROR, f"terminated at byte {attempt.offset}")
                scope.deadline = anyio.current_time() + PATIENCE  # a store that takes no end is not waited for


async def _show_notes(screen: Screen, attempt: Attempt) -> None:
    seen = 0
    while True:
        rung = attempt.asides.bell.next()
        entries, seen = attempt.asides.since(seen)
        for entry in entries:
            screen.note(entry.text)
        await rung.wait()


def _source(interrupted: anyio.Event) -> Source:
    return Source(
        model="standard input",
        place="this terminal",
        flush=Flush.LINES,
        generate=lambda: _read_stdin(interrupted),
        patient=True,
    )


async def _read_stdin(interrupted: anyio.Event) -> AsyncGenerator[Event, None]:
    decoder = Decoder()
    while data := await next_bytes():
        yield decoder.feed(data)
    yield decoder.feed(b"", final=True)
    if decoder.replaced:
        yield Note(f"{decoder.replaced} bytes that are not UTF-8 were replaced by U+FFFD")
    if interrupted.is_set():
        raise GeneratorError("interrupted")
