"""All that one thread can do with the database of one home, in one list. Synchronous, plain `sqlite3`.

Where it is done: `queries.py` looks, `changes.py` changes, `checkpoints.py` gives space back.
"""

from __future__ import annotations

from typing import Self

from ptstream.engine.sqlite import schema
from ptstream.engine.sqlite.changes import Changes
from ptstream.engine.sqlite.database import Database
from ptstream.engine.sqlite.queries import Queries
from ptstream.settings import Home


class Store:
    """The database of one home. Nothing is opened before it is needed, nothing made before something is written."""

    def __init__(self, home: Home, busy_timeout: float = schema.BUSY_TIMEOUT) -> None:
        """`busy_timeout` is how many seconds a write waits for another process's; in an event loop, next to none."""
        self.home = home
        self.database = database = Database(home, busy_timeout)
        queries = Queries(database)
        changes = Changes(database, queries)

        self.version = queries.version
        self.check = queries.check
        self.state = queries.state
        self.text = queries.text
        self.get = queries.get
        self.find = queries.find
        self.streams = queries.streams
        self.idle_since = queries.idle_since
        self.chunks = queries.chunks
        self.counts = queries.counts
        self.history = queries.history
        self.attempts = queries.attempts
        self.drains = queries.drains
        self.handed_over = queries.handed_over
        self.streaming = queries.streaming
        self.expired = queries.expired
        self.cancelling = queries.cancelling
        self.tails_in_use = queries.tails_in_use
        self.owners_in_use = queries.owners_in_use
        self.tail_path = queries.tail_path

        self.create = changes.create
        self.fill = changes.fill
        self.begin = changes.begin
        self.cancel = changes.cancel
        self.delete = changes.delete
        self.flush = changes.flush

    @property
    def exists(self) -> bool:
        """Whether there is a database at all. Raises StoreUnusable where one may not look."""
        return self.database.exists

    def shrink(self) -> bool:
        """Give deleted streams' space back, and empty the log; see `checkpoints.shrink`."""
        from ptstream.engine.sqlite import checkpoints  # late: `cat` and `ls` need none of it

        return checkpoints.shrink(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        self.database.close()
