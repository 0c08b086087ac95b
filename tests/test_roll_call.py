"""The daemons of one store, as any of them, and any command, knows them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ptstream import __version__
from ptstream.engine.protocol import Engine
from ptstream.roll_call import RunningDaemon, heard_of, told_of
from ptstream.settings import Home
from tests import postgres
from tests.conftest import LIMIT, Cli, gone, stop_daemon, until
from tests.test_engine_contract import engine, other, place, writer

__all__ = ["engine", "other", "place", "writer"]

ONE = RunningDaemon("box", 7, "1.0", 1e9, 2, 1, "http://127.0.0.1:1", None, 0.0)


def listed(cli: Cli, **more: Any) -> list[dict[str, Any]]:
    """What `daemon status --all` lists."""
    return [json.loads(line) for line in cli.out("daemon", "status", "--all", "--json", **more).splitlines()]


@pytest.mark.anyio
async def test_what_an_owner_tells_is_heard_while_it_lives(engine: Engine, other: Engine) -> None:
    async with engine.writer() as writer, other.writer():  # of whom the second tells nothing
        assert await other.told() == []
        for text in ('{"a": "long one"}', "short"):
            writer.tell(text)
            with anyio.fail_after(LIMIT):
                while [each.text for each in await other.told()] != [text]:
                    await anyio.sleep(0.01)
        assert 0 <= (await engine.told())[0].heard < LIMIT
    assert await other.told() == []


def test_what_another_version_tells_is_understood_as_far_as_it_goes() -> None:
    told = json.loads(told_of(ONE))
    newer, older = told | {"mood": "calm"}, {name: told[name] for name in ("host", "pid", "version", "began_at")}
    found = heard_of([(json.dumps(fields), 1.0) for fields in (newer, older)] + [("{", 1.0), ("[]", 1.0), ("1", 1.0)])
    assert found[0] == ONE._replace(heard=1.0)
    assert (found[1].host, found[1].running) == ("box", None)
    assert "not heard of for 30 s" in ONE._replace(heard=30.0).as_json()["trouble"]
    assert len(found) == 2


def test_the_one_of_a_home(cli: Cli) -> None:
    assert b"no daemon is running" in cli.run("daemon", "status", "--all", code=69).stderr
    cli.run("daemon", "start")
    (found,) = until(lambda: listed(cli, code=None))
    status = json.loads(cli.out("daemon", "status", "--json"))
    assert (found["pid"], found["version"]) == (status["pid"], __version__)
    assert (found["host"], found["trouble"]) == (socket.gethostname(), status["trouble"])
    assert cli.out("daemon", "status", "--all").split("\t")[:3] == [found["host"], str(found["pid"]), __version__]
    cli.run("daemon", "stop")
    assert listed(cli, code=69) == []


@pytest.fixture
def machines(folder: Path) -> Iterator[list[Cli]]:
    """Two machines with a daemon each, and a third without."""
    with postgres.place() as url:
        made = [Cli(Home(f"{folder}/{name}", url)) for name in "abc"]
        for cli in made[:2]:
            cli.home.make()
            Path(cli.home.config).write_text('listen = "127.0.0.1:0"\n')
            cli.run("daemon", "start")
        yield made
        for cli in made:
            stop_daemon(cli.home)


def test_all_of_a_store_are_listed_anywhere(machines: list[Cli], folder: Path) -> None:
    one, other, third = machines
    pids = [json.loads(cli.out("daemon", "status", "--json"))["pid"] for cli in (one, other)]
    running = one.out("drive", "-d", "--", "sleep", "600").strip()
    until(lambda: [each["running"] for each in listed(third, code=None)] == [1, 0])
    found = listed(third)
    assert [each["pid"] for each in found] == pids
    assert all("no synchronous standby" in each["trouble"] for each in found)
    near = Cli(Home(f"{folder}/near"))
    near.environment |= {"PTSTREAM_HOST": found[0]["listen"], "PTSTREAM_TOKEN": one.out("daemon", "token").strip()}
    assert [each["pid"] for each in listed(near)] == pids
    os.kill(pids[1], signal.SIGKILL)
    until(lambda: gone(pids[1]))
    until(lambda: [each["pid"] for each in listed(third)] == pids[:1])
    one.run("cancel", running)
    one.run("daemon", "stop")
    assert listed(third, code=69) == []
