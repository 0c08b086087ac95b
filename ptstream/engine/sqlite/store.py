"""All that one thread can do with the database of one home, in one list. Synchronous, plain `sqlite3`.

Where it is done: `reader.py` looks, `changes.py` changes, `checkpoints.py` gives space back.
"""

from __future__ import annotations

from typing import Self

from ptstream.engine.sqlite import schema
from ptstream.engine.sqlite.changes import Changes
from ptstream.engine.sqlite.connections import Connections
from ptstream.engine.sqlite.reader import Reader
from ptstream.settings import Home


class Store:
    """The database of one home. Nothing is opened before it is needed, nothing made before something is written."""

    def __init__(self, home: Home, busy_timeout: float = schema.BUSY_TIMEOUT) -> None:
        """`busy_timeout` is how many seconds a write waits for another process's; in an event loop, next to none."""
        self.home = home
        self.connections = connections = Connections(home, busy_timeout)
        reader = Reader(connections)
        changes = Changes(connections, reader)

        self.version, self.check, self.state, self.text = reader.version, reader.check, reader.state, reader.text
        self.get, self.find, self.streams, self.idle_since = reader.get, reader.find, reader.streams, reader.idle_since
        self.counts, self.attempts, self.drains = reader.counts, reader.attempts, reader.drains
        self.streaming, self.expired, self.cancelling = reader.streaming, reader.expired, reader.cancelling
        self.tails_in_use, self.owners_in_use = reader.tails_in_use, reader.owners_in_use
        self.tail_path = reader.tail_path

        self.create, self.fill, self.begin = changes.create, changes.fill, changes.begin
        self.cancel, self.delete, self.flush = changes.cancel, changes.delete, changes.flush

    @property
    def exists(self) -> bool:
        """Whether there is a database at all. Raises StoreUnusable where one may not look."""
        return self.connections.exists

    def shrink(self) -> bool:
        """Give deleted streams' space back, and empty the log; see `checkpoints.shrink`."""
        from ptstream.engine.sqlite import checkpoints  # late: `cat` and `ls` need none of it

        return checkpoints.shrink(self.connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        self.connections.close()
