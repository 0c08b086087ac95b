"""How long the commands take that a person waits for with a finger on the key: `cat`, `ls` and completion.

The installed `ptstream` script, started as a shell starts it, its output read through a pipe, against `python -c pass`
of the same interpreter in the same environment. In turn, medians. The home holds 40 ended streams of 4 KB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

from ptstream.engine.sqlite.store import Store
from ptstream.settings import Home
from ptstream.streams import Status
from tests.bench.english import pieces
from tests.bench.report import Goal, Section, compared
from tests.bench.surroundings import claimed, environment, temporary_home

STREAMS = 40

GOAL = Goal(2.2, "importing sqlite3 alone is 1.5: a person waits with a finger on the key")

LIMIT = 5.0
"""Times `python -c pass`: what the commands promise."""


def script() -> list[str]:
    """How the installed command is started; without one beside this Python, what its script does."""
    installed = os.path.join(os.path.dirname(sys.executable), "ptstream")
    return [installed] if os.path.exists(installed) else [sys.executable, "-P", "-m", "ptstream.cli.entry"]


def _fill(home: Home) -> str:
    """Streams as they lie there after some use; the id of the last one."""
    text = "".join(pieces(800))
    claims = claimed(home, STREAMS)
    with Store(home) as store:
        for claim in claims:
            store.flush(
                (claim.id, 1, 0, len(text.encode()), text, time.time(), 800, Status.DONE.value, None, None, None)
            )
    return claims[-1].id


def measure(quick: bool) -> Section:
    """The section."""
    rounds = 9 if quick else 25
    with temporary_home() as home:
        id = _fill(home)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "ptstream cat ID": [*script(), "cat", id],
            "ptstream ls": [*script(), "ls"],
            "completion of an id": [*script(), "__complete", "--bash", "ptstream cat ", ""],
        }
        taken: dict[str, list[float]] = {label: [] for label in commands}
        for number in range(-1, rounds):
            for label, argv in commands.items():
                seconds = _run(argv, home, silent=label == "python -c pass")
                if number >= 0:  # the first one writes the byte code
                    taken[label].append(seconds)
    bare, *ours = (median(values) * 1000 for values in taken.values())
    rows = [
        compared(label, value, bare, "ms", "python -c pass", GOAL)
        for label, value in zip(list(taken)[1:], ours, strict=True)
    ]
    worst = max(ours) / bare
    kept = "kept" if worst <= LIMIT else "NOT KEPT"
    return Section("Start-up", rows, f"{rounds} starts each; the limit is {LIMIT:.0f}x: {kept}", rounds)


def _run(argv: list[str], home: Home, silent: bool) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, env=environment(home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    taken = time.perf_counter() - began
    assert silent or done.stdout, f"{argv} printed nothing"
    return taken
