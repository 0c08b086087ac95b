"""One short transaction of whoever changes a home's database: there as a whole, or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from ptstream.engine.sqlite import schema
from ptstream.engine.sqlite.database import Database
from ptstream.errors import StoreBusy


@contextlib.contextmanager
def writing(database: Database) -> Iterator[sqlite3.Connection]:
    """For as long as the context lasts. Raises StoreBusy where the disk or another writer does not let it happen."""
    connection = database.writer()
    try:
        connection.execute("BEGIN IMMEDIATE")
        schema.check_unmigrated(connection, database.home)
        yield connection
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise StoreBusy(f"{database.home.database} takes no write: {error}") from error
    except sqlite3.DatabaseError as error:
        raise schema.translate(error, database.home) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
