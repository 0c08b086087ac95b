"""Streams in one file, with nothing beside it: what a copy makes, and is made from. Read like any other place.

It is the same database as a home's, but without a write-ahead log, tails and owners: no stream is driven there.
"""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import AsyncIterator
from typing import NoReturn

from anyio import create_task_group

from ptstream.engine.sqlite.engine import SqliteEngine
from ptstream.engine.sqlite.store import Store
from ptstream.engine.sqlite.wakeups import Watched
from ptstream.errors import ConfigurationError
from ptstream.ownership import why_not_ours
from ptstream.settings import Home
from ptstream.ungrouped import ungrouped


class SingleFile(Home):
    """A file that stands for a home. `path` is its own."""

    __slots__ = ()

    @property
    def is_single_file(self) -> bool:
        """It is."""
        return True

    @property
    def database(self) -> str:
        """The file."""
        return self.path

    @property
    def tails(self) -> str:
        """A folder that there never is."""
        return f"{self.path}-tails"

    @property
    def owners(self) -> str:
        """A folder that there never is."""
        return f"{self.path}-owners"

    def make(self) -> None:
        """See `Home.make`: its folder must be there."""
        self.check()
        if not os.path.isdir(folder := os.path.dirname(self.path)):
            raise ConfigurationError(f"there is no directory {folder} for {self.path}")

    def check(self) -> None:
        """See `Home.check`. Where the file lies is its user's business."""
        try:
            why = why_not_ours(self.path, "given")
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from error
        if why:
            raise ConfigurationError(f"{self.path} {why}: name a file of your own, or a copy of this one")

    def why_unfit(self) -> str | None:
        """See `Home.why_unfit`."""
        return None


class SingleFileEngine(SqliteEngine):
    """The streams of one file. Made by `opened`."""

    def writer(self) -> NoReturn:
        """See `protocol.Engine`."""
        raise ConfigurationError(f"no stream can be driven in a single file: copy {self.location} into a home first")

    async def recover(self) -> None:
        """See `protocol.Engine`: it has no owners."""

    async def shrink(self) -> bool:
        """See `protocol.Engine`: it has no log."""
        return True


@contextlib.asynccontextmanager
async def opened(home: Home, url: str, *, many_readers: bool = False) -> AsyncIterator[SingleFileEngine]:
    """See `open_engine`: `url` is `file:///…`, RFC 8089."""
    path = os.fsdecode(urllib.parse.unquote_to_bytes(url.partition(":")[2].removeprefix("//")))
    if not os.path.isabs(path):
        raise ConfigurationError(f"{url} names no file: file:///PATH")
    # Without a log, readers and a copy that comes in wait for each other.
    with ungrouped(), Store(SingleFile(os.path.normpath(path), url)) as store:
        async with create_task_group() as tasks:
            yield SingleFileEngine(store, Watched(store), tasks)
            tasks.cancel_scope.cancel()
