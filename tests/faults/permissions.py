"""Permissions that are lost and come back. Root is refused nothing, so this runs in a process without that privilege.

`python -m tests.faults.permissions SEED` prints the tally as JSON; `lost` starts that.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict

from ptstream.streams import GenerationRequest
from tests.faults.ground import HARNESS, TREE, Ground, ground, read
from tests.faults.runs import Run
from tests.faults.scenes import Pace, heard, pending, text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge, judge_reader

AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Lets root be refused what the permissions refuse."""


def lost(run: Run, tally: Tally, count: int) -> None:
    """See `main`."""
    done = subprocess.run(
        [*_as_anybody(), sys.executable, "-m", "tests.faults.permissions", str(run.seed)],
        stdout=subprocess.PIPE,
        check=True,
        cwd="/",
        env=dict(os.environ) | {"PYTHONPATH": f"{TREE}:{HARNESS}"},
    )
    for name, value in json.loads(done.stdout).items():
        setattr(tally, name, value)


def refused_nothing() -> str | None:
    """Why no permission can be lost here."""
    if os.geteuid() != 0 or shutil.which("setpriv"):
        return None
    return "root is refused nothing, and setpriv is not installed"


def _as_anybody() -> tuple[str, ...]:
    return AS_ANYBODY if os.geteuid() == 0 else ()


def main(seed: str) -> None:
    """Out of reach for moments; unwritable, with a daemon that lives on, and with one that dies meanwhile."""
    tally = Tally("permissions lost, then back")
    run = Run(int(seed))
    with run.case(tally, 2) as chance, ground(chance) as here:
        _out_of_reach(here, tally)
    for number, killed in enumerate((False, True)):
        with run.case(tally, number) as chance, ground(chance) as here:
            _take_away(here, tally, killed=killed)
    print(json.dumps(asdict(tally)))


def _take_away(here: Ground, tally: Tally, *, killed: bool) -> None:
    told, other = pending(here, 2, Pace(size=40_000, rate=2000))
    daemon = here.daemon()
    driver = here.ptstream("drive", told.id)
    told.readers.append(heard(driver.out))
    here.ears.until(lambda: len(driver.out.data) > 5_000, "text")
    with _read_only(here.home.path):
        before = len(driver.out.data)
        here.ears.until(lambda: len(driver.out.data) > before + 5_000 or driver.gone, "text in spite of it")
        refused = here.ask("drive", other.id)
        tally.check(refused.process.returncode not in (0, -9), f"a drive without a tail: {refused.process.returncode}")
        tally.check("Permission denied" in refused.said, f"a drive without a tail says {refused.said!r}")
        if killed:
            daemon.kill()
            here.ended(driver)
        shown = driver.out.drain()
        asked, listed = here.ask("cat", told.id), here.ask("ls")
        tally.check(bytes(asked.out.data).startswith(shown), f"cat without permission: {asked.said!r}")
        tally.check(told.id in bytes(listed.out.data).decode(), f"ls without permission: {listed.said!r}")
        with here.store() as store:
            tally.check(read(store, told.id)[0].startswith(shown), "read without permission")
    here.ended(driver)
    if not killed:
        told.whole = True
        done = here.ask("drive", "--", "echo", "as before")
        tally.check(bytes(done.out.data) == b"as before\n", f"afterwards: {done.said!r}")
        daemon.kill()
    tally.times += 1
    seen = judge(here, tally, [told, other])
    judge_reader(tally, told.id, bytes(driver.out.data), seen[told.id].text)


def _out_of_reach(here: Ground, tally: Tally) -> None:
    """The database's folder, and then all of the home, cannot even be entered: everybody goes on when they can."""
    path, text = text_file(here, "reach", 40_000)
    with here.store() as store:
        model = f"replay:{path}?rate=700&size=7"
        told = Told(store.create(GenerationRequest(prompt="x", model=model)).id, text, whole=True)
    daemon = here.daemon()
    here.drive(told.id)
    readers = [here.ptstream(*words, told.id) for words in (("drive",), ("watch",), ("watch", "--live"))]
    told.readers += [heard(reader.out) for reader in readers]
    for folder in (os.path.dirname(here.home.database), here.home.path):
        before = len(readers[0].out.data)
        here.ears.until(lambda b=before: len(readers[0].out.data) > b + 3_000, "text")  # type: ignore[misc]
        os.chmod(folder, 0)
        here.ears.pause(0.7)
        os.chmod(folder, 0o700)
    here.ended(*readers)
    daemon.kill()
    tally.times += 1
    tally.check(not any("Traceback" in actor.said for actor in (daemon, *readers)), "somebody took it for a fault")
    seen = judge(here, tally, [told])
    for reader in readers:
        judge_reader(tally, told.id, bytes(reader.out.data), seen[told.id].text)


@contextlib.contextmanager
def _read_only(home: str) -> Iterator[None]:
    """Nothing in the home can be made, written or removed by who has it not open already."""
    modes = {path: os.stat(path).st_mode & 0o777 for path in _paths(home)}
    try:
        for path, mode in modes.items():
            os.chmod(path, mode & 0o555)
        yield
    finally:
        for path, mode in modes.items():
            with contextlib.suppress(FileNotFoundError):
                os.chmod(path, mode)


def _paths(home: str) -> Iterator[str]:
    yield home
    for folder, folders, files in os.walk(home):
        yield from (os.path.join(folder, name) for name in (*folders, *files) if name != "daemon.sock")


if __name__ == "__main__":
    main(sys.argv[1])
