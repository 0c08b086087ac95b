"""Real daemons that end in order: what can be gone on with goes on at another one, and nobody who reads it notices."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from ptstream.settings import Home
from tests import postgres
from tests.balancer import balancer
from tests.conftest import (
    LIMIT,
    Cli,
    Gate,
    detached,
    ended,
    gone,
    listening,
    read_exactly,
    sqlite_itself,
    stop_daemon,
    told,
    until,
)
from tests.endpoint import PIECES, TEXT

BEGUN = "".join(PIECES[:3])

WORDS = "".join(f"word{n} " + ("\n" if n % 20 == 19 else "") for n in range(400))


def pid_of(cli: Cli) -> int:
    """The process of its running daemon."""
    return int(json.loads(cli.out("daemon", "status", "--json"))["pid"])


def attempts(cli: Cli, id: str) -> list[tuple[int, int, str | None]]:
    """Of a stream: where each begins, and the cause of its end."""
    return [(each["epoch"], each["begin"], each["cause"]) for each in told(cli, id)["attempts"]]


@pytest.fixture
def daemons(folder: Path, endpoint: str) -> Iterator[list[Cli]]:
    """Two machines whose daemons listen, know one endpoint, and let in the same token."""
    with postgres.place() as url:
        made = [Cli(Home(f"{folder}/{name}", url)) for name in "ab"]
        for cli in made:
            cli.home.make()
            Path(cli.home.config).write_text(
                f'listen = "127.0.0.1:0"\n[endpoints.mine]\nbase_url = "{endpoint}"\ncontinues = true\n'
            )
            if cli is made[1]:
                shutil.copy(made[0].home.token, cli.home.token)
            cli.run("daemon", "token")
            cli.run("daemon", "start")
        yield made
        for cli in made:
            stop_daemon(cli.home)
            assert "Traceback" not in Path(cli.home.log).read_text()


def port_of(cli: Cli) -> int:
    """Where its daemon listens."""
    return int(json.loads(cli.out("daemon", "status", "--json"))["listen"].rpartition(":")[2])


def test_a_drive_by_the_balancer_survives_its_daemon(daemons: list[Cli], folder: Path, gate: Gate) -> None:
    one, other = daemons
    with balancer() as before:
        before.ports += [port_of(one), port_of(other)]
        near = Cli(Home(f"{folder}/near"))
        near.environment |= {"PTSTREAM_HOST": before.url, "PTSTREAM_TOKEN": one.out("daemon", "token").strip()}
        words = ("-p", "Why?", "-m", "mine/goes-on", "--name", "it")
        with near.started("drive", "--on-drop", "continue", *words) as driver:
            assert read_exactly(driver, len(BEGUN)).decode() == BEGUN
            with near.started("watch", "--live", "it") as live, other.started("watch", "it") as stored:
                assert read_exactly(live, len(BEGUN)).decode() == BEGUN
                command, plain = detached(one, *gate.command), one.out("drive", "-d", *words[:4]).strip()
                until(lambda: one.out("cat", plain) == BEGUN)
                pid = pid_of(one)
                os.kill(pid, signal.SIGTERM)
                rest = {process: process.communicate(timeout=LIMIT) for process in (driver, live, stored)}
                until(lambda: gone(pid))
    assert [out.decode() for out, _ in rest.values()] == [TEXT.removeprefix(BEGUN)] * 2 + [TEXT]
    assert [ended(process) for process in rest] == [0, 0, 0]
    assert b"connecting again" in rest[driver][1]
    assert b"handed over; went on at byte 9" in rest[driver][1]
    assert attempts(other, "it") == [(1, 0, f"the daemon was stopped at byte {len(BEGUN)}"), (2, len(BEGUN), None)]
    assert told(other, command)["error"] == "the daemon was stopped at byte 9"
    assert told(other, plain)["error"] == f"the daemon was stopped at byte {len(BEGUN)}"


@sqlite_itself
def test_the_next_daemon_of_the_home_goes_on(cli: Cli, endpoint: str) -> None:
    cli.home.make()
    Path(cli.home.config).write_text(f'[endpoints.mine]\nbase_url = "{endpoint}"\ncontinues = true\n')
    words = ("drive", "-p", "Why?", "-m", "mine/goes-on", "--on-drop", "continue", "--name", "it")
    with cli.started(*words) as driver:
        shown = read_exactly(driver, len(BEGUN))
        with cli.started("watch", "--live", "it") as watcher:
            also = read_exactly(watcher, len(BEGUN))
            said = cli.run("daemon", "stop").stderr.decode()
            assert f"{told(cli, 'it')['id']} goes on with the next daemon" in said
            assert told(cli, "it")["status"] == "streaming"
            cli.run("daemon", "start")
            rest: Any = {process: process.communicate(timeout=LIMIT) for process in (driver, watcher)}
    assert (shown + rest[driver][0]).decode() == (also + rest[watcher][0]).decode() == cli.out("cat", "it") == TEXT
    assert [ended(driver), ended(watcher)] == [0, 0]
    assert b"the next one goes on" in rest[driver][1]
    first, second = attempts(cli, "it")
    assert first == (1, 0, f"the daemon was stopped at byte {second[1]}")
    assert os.listdir(cli.home.tails) == []


@sqlite_itself
def test_what_is_not_the_same_there_is_left(cli: Cli, folder: Path) -> None:
    """The next daemon has another directory, in which the name means another file."""
    (folder / "words").write_text(WORDS)
    words = ("-m", "replay:words?rate=10", "--on-drop", "continue", "--name", "it")
    cli.run("drive", "--detach", *words, cwd=folder)
    until(lambda: cli.out("cat", "it"))
    cli.run("daemon", "stop")
    cli.run("daemon", "start")
    until(lambda: "does not go on here" in Path(cli.home.log).read_text())
    assert told(cli, "it")["status"] == "streaming"
    cli.run("cancel", "it")
    found = told(cli, "it")
    assert (found["status"], found["error"]) == ("cancelled", f"cancelled at byte {found['bytes']}")
    assert cli.out("cat", "it") == WORDS[: found["bytes"]]


@pytest.fixture
def chance() -> random.Random:
    """Whose seed is printed."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def killed_while_it_hands_over(cli: Cli, seconds: float) -> None:
    """So long after it was told to end."""
    pid = pid_of(cli)
    os.kill(pid, signal.SIGTERM)
    threading.Event().wait(seconds)
    with contextlib.suppress(ProcessLookupError):  # it may have been faster
        os.kill(pid, signal.SIGKILL)
    until(partial(gone, pid))


def check_end(cli: Cli, name: str, text: str, whole: str) -> None:
    """It goes on, or ends as a dead owner's; nothing that was shown is lost, or shown twice."""
    found = told(cli, name)
    assert text == cli.out("cat", name)
    assert (found["status"], found["error"], text) in [
        ("done", None, whole),
        ("error", f"its owner died at byte {len(text)}", whole[: len(text)]),
    ]


@sqlite_itself
def test_a_daemon_is_killed_while_it_hands_over(cli: Cli, folder: Path, chance: random.Random) -> None:
    (folder / "words").write_text(WORDS)
    for name in ("a", "b", "c"):
        cli.run("drive", "-d", "-m", f"replay:{folder}/words?rate=400", "--on-drop", "continue", "--name", name)
        with cli.started("watch", "--live", name) as watcher:
            shown = read_exactly(watcher, 100)
            killed_while_it_hands_over(cli, chance.uniform(0, 0.05))
            cli.run("daemon", "start")
            check_end(cli, name, (shown + watcher.communicate(timeout=LIMIT)[0]).decode(), WORDS)
    assert os.listdir(cli.home.tails) == []


def test_one_of_several_is_killed_while_it_hands_over(daemons: list[Cli], chance: random.Random) -> None:
    one, other = daemons
    for name in ("a", "b"):
        one.run("drive", "-d", "-p", "Why?", "-m", "mine/goes-on", "--on-drop", "continue", "--name", name)
        with other.started("watch", "--live", name) as watcher:
            shown = read_exactly(watcher, len(BEGUN))
            killed_while_it_hands_over(one, chance.uniform(0, 0.15))
            check_end(other, name, (shown + watcher.communicate(timeout=LIMIT)[0]).decode(), TEXT)


@pytest.mark.parametrize("live", ["1", "sse"])
def test_who_reads_what_another_process_writes_is_hung_up_on(live: str) -> None:
    """When the daemon ends: without complaint, as `listening` looks."""
    with listening() as face, face.cli.started("tee", "--name", "it", stdin=subprocess.PIPE) as tee:
        os.write(tee.stdin.fileno(), b"begun\n")
        until(lambda: face.cli.run("cat", "it", code=None).stdout == b"begun\n")
        with face.http.stream("GET", "/streams/it/text", params={"live": live, "offset": "0"}) as answer:
            runs = answer.iter_raw()
            assert b"begun" in next(runs)
            face.cli.run("daemon", "stop")
            with pytest.raises(httpx.RemoteProtocolError):
                list(runs)
        tee.stdin.close()
        assert ended(tee) == 0
