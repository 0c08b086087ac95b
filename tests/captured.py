"""What commands show on a terminal, as tmux has it in rows and colours, kept in `tests/captures`.

`python -m tests.captured` makes all of it anew: look at what has changed (`cat tests/captures/ls.80.txt` shows it as it
stood there, on a light or a dark terminal, whichever yours is), and commit it. `test_captures.py` compares.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pexpect

from ptstream.engine import open_engine
from ptstream.engine.transfer import Chunk, Record
from ptstream.settings import Home
from ptstream.streams import Attempt, GenerationRequest, Status, Stream
from tests.conftest import Cli, made_home, until
from tests.terminal import Terminal

FOLDER = Path(__file__).parent / "captures"

WIDTHS = (40, 80, 200)

ROWS = 150
"""More than any of them has."""

IDLE = "exec sleep 600"
"""What runs in a terminal that others write to."""

COMMANDS = {
    "answer": ("watch", "everything"),
    "ls": ("ls",),
    "ls-l": ("ls", "-l"),
    "show": ("show", "everything", "build"),
    "watch-two": ("watch", "lint", "test"),
    "help": ("--help",),
    "help-drive": ("drive", "--help"),
    "error": ("watch", "build"),
    "not-found": ("cat", "nosuch"),
}

ANSWER = (FOLDER / "everything.md").read_text("utf-8")

BUILD = (
    "\x1b[1mmake\x1b[0m: entering directory\n  0%\r 50%\r\x1b[32m100%\x1b[0m compiled\n"
    "\x1b[31merror:\x1b[0m src/daemon/process.c:212:17: expected ‘;’ before ‘return’ in the middle of a line that is"
    " longer than most terminals are wide, as those of compilers often are, with paths and all\n"
)

SGR = re.compile(r"(\x1b\[[\d;]*m)")

COLOURS = {str(number) for number in (*range(30, 40), *range(90, 98))}

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def _streams(now: float) -> Iterator[tuple[Record, bytes]]:
    """What there is, oldest first."""

    def ended(
        id: str, age: float, request: GenerationRequest, text: str, status: Status = Status.DONE, **more: Any
    ) -> tuple[Record, bytes]:
        data, begun = text.encode(), now - age
        usage, took = more.pop("usage", None), 12.5
        fields = {"name": None, "title": None, "error": None, "parent": None, "parent_offset": None, **more}
        stream = Stream(
            id=id, status=status, bytes=len(data), request=request, created_at=begun, ended_at=begun + took, **fields
        )
        model, place = ("make", "/home/ada/work") if request.command else (request.model, "llm.example.com")
        owner = "5f0e9d3c1b7a2468"
        attempt = Attempt(1, owner, 0, begun, begun + took, 40, stream.error, usage, model, place)
        return Record(stream, None, [attempt]), data

    asked = GenerationRequest("Show me everything that Markdown has.", model="work/large")
    make = GenerationRequest(command=("make", "-j4", "all"), options={"tty": True})
    tokens = {"prompt_tokens": 12, "completion_tokens": 431}
    first = ended("a8gky1rj2vbe", 200_000, asked, ANSWER, name="everything", usage=tokens)
    yield first
    size = first[0].stream.bytes
    yield ended(
        "c3mwq0t8xz5n",
        90_000,
        asked._replace(prompt="And what has it not?"),
        "Nothing. ",
        parent="a8gky1rj2vbe",
        parent_offset=size,
        usage={"completion_tokens": 2},
    )
    yield ended("d9v2h6k4s1pf", 7_300, asked._replace(prompt="空が青いのはなぜですか。"), "光の散乱です。\n")
    yield ended("e5j7r3b0ymzg", 4_000, asked._replace(prompt="Tell me a story."), "Once ", Status.CANCELLED)
    cause = "make: exit code 2: src/daemon/process.c:212:17: expected ‘;’ before ‘return’\nmake: *** [all] Error 1"
    yield ended("f1x8n4w6t0qk", 130, make, BUILD, Status.ERROR, error=cause, name="build", usage={"exit_code": 2})
    lint = GenerationRequest(command=("ruff", "check", "."))
    test = GenerationRequest(command=("make", "test"))
    yield ended("h7q3d0f6j8wc", 70, test, "\x1b[2m 1/9\x1b[0m\r\x1b[2m 9/9\x1b[0m tests\nall\ngreen\n", name="test")
    yield ended("g6p2z9c5h7vd", 65, lint, "All checks \x1b[1;32mpassed\x1b[0m!\n" * 2, name="lint")


async def _fill(home: Home) -> None:
    made = list(_streams(time.time()))
    async with open_engine(home) as engine:
        await engine.create(GenerationRequest("a first one makes the tables"))
        for stream in await engine.listed():
            await engine.delete(stream.id)
        async with engine.intake() as intake:
            for record, data in made:
                await intake.stage([(record.stream.id, Chunk(0, 1, record.stream.created_at, data))])
            await intake.publish([record for record, _ in made])


@contextmanager
def filled() -> Iterator[Cli]:
    """The command against a home with streams whose ids and ages are always the same."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path, made_home(f"{path}/home") as home:
        home.make()
        anyio.run(_fill, home)
        yield Cli(home)


@contextmanager
def tmux() -> Iterator[Tmux]:
    """A server of its own."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path:
        made = Tmux(f"{path}/tmux")
        made.said("new-session", "-d", IDLE)  # it ends with its last session
        try:
            yield made
        finally:
            made.said("kill-server")


class Tmux:
    """A terminal that gives back what it shows."""

    def __init__(self, socket: str) -> None:
        self._line = ["tmux", "-u", "-S", socket, "-f", "/dev/null"]

    def said(self, *words: str) -> str:
        """What a command of tmux's prints."""
        return subprocess.run([*self._line, *words], check=True, capture_output=True, encoding="utf-8").stdout

    def shown(self, output: str, columns: int) -> str:
        """What a program's output looks like, in rows; colours are sequences again."""
        size = ("-x", str(columns), "-y", str(ROWS))
        pane = self.said("new-session", "-d", "-P", "-F", "#{session_id}", *size, IDLE).strip()
        end = "the end of it"
        path = self.said("display", "-p", "-t", pane, "#{pane_tty}").strip()
        with open(path, "w", encoding="utf-8", newline="") as tty:
            tty.write(f"{output}\x1b[m\n{end}")
        rows: list[str] = until(lambda: _before(self.said("capture-pane", "-p", "-e", "-t", pane), end))
        self.said("kill-session", "-t", pane)
        return "".join(f"{row}\n" for row in rows)


def _before(shown: str, end: str) -> list[str] | None:
    rows = [row.rstrip() for row in _said_briefly(shown).splitlines()]
    ends = [number for number, row in enumerate(rows) if row.removeprefix("\x1b[0m") == end]
    return rows[: ends[0]] if ends else None


def _said_briefly(shown: str) -> str:
    """The same text in the same colours, however a version of tmux says them: a sequence for each change says all."""
    said, now, wanted = "", "", [""]
    for part in SGR.split(shown):
        if not SGR.fullmatch(part):
            for run in re.split(r"(\s+)", part):  # what is not to be seen has no colour
                style = ";".join(sorted(wanted)) if run.strip() else now
                said, now = said + (f"\x1b[0{style}m" if style != now else "") + run, style
            continue
        for number in part[2:-1].split(";"):
            if number in ("", "0"):
                wanted = [""]
            elif number in COLOURS:
                wanted = [each for each in wanted if each not in COLOURS]
            if number not in ("", "0", "39", "49"):
                wanted = [*wanted, number]
    return said


def output_of(cli: Cli, words: tuple[str, ...], columns: int) -> str:
    """What a command writes to a terminal, without what is another each time; side by side, one after the other."""
    child = Terminal(words, cli.environment, dimensions=(ROWS, columns))
    child.expect(pexpect.EOF)
    output = TIME.sub("2026-11-30T08:00:00.000Z", (child.before or "").replace("\r\n", "\n"))
    if words[0] == "watch" and len(words) > 2:
        output = "".join(sorted(output.splitlines(keepends=True), key=lambda line: line.partition(" | ")[0]))
    return output


def captures() -> Mapping[str, str]:
    """What each command shows at each width, by the name of its file."""
    with filled() as cli, tmux() as terminal:
        return {
            f"{name}.{columns}.txt": terminal.shown(output_of(cli, words, columns), columns)
            for name, words in COMMANDS.items()
            for columns in WIDTHS
        }


if __name__ == "__main__":
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, text in captures().items():
        (FOLDER / name).write_text(text, "utf-8")
    sys.exit(0)
