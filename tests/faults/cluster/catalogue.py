"""The faults of several machines with one PostgreSQL, by name."""

from __future__ import annotations

import importlib.util

from tests.faults.catalogue import Fault, no_root
from tests.faults.cluster import failures
from tests.faults.cluster.failures import rounds
from tests.postgres import programs
from tests.test_postgres import PGBOUNCER


def no_server() -> str | None:
    """Why there can be no PostgreSQL."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    return None if programs() else "PostgreSQL is not installed"


def no_pooler() -> str | None:
    """Why there can be none, or no server."""
    return no_server() or (None if PGBOUNCER else "pgbouncer is not installed")


FAULTS = (
    Fault("primary", "kill -9 the primary, promotion", rounds(failures.primary), 6, no_server),
    Fault("standby", "kill -9 a standby", rounds(failures.standby), 2, no_server),
    Fault("standbys", "kill -9 both standbys", rounds(failures.standbys), 4, no_server),
    Fault("zombie", "the primary stops, and returns", rounds(failures.zombie), 4, no_server),
    Fault("daemon", "kill -9 a daemon", rounds(failures.daemon), 4, no_server),
    Fault("daemon-primary", "kill -9 daemon and primary", rounds(failures.daemon_and_primary), 4, no_server),
    Fault(
        "cut-off",
        "a machine is cut off, and back",
        rounds(failures.cut_off, cut=True),
        3,
        lambda: no_server() or failures.no_network(),
    ),
    Fault("connections", "no connection is left", rounds(failures.connections), 1, no_server),
    Fault("full", "the primary's disk is full", rounds(failures.full, disk=True), 1, lambda: no_server() or no_root()),
    Fault("snapshot", "a snapshot is held, a dump made", rounds(failures.snapshot), 1, no_server),
    Fault("pooler", "a pool of sessions dies", failures.pooler, 1, no_pooler),
)
