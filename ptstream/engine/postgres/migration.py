"""How a database gets this version's tables: from whoever comes first, or from an older ptstream's.

One process at a time, in one transaction, and never beneath a living owner, which knows the older tables alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from ptstream.engine.postgres import liveness, schema
from ptstream.engine.postgres.server import Connection, one_line
from ptstream.errors import StoreUnusable
from ptstream.roll_call import heard_of

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('ptstream schema ' || current_schema(), 0))"


NAMED = 8
"""Daemons that are named, where they keep a database from being migrated."""


async def prepare(connection: Connection, location: str) -> None:
    """Make the tables, or migrate those of an older ptstream. Raises StoreUnusable where that may not be done."""
    try:
        async with connection.transaction():
            await connection.rows(LOCK)
            found = await schema.version(connection, location)
            if found == schema.VERSION:  # another process was faster
                return
            if found and (living := await liveness.living(connection)):
                raise StoreUnusable(
                    f"{location} is of an older ptstream (schema {found}, this one needs {schema.VERSION}), and"
                    f" {len(living)} of its processes still run{_named(living)}: end them, and try again"
                )
            for statement in schema.statements(found):
                await connection.rows(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        ((place, _, _, _, role),) = await connection.rows(schema.FOUND)
        raise StoreUnusable(
            f"the role {role} may not make ptstream's tables at {location} ({one_line(error)}): an administrator runs"
            f' GRANT CREATE ON SCHEMA "{place}" TO "{role}"; or makes them (the SQL: ptstream store migrate --sql)'
        ) from error


def _named(living: Sequence[str | None]) -> str:
    """The daemons among them, in words."""
    told = heard_of((text, 0.0) for text in living if text)
    names = [f"daemon {each.version} on {each.host}, pid {each.pid}" for each in told[:NAMED]]
    return f" ({'; '.join(names)}{'; …' if len(told) > NAMED else ''})" if names else ""
