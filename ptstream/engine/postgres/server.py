"""Where the database is, how one connects to it, and what is wrong with it, in words.

A connection's session is set up so that what is acknowledged is on a quorum's disk, whatever the server's defaults. A
statement is never cancelled: a commit whose wait for its standby is cancelled is visible, and on one disk alone. What
has been given up takes its connection along instead. No message has a password, or the URL, in it.
"""

from __future__ import annotations

import asyncio
import os
import urllib.parse
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from ptstream.engine.postgres import schema
from ptstream.errors import ConfigurationError, PtstreamError, StoreBusy, StoreUnusable, UsageError

CONNECT_TIMEOUT = 5
"""Seconds in which one host must answer, unless the URL says otherwise."""

DEFAULTS = {
    "connect_timeout": str(CONNECT_TIMEOUT),
    # A standby shows later than the primary what was kept, and keeps nothing.
    "target_session_attrs": "read-write",
    "fallback_application_name": "ptstream",
    # A machine that is gone is noticed after 6 s, also by whoever only waits.
    "keepalives_idle": "3",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",
}
"""What a connection has unless the URL, or libpq's variable for it, says otherwise."""

VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS"}
"""libpq's, which it reads only as long as the parameter is not given."""

SESSION = {
    # The quorum's disks: those of `synchronous_standby_names`.
    "synchronous_commit": "on",
    # Each of these would cancel a statement, or end a session that waits.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    # What is asked for is small, however much the planner takes it to be.
    "jit": "off",
    # A session whose client's machine is gone lets go of its locks after 6 s.
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
}
"""What a session is set to, as far as the server's version knows it."""

SET_UP = (
    "SELECT set_config(name, v.value, false) FROM pg_settings"
    " JOIN unnest(%s::text[], %s::text[]) v(key, value) ON name = v.key"
)

T = TypeVar("T")


class OutOfReach(StoreUnusable):
    """No connection could be made: later, one may."""

    def __init__(self, message: str, *, soon: bool = False) -> None:
        super().__init__(message)
        self.soon = soon
        """Whether one will be, unless something is wrong: a server starts, or one of several becomes the primary."""


class Connection(psycopg.AsyncConnection[TupleRow]):
    """A connection that is dropped, when its task is cancelled amid a statement, without a cancel request."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """See psycopg's; there, a request is sent."""
        try:
            return await psycopg.waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            if self.pgconn.transaction_status != TransactionStatus.IDLE:
                self.pgconn.finish()
            raise

    async def rows(self, sql: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[TupleRow]:
        """The rows of one statement."""
        cursor = self.cursor(binary=True)
        await cursor.execute(sql.encode(), values or None)
        # Not `cursor.description`, which makes an object of each column.
        return await cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []


class Server:
    """One database of one server, or of several of which one is the primary."""

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError for a URL that is none. Nothing is connected to yet."""
        try:
            given = conninfo.conninfo_to_dict(url)
        except (psycopg.Error, ValueError):
            raise ConfigurationError(  # not the error's own words: they hold the URL
                "that is no URL of a PostgreSQL database: postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE"
            ) from None
        variables = {key: os.environ[name] for key, name in VARIABLES.items() if name in os.environ}
        said = {key: value for key, value in given.items() if value is not None}
        self._parameters: dict[str, Any] = DEFAULTS | variables | said
        self.location = _location(given)
        self.reached = False
        """Whether it was, at least once: then it is waited for when it is away."""
        self._looked_behind = False

    def __repr__(self) -> str:
        return f"<Server {self.location}>"

    async def connect(self, session: Mapping[str, str] | None = None) -> Connection:
        """A new connection, its session set up, to a database whose tables are this version's: made, if there are none.

        `session` are settings of its own. Raises StoreUnusable, StoreNewer.
        """
        connection = await self._connected()
        try:
            settings = SESSION | dict(session or {})
            await connection.rows(SET_UP, ([*settings], [*settings.values()]))
            await self._check_session(connection)
            if await schema.version(connection, self.location) != schema.VERSION:
                from ptstream.engine.postgres import migration  # late: there is nothing to do but for the first

                await migration.prepare(connection, self.location)
        except BaseException as error:
            lost = self.broke(error, connection)
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise (self._out_of_reach if lost else self.translate)(error) from error
            raise
        return connection

    async def migration(self) -> str:
        """The SQL that `connect` would run for this version's tables; "" where they are there. Raises as it does."""
        connection = await self._connected()
        try:
            found = await schema.version(connection, self.location)
            return "" if found == schema.VERSION else schema.ddl(found)
        except psycopg.Error as error:
            raise self.translate(error) from error
        finally:
            await connection.close()

    def broke(self, error: BaseException, connection: Connection | None) -> bool:
        """Whether it may be said again on another connection: this one is gone, or is the primary's no more."""
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return self._parameters["target_session_attrs"] in ("read-write", "primary")
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:  # libpq's own, not the server's
            return True
        return (connection is not None and connection.closed) or isinstance(error, BREAKS)

    async def _connected(self) -> Connection:
        try:
            connection = await Connection.connect(**self._parameters, autocommit=True)
        except (psycopg.Error, OSError) as error:
            raise self._out_of_reach(error) from error
        self.reached = True
        return connection

    async def _check_session(self, connection: Connection) -> None:
        """Raises StoreUnusable behind a pooler that gives each transaction another server's session.

        Asked once, and only where something stands between: who answers is not whom we were introduced to.
        """
        if self._looked_behind:
            return
        pid = await _pid(connection)
        if pid != connection.info.backend_pid:
            other = await self._connected()
            try:
                await other.rows("BEGIN")  # takes the session that was just given back, if one was
                await _pid(other)
                moved = await _pid(connection) != pid
            finally:
                await other.close()
            if moved:
                raise StoreUnusable(
                    f"{self.location} is a pooler (PgBouncer?) that pools transactions, where no lock holds: name the"
                    " server itself, or a pool of sessions"
                )
        self._looked_behind = True

    def _out_of_reach(self, error: Exception) -> OutOfReach:
        failures = _failures(error)
        for part, (remedy, soon) in REMEDIES.items():
            for said in failures:
                if part in said:
                    soon = soon or (part == READ_ONLY and len(failures) > 1)
                    return OutOfReach(f"the database at {self.location} {remedy}: {said}", soon=soon)
        return OutOfReach(f"the database at {self.location} cannot be reached; is it running? {failures[-1]}")

    def translate(self, error: psycopg.Error) -> PtstreamError:
        """What it means for a person that the server did not take a statement."""
        said = one_line(error)
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return StoreUnusable(
                f"the role that {self.location} was opened with may not do this: {said}; have it granted"
                " (SELECT to read; INSERT, UPDATE and DELETE as well to write)"
            )
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return StoreBusy(f"{self.location} is a replica, which only reads: name the primary, too")
        if isinstance(error, psycopg.DataError):
            return UsageError(f"PostgreSQL cannot store this: {said}")
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            return StoreUnusable(f"the tables at {self.location} are not this ptstream's any more: {said}")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return StoreBusy(f"the database at {self.location} takes no write: {said}")
        return StoreUnusable(f"the database at {self.location} does not take this: {said}")


BREAKS = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)

READ_ONLY = "read-only"

REMEDIES = {
    "password authentication": (
        "lets nobody in with this user and password (look into the URL, or into PGPASSWORD)",
        False,
    ),
    "no password supplied": ("wants a password", False),
    "too many": (FULL := "has no connection left: raise max_connections, or connect fewer processes", False),
    "remaining connection slots": (FULL, False),
    "does not exist": ("is not there as it was named", False),
    "pg_hba.conf": ("does not let this machine or user in", False),
    "the database system is": ("is not ready yet", True),
    READ_ONLY: ("is a replica, which only reads: name the primary, too", False),
}
"""What may stand in libpq's words, which come without a code; what it means, and whether it passes by itself.

What one of several hosts says that could be the primary goes before what its standbys say.
"""


def _failures(error: BaseException) -> list[str]:
    """What is wrong with each host, in a line."""
    first, *more = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    each = [line.partition(": connection")[2] for line in more if line.startswith("- host:")]
    return [f"connection{line}"[:300] for line in each if line] or [first[:300]]


def one_line(error: BaseException) -> str:
    """The first sentence of an error, and those about each host."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:1])[:300]


async def _pid(connection: Connection) -> int:
    return int((await connection.rows("SELECT pg_backend_pid()"))[0][0])


def _location(given: Mapping[str, Any]) -> str:
    """The URL without what is secret, and without options that do not say where it is."""
    hosts = str(given.get("host") or given.get("hostaddr") or "").split(",")
    ports = str(given.get("port") or "").split(",")
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    places = ",".join(
        (urllib.parse.quote(host, safe="") if "/" in host else host) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    )
    user = f"{urllib.parse.quote(str(given['user']), safe='')}@" if given.get("user") else ""
    path = f"postgresql://{user}{places}/{urllib.parse.quote(str(given.get('dbname') or ''), safe='')}"
    more = {key: given[key] for key in ("service", "options") if given.get(key)}
    return f"{path}?{urllib.parse.urlencode(more)}" if more else path
