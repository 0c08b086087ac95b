"""All the faults, by name: what each is called in the table, its share of the kills, and what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults import cancels, kills, many, permissions, readers, returns, storage, strangers
from tests.faults.fuzz import bodies, config, http, markdown, page, ssh, terminal
from tests.faults.runs import Run
from tests.faults.tally import Tally

MANY = 50
"""Streams at once, where there are many."""


STRANGERS = "strangers"
"""What others reach, and whatever they send."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table. A `share` of 0 means that it is no kill, and done once."""

    name: str
    title: str
    run: Callable[[Run, Tally, int], None]
    share: int = 0
    missing: Callable[[], str | None] = lambda: None
    of: str | None = None
    """What it is chosen by together with others."""

    def part_of(self, kills: int, chosen: Sequence[Fault]) -> int:
        """How many of the kills are its own."""
        shares = sum(fault.share for fault in chosen)
        return max(1, round(kills * self.share / shares)) if self.share else 1


def no_strace() -> str | None:
    """Why there can be no fault between two system calls."""
    return None if shutil.which("strace") else "strace is not installed"


def no_root() -> str | None:
    """Why there can be neither a file system of its own nor another user."""
    return None if os.geteuid() == 0 else "takes root: it mounts a file system, or is another user"


FAULTS = (
    Fault("daemon", "kill -9 the daemon, 1 stream", lambda r, t, n: kills.daemon(r, t, n, 1), 14),
    Fault("daemon-many", f"kill -9 the daemon, {MANY} streams", lambda r, t, n: kills.daemon(r, t, n, MANY), 8),
    Fault("driver", "kill -9 drivers, 1 stream", lambda r, t, n: kills.driver(r, t, n, 1), 10),
    Fault("driver-many", f"kill -9 drivers, {MANY} streams", lambda r, t, n: kills.driver(r, t, n, MANY), 8),
    Fault("terminal", "the driver's terminal hangs up", lambda r, t, n: kills.hang_up(r, t, n, 1), 8),
    Fault("watcher", "kill -9 watch", lambda r, t, n: kills.watcher(r, t, n, False), 8),
    Fault("watcher-live", "kill -9 watch --live", lambda r, t, n: kills.watcher(r, t, n, True), 8),
    Fault("tee", "kill -9 tee", kills.tee, 12),
    Fault("drives", "kill -9 a program's drive", lambda r, t, n: kills.program(r, t, n, "drive", 1), 6),
    Fault("drives-many", f"kill -9 its {MANY} drives", lambda r, t, n: kills.program(r, t, n, "drive", MANY), 4),
    Fault("persists", "kill -9 a program's persist", lambda r, t, n: kills.program(r, t, n, "persist", 1), 6),
    Fault("persists-many", f"kill -9 its {MANY} persists", lambda r, t, n: kills.program(r, t, n, "persist", MANY), 2),
    Fault(
        "calls",
        "killed by its N-th system call",
        lambda r, t, n: kills.system_call(r, t, n, "daemon"),
        12,
        no_strace,
    ),
    Fault(
        "recoverers",
        "whoever recovers it killed so",
        lambda r, t, n: kills.system_call(r, t, n, "recoverer"),
        4,
        no_strace,
    ),
    Fault("return", "readers whose daemon dies come back", returns.readers, 8),
    Fault("living", "living owners beside starts and sweeps", returns.living, 4),
    Fault("full", "the disk is full, then not", storage.full, 0, no_root),
    Fault("writer", "another's long transaction", storage.foreign_writer),
    Fault("reader", "a long reader blocks checkpoints", storage.long_reader),
    Fault("permissions", "permissions lost, then back", permissions.lost, 0, permissions.refused_nothing),
    Fault("cancels", "cancelled, whoever owns it", cancels.cancels),
    Fault("another-user", "another user's reach", strangers.strangers, 0, no_root, STRANGERS),
    Fault("fuzz-terminal", "text to a terminal, made up", terminal.fuzz, of=STRANGERS),
    Fault("fuzz-http", "bytes to the daemon, made up", http.fuzz, of=STRANGERS),
    Fault("fuzz-bodies", "providers' answers, made up", bodies.fuzz, of=STRANGERS),
    Fault("fuzz-markdown", "Markdown on a terminal, made up", markdown.fuzz, of=STRANGERS),
    Fault("fuzz-page", "Markdown in the page, made up", page.fuzz, 0, page.missing, STRANGERS),
    Fault("fuzz-ssh", "what answers over ssh, made up", ssh.fuzz, of=STRANGERS),
    Fault("fuzz-config", "config files, made up", config.fuzz, of=STRANGERS),
    Fault("readers", "readers, 200 of one stream", readers.crowd),
    Fault("network", "readers over TCP, connections cut", readers.network),
    Fault("at-once", "many streams at once", many.at_once),
    Fault("stored", "many in the database, one huge", many.stored),
)
