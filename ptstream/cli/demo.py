"""`ptstream demo`: the idea in one terminal, with no model: two panes on one stream.

On the left every piece as it comes, on the right the sentences out of the database, each with its count out of the
store. It runs in a home of its own, which is gone afterwards.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated

import anyio
import typer

from ptstream import library
from ptstream.cli.app import session, unwind_on_interrupt
from ptstream.cli.options import finite
from ptstream.cli.panes import Panes
from ptstream.cli.screen import Screen
from ptstream.engine import open_engine
from ptstream.engine.protocol import Engine
from ptstream.generators import Generation, replay
from ptstream.settings import Home
from ptstream.streams import Piece, Stream

EXAMPLES = """
ptstream demo
ptstream demo --rate 200            pieces a second
"""

TEXT = """\
This text is being written twice. On the left you see every piece the moment it comes, as whoever asked for it would. \
On the right you see what the database holds, as anybody else would: whole sentences, each one a row. Watch how \
e.g. the number 3.14 or Dr. Smith's name does not end a sentence.

Nobody pays for a write per piece. A piece goes into a file first, which costs two microseconds, and is shown after \
that. When a sentence ends, it is committed, and every watcher is woken by the write-ahead log. So what you have seen \
survives the terminal, the connection and even the process that wrote it. 数据库里只有完整的句子。左边更快。

Try it with something real now:

    ptstream drive -- ping -c 20 localhost
    ptstream watch @last

Then close the first terminal, and look at the second one.
"""


def command(
    ctx: typer.Context,
    rate: Annotated[
        float, typer.Option("--rate", min=0, callback=finite, metavar="N", help="Pieces a second; 0 for no limit.")
    ] = 40,
) -> None:
    """The command."""
    _, screen = session(ctx)
    unwind_on_interrupt()
    with tempfile.TemporaryDirectory(prefix="pts-") as folder:
        anyio.run(demo, screen, folder, rate)


async def demo(screen: Screen, folder: str, rate: float) -> None:
    """Drive the text, and follow it twice."""
    panes = Panes(screen)
    path = os.path.join(folder, "text")
    with open(path, "w", encoding="utf-8") as file:
        file.write(TEXT)

    async def generate(stream: Stream) -> Generation:
        async with aclosing(replay.generate(replay.Replay(path, rate))) as events:
            async for event in events:
                yield event

    async with library.open(folder) as pts, anyio.create_task_group() as tasks:
        id = await pts.create(title="demo")
        tasks.start_soon(panes.redraw)
        tasks.start_soon(_count, folder, id, panes)
        async with anyio.create_task_group() as both:
            both.start_soon(_pane, pts.drive(id, generate), panes.left)
            both.start_soon(_pane, pts.follow(id, live=False), panes.right)
        tasks.cancel_scope.cancel()
    async with open_engine(Home(folder)) as engine:
        await _counted(engine, id, panes)
    await panes.finish()


async def _pane(pieces: AsyncIterator[Piece], add: Callable[[str], None]) -> None:
    async for piece in pieces:
        add(piece.text)


async def _count(folder: str, id: str, panes: Panes) -> None:
    async with open_engine(Home(folder)) as engine:
        while True:
            await _counted(engine, id, panes)
            await anyio.sleep(0.1)


async def _counted(engine: Engine, id: str, panes: Panes) -> None:
    (history,) = await engine.histories([id])
    panes.counts(history.pieces, history.chunks)
