"""The other side of an ssh, whatever it says: a result or an error in plain words, nothing run here, and an end."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tty
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from hypothesis import strategies as st

from ptstream import wire
from ptstream.cli.cancel import cancel
from ptstream.cli.create import create
from ptstream.cli.ls import Wanted, ls
from ptstream.cli.rm import rm
from ptstream.cli.screen import Screen
from ptstream.cli.search import search as find
from ptstream.cli.show import show_each
from ptstream.client import ssh
from ptstream.client.ssh import Host, host_named
from ptstream.client.there import There
from ptstream.errors import PtstreamError
from ptstream.streams import GenerationRequest
from ptstream.ungrouped import ungrouped
from tests.faults.ears import LIMIT
from tests.faults.fuzz.grammar import CUTS, broken, one_of, pieces
from tests.faults.fuzz.search import Look, Wrong, search
from tests.faults.fuzz.terminal import forbidden, taken
from tests.faults.ground import Ground, ground
from tests.faults.runs import Run
from tests.faults.tally import Tally

MOST = 3000
"""Characters that a terminal is sent for what is no good answer."""

RUN = "run-by-the-other-side"
"""A file that there is if something of theirs was run."""

HOSTILE = (
    *(
        "\x1b]0;t\x07",
        "\x1b[2J",
        "\x1b]52;c;aGk=\x07",
        "\x9b31m",
        "\u202e",
        "a\nptstream: all is well",
        "\r",
        "\0",
        "\ud800",
    ),
    *(
        f"$(touch {RUN})",
        f"`touch {RUN}`",
        f"; touch {RUN}",
        f"| touch {RUN}",
        "--help",
        "-oProxyCommand=x",
        "../../x",
        "@last",
        "",
    ),
)

VALUES: st.SearchStrategy[Any] = one_of(
    (
        *HOSTILE,
        None,
        True,
        -1,
        0,
        1.5,
        2**70,
        float("nan"),
        float("inf"),
        [],
        [[]],
        {},
        ["x"],
        {"a": "b"},
        "2026-01-01T00:00:00.000Z",
        "9" * 50,
    )
)

FIELDS = {
    **{
        "id": "0123456789ab",
        "name": "n",
        "title": "t",
        "status": "done",
        "bytes": 3,
        "model": None,
        "command": ["echo"],
    },
    **{"generator": None, "error": None, "note": None, "created_at": "2026-01-01T00:00:00.000Z", "ended_at": None},
    **{
        "parent": None,
        "parent_offset": None,
        "seam": None,
        "prompt": "x",
        "system": None,
        "attempts": [],
        "pieces": 1,
        "chunks": 1,
    },
}

STREAM = st.dictionaries(st.sampled_from(tuple(FIELDS)), VALUES, max_size=3).map(lambda odd: FIELDS | odd)

JSON = st.one_of(
    STREAM,
    STREAM.map(lambda stream: {"streams": [stream]}),
    STREAM.map(
        lambda stream: {
            "hits": [{"id": stream["id"], "title": stream["title"], "offset": 0, "line": "x"}],
            "complete": True,
        }
    ),
    st.builds(
        lambda code, message: {"error": {"code": code, "message": message}},
        VALUES | st.sampled_from(("not-found", "usage")),
        VALUES,
    ),
    VALUES,
    st.builds(
        lambda name, value: {name: value},
        st.sampled_from(("streams", "hits", "error", "status", "complete", "version")),
        VALUES,
    ),
).map(json.dumps)

GREETINGS = st.one_of(
    st.just(wire.greeting("a-caller")),
    st.just(wire.greeting("a-caller")),
    st.builds(
        lambda version, code, message: (
            json.dumps({"ptstream": version, "code": code, "message": message}).encode() + b"\n"
        ),
        VALUES | st.just("0.1.0"),
        VALUES | st.sampled_from(("configuration", "usage")),
        VALUES,
    ),
    broken(st.just(wire.greeting("a-caller"))),
    one_of(
        (
            b"",
            b"\n",
            b"Welcome to box!\n",
            b"[" * 70_000,
            b"x" * 70_000,
            b"null\n",
            b"[]\n",
            b"9" * 5000 + b"\n",
            b"\xff\n",
            b"\x1b]0;t\x07\n",
        )
    ),
)

HEADERS = one_of(
    (
        *("", "Content-Type: application/json", "Content-Encoding: gzip", "Content-Encoding: x"),
        *("Connection: close", "Transfer-Encoding: chunked", "Location: file:///etc/passwd", "Set-Cookie: a=b"),
        *("Content-Length: 5", "X: \xff"),
    )
)

STATUSES = one_of(
    (
        "200 OK",
        "200 OK",
        "200 OK",
        "200",
        "204 No",
        "101 Switching",
        "100 Continue",
        "301 Moved",
        "404 Not",
        "500 Oh",
        "999 X",
        "-1 X",
        "2000000000 X",
    )
)


def _answer(status: str, headers: Sequence[str], body: str, framed: bool) -> bytes:
    fields = [header for header in headers if header]
    if framed:
        fields.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1") + body.encode()


ANSWERS = broken(
    st.builds(
        _answer,
        STATUSES,
        st.lists(HEADERS, max_size=2),
        JSON | one_of(("", "x", "[" * 3000, "9" * 5000, "\n")),
        st.booleans(),
    ),
    2,
)

COMMANDS = ("ls", "show", "create", "cancel", "rm", "search", "follow")

SAYS = st.tuples(st.sampled_from(COMMANDS), GREETINGS, ANSWERS, CUTS)


def fuzz(run: Run, tally: Tally, count: int) -> None:
    """All of it."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        with run.case(tally, -1) as chance, ground(chance) as here, asyncio.Runner() as runner:
            side = _Side(here, runner, ours, theirs)
            looks: list[Look[Any]] = [
                Look(SAYS, lambda made: side.here_and_there(*made), 30),
                Look(SAYS, lambda made: side.as_a_process(*made), 2),
            ]
            search(run, tally, looks)
    finally:
        os.close(ours)
        os.close(theirs)


class _Side:
    """Our side, and what the other one is to say."""

    def __init__(self, here: Ground, runner: asyncio.Runner, ours: int, theirs: int) -> None:
        self._here = here
        self._runner = runner
        self._ours = ours
        self._theirs = theirs
        far = Path(__file__).with_name("far.py")
        self._program = shlex.join([sys.executable, "-I", "-S", str(far), here.folder])

    def here_and_there(self, command: str, greeting: bytes, answer: bytes, cuts: Sequence[int] | None) -> None:
        """As the command does it, in this process."""
        self._prepare(greeting, answer, cuts)
        host = host_named("ssh://box", {"PTSTREAM_SSH": self._program})
        screen = Screen(self._theirs, self._theirs, environ={"TERM": "xterm"}, color="never")
        failed = False
        try:
            self._runner.run(_within(partial(_command, command, host, screen)))
        except TimeoutError as error:
            raise Wrong("it does not end", command) from error
        except PtstreamError as error:
            failed = True
            screen.error(error)
        self._check(taken(self._ours), failed=failed)

    def as_a_process(self, command: str, greeting: bytes, answer: bytes, cuts: Sequence[int] | None) -> None:
        """By the command itself."""
        self._prepare(greeting, answer, cuts)
        self._here.more |= {"PTSTREAM_HOST": "ssh://box", "PTSTREAM_SSH": self._program}
        asked = self._here.ask(*{"show": ("show", "x"), "search": ("search", "x")}.get(command, ("ls", "--json")))
        if "Traceback" in asked.said or asked.process.returncode not in (0, 1, 2, 3, 4, 5, 6, 7, 8, 69):
            raise Wrong("the command fails", f"exit {asked.process.returncode}: {asked.said[-500:]}")
        self._check(asked.said.encode(), failed=asked.process.returncode != 0)

    def _prepare(self, greeting: bytes, answer: bytes, cuts: Sequence[int] | None) -> None:
        says = [[part.decode("latin-1") for part in pieces(each, cuts or ())] for each in (greeting, answer)]
        Path(self._here.folder, "says.json").write_text(json.dumps(says), encoding="ascii")

    def _check(self, sent: bytes, *, failed: bool) -> None:
        shown = sent.decode("utf-8", "replace")
        if found := forbidden(shown):
            raise Wrong("what acts is sent to the terminal", found)
        if failed and len(shown) > MOST:
            raise Wrong("an error that nobody reads", f"{len(shown)} characters: {shown[:200]!r}")
        for folder in (self._here.folder, os.getcwd()):
            if os.path.exists(os.path.join(folder, RUN)):
                os.unlink(os.path.join(folder, RUN))
                raise Wrong("something of theirs was run here")


async def _within(work: Callable[[], Awaitable[object]]) -> None:
    """Raises TimeoutError when it does not end by itself."""
    with anyio.fail_after(LIMIT), ungrouped():
        await work()


async def _command(name: str, host: Host, screen: Screen) -> None:
    async with ssh.connect(host, screen.overheard(host.destination)) as (client, asker):
        there = There(client, asker, screen.note, pauses=())
        match name:
            case "ls":
                await ls(there, screen, Wanted(5, (), None), quiet=False, json=False)
            case "show":
                await show_each(there, screen, ["x"], json=False)
            case "create":
                await create(there, screen, GenerationRequest(prompt="x"), name=None, title=None, ttl=None, json=False)
            case "cancel":
                await cancel(there, screen, ["x"], drain=False, quiet=False)
            case "rm":
                await rm(there, screen, ["x"], age=None, status=None, keep=0, dry_run=True, force=False)
            case "search":
                await find(there, screen, "x", limit=5, json=False)
            case _:
                await _follow(there, screen)


async def _follow(there: There, screen: Screen) -> None:
    async with aclosing(there.follow("x")) as runs:
        async for data in runs:
            screen.text(data[:500])  # what a terminal holds until it is taken
    async with aclosing(there.remarks("x")) as entries:
        async for entry in entries:
            await screen.remark(entry.text[:500])
    screen.finish()
