"""The same four accidents in `llm` from PyPI and in ptstream: what the screen showed, and what is kept afterwards.

Ctrl-C, a provider that breaks off, `| head`, and a terminal that hangs up; the same endpoint (`tests/endpoint.py`)
says the same text to both. `llm` is installed into a directory of its own that is removed again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.endpoint import TEXT
from tests.faults.ground import PTSTREAM, Actor, Ground, ground, read, terminal
from tests.faults.text import common

NAME = "scripted"

SHOWN = 20
"""Bytes that are on the screen when the accident happens."""

MODELS = ("slow", "truncate")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of an answer."""

    shown: int
    kept: int
    told: str


@dataclass(frozen=True, slots=True)
class Program:
    """One of the two: its command line for a model, and what it has kept in a home that had nothing before."""

    name: str
    argv: Callable[[str], Sequence[str]]
    kept: Callable[[Ground], tuple[int, str]]


Accident = Callable[[Ground, Program], Actor]


def none(here: Ground, program: Program) -> Actor:
    """The control: nothing happens."""
    actor = here.spawn(program.argv("slow"))
    here.ended(actor)
    return actor


def interrupted(here: Ground, program: Program) -> Actor:
    """Ctrl-C in a terminal."""
    actor, inner = _on_terminal(here, program)
    here.ears.until(lambda: len(actor.out.data) >= SHOWN or actor.gone, "text")
    actor.signal(signal.SIGINT)
    here.ended(actor)
    os.close(inner)
    return actor


def hung_up(here: Ground, program: Program) -> Actor:
    """The terminal's window is closed."""
    actor, inner = _on_terminal(here, program)
    os.close(inner)
    here.ears.until(lambda: len(actor.out.data) >= SHOWN or actor.gone, "text")
    actor.out.drain()
    actor.out.close()
    here.ears.until(lambda: actor.gone, "the end of who was hung up")
    return actor


def broken_off(here: Ground, program: Program) -> Actor:
    """The provider's connection ends in the middle."""
    actor = here.spawn(program.argv("truncate"))
    here.ended(actor)
    return actor


def piped_to_head(here: Ground, program: Program) -> Actor:
    """Who reads the output takes some bytes and goes."""
    actor = here.spawn(program.argv("slow"))
    here.ears.until(lambda: len(actor.out.data) >= SHOWN or actor.gone, "text")
    actor.out.close()
    here.ears.until(lambda: actor.gone, "the end of who lost its reader")
    return actor


ACCIDENTS: dict[str, Accident] = {
    "no accident": none,
    "Ctrl-C": interrupted,
    "the provider breaks off": broken_off,
    "| head": piped_to_head,
    "the terminal hangs up": hung_up,
}


def main() -> int:
    """Print the table; 1 if ptstream has kept less than it showed."""
    with ground(random.Random(0)) as place:
        llm = _installed(place)
        version = _version(place, llm)
        results = {
            title: [_after(accident, program) for program in (_llm(llm), _ptstream())]
            for title, accident in ACCIDENTS.items()
        }
    print(f"{'accident':26}{version + ': shown':>22}{'kept':>8}{'ptstream: shown':>18}{'kept':>8}  its end")
    for title, (other, ours) in results.items():
        print(f"{title:26}{other.shown:>22}{other.kept:>8}{ours.shown:>18}{ours.kept:>8}  {ours.told}")
    print(f"The endpoint says {len(TEXT.encode())} bytes in all; bytes kept: in llm's logs.db, in ptstream's database.")
    return 0 if all(ours.kept >= ours.shown for _, ours in results.values()) else 1


def _after(accident: Accident, program: Program) -> Kept:
    with ground(random.Random(0)) as here, _endpoint(here) as url:
        _configure(here, url)
        actor = accident(here, program)
        shown = len(bytes(actor.out.data).replace(b"\r", b"").rstrip(b"\n"))
        size, told = program.kept(here)
        return Kept(shown, size, told)


def _on_terminal(here: Ground, program: Program) -> tuple[Actor, int]:
    ours, inner = terminal()
    return here.spawn(program.argv("slow"), terminal=(ours, inner)), inner


# --- the two programs


def _llm(path: str) -> Program:
    return Program("llm", lambda model: [path, "prompt", "-m", model, "Why?"], _kept_by_llm)


def _kept_by_llm(here: Ground) -> tuple[int, str]:
    """How much of the answer there is anywhere in its logs: its tables change with its versions."""
    path = os.path.join(here.folder, "llm", "logs.db")
    if not os.path.exists(path):
        return 0, "no logs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        best = max((common(cell, TEXT.encode()) for cell in _cells(connection)), default=0)
    return best, "logs.db"


def _cells(connection: sqlite3.Connection) -> Iterator[bytes]:
    """Every text in every plain table."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
    for (table,) in connection.execute(tables).fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
            yield from (cell.encode() for cell in row if isinstance(cell, str))


def _ptstream() -> Program:
    words = [*PTSTREAM, "drive", "--raw", "-p", "Why?"]
    return Program("ptstream", lambda model: [*words, "-m", f"{NAME}/{model}"], _kept_by_ptstream)


def _kept_by_ptstream(here: Ground) -> tuple[int, str]:
    with here.store() as store:
        (stream,) = store.streams()
        here.ears.until(lambda: store.state(stream.id).status.ended, "the end of the stream")
        text, cursor = read(store, stream.id)
    assert cursor.state is not None
    return len(text), cursor.state.status.value


# --- what they need


@contextlib.contextmanager
def _endpoint(here: Ground) -> Iterator[str]:
    reading, writing = os.pipe()
    actor = here.spawn([sys.executable, "-m", "tests.endpoint"], stdin=reading)
    os.close(reading)
    try:
        here.ears.until(lambda: b"\n" in actor.out.data or actor.gone, "an endpoint")
        yield bytes(actor.out.data).decode().strip()
    finally:
        os.close(writing)


def _configure(here: Ground, url: str) -> None:
    """Both know the endpoint's models; the key is none."""
    os.makedirs(here.home.path, mode=0o700)
    with open(here.home.config, "w", encoding="utf-8") as file:
        file.write(f'[endpoints.{NAME}]\nbase_url = "{url}"\n')
    os.makedirs(os.path.join(here.folder, "llm"))
    with open(os.path.join(here.folder, "llm", "extra-openai-models.yaml"), "w", encoding="utf-8") as file:
        for model in MODELS:
            file.write(f"- model_id: {model}\n  model_name: {model}\n  api_base: {url}\n")
    here.more |= {"LLM_USER_PATH": os.path.join(here.folder, "llm"), "OPENAI_API_KEY": "dummy"}


def _installed(here: Ground) -> str:
    """The path of an `llm` that pip has just fetched."""
    folder = os.path.join(here.folder, "venv")
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "llm"]
    for argv in ([sys.executable, "-m", "venv", folder], pip):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"llm cannot be installed here: {done.stderr[-1000:]}")
    return os.path.join(folder, "bin", "llm")


def _version(here: Ground, llm: str) -> str:
    asked = here.spawn([llm, "--version"])
    here.ended(asked)
    return bytes(asked.out.data).decode().strip().replace(", version", "")
