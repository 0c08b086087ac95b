"""How soon a first word is there, and whether a model is as fast through ptstream as without it.

`ptstream drive -- printf hi` from its start to its first byte, with a daemon that runs and with none, against `printf
hi` itself: what a person waits for. Then a model's tokens a second, from the first to the last as they come out of
`ptstream drive` and out of `curl`, both at the same scripted endpoint (`model_server.py`), which says them by the
clock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from statistics import median

from ptstream.settings import Home
from tests.bench.daemons import COMMAND, MODEL, Daemon, daemon
from tests.bench.report import Goal, Row, Section, compared, number
from tests.bench.start_up import script
from tests.bench.surroundings import environment, running

WARM = Goal(40, "below what a person notices between a key and its letter", unit="ms")
COLD = Goal(400, "once after a boot: what somebody waits for without wondering", unit="ms")
TOKENS = Goal(0.98, "the model is what is waited for", at_least=True)

COMMANDED = ["printf", "hi"]

RATE = 200
"""Tokens a second."""


def _first_byte(argv: Sequence[str], home: Home) -> float:
    """Milliseconds from the process's start to the first byte of its stdout."""
    began = time.perf_counter()
    with running(argv, home, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        taken = time.perf_counter() - began
        rest = process.stdout.read()
        assert first + rest == b"hi", f"{argv} printed {first + rest!r}"
        assert process.wait() == 0, f"{argv} ended with {process.returncode}"
    return taken * 1000


def _stop(home: Home) -> None:
    subprocess.run([*COMMAND, "daemon", "stop"], env=environment(home), check=True, stderr=subprocess.DEVNULL)


def _first_words(daemon: Daemon, rounds: int) -> Iterator[Row]:
    drive = [*script(), "drive", "--", *COMMANDED]
    found: dict[str, list[float]] = {"alone": [], "warm": [], "cold": []}
    for turn in range(-1, rounds):
        taken = {
            "alone": _first_byte(COMMANDED, daemon.home),
            "warm": _first_byte(drive, daemon.home),
            "cold": _cold(drive, daemon.home),
        }
        if turn >= 0:  # the first ones write the byte code
            for way, value in taken.items():
                found[way].append(value)
    alone = median(found["alone"])
    for way, goal in (("warm", WARM), ("cold", COLD)):
        more = median(found[way]) - alone
        label = f"first byte of drive -- printf hi, daemon {way}"
        yield Row(label, f"+{number(more)} ms", f"printf hi {number(alone)} ms", None, goal, more, alone)


def _cold(drive: Sequence[str], home: Home) -> float:
    """In a home beside it, where no daemon runs."""
    other = Home(f"{home.path}-cold")
    taken = _first_byte(drive, other)
    _stop(other)
    return taken


def _tokens_a_second(argv: Sequence[str], home: Home, count: int, mark: bytes) -> float:
    """As they come out of the process, from the first to the last."""
    seen, first, last = 0, 0.0, 0.0
    with running(argv, home, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 65536):
            last = time.perf_counter()
            first = first or last
            seen += data.count(mark) if mark else len(data)
        assert process.wait() == 0, f"{argv} ended with {process.returncode}"
    assert seen >= count, f"{seen} of {count} came"
    return (count - 1) / (last - first)


def _rates(daemon: Daemon, count: int, rounds: int) -> Row:
    model = f"{count}-{RATE}"
    body = json.dumps({"model": model, "stream": True})
    url = f"{daemon.endpoint}/chat/completions"
    curl = ["curl", "-sN", "--noproxy", "*", "-H", "content-type: application/json", "-d", body, url]
    drive = [*script(), "drive", "-m", MODEL + model, "-p", "Why?"]
    pairs = [
        (
            _tokens_a_second(drive, daemon.home, count, b""),
            _tokens_a_second(curl, daemon.home, count, b'"content"'),
        )
        for _ in range(rounds)
    ]
    ours, other = (median(side) for side in zip(*pairs, strict=True))
    return compared(f"a model's tokens/s, of {RATE} (more is better)", ours, other, "/s", "curl", TOKENS)


def measure(quick: bool) -> Section:
    """The section."""
    rounds = 3 if quick else 15
    with daemon() as ours:
        rows = list(_first_words(ours, rounds))
        if shutil.which("curl"):
            rows.append(_rates(ours, 200 if quick else 600, 1 if quick else 3))
    return Section("First words, and a model's own speed", rows, f"{rounds} starts each, in turn; medians", rounds)
