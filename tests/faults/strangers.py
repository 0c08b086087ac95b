"""Another user of the machine: what they can reach of a home, what they may have left in one, and what they can see."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ptstream.settings import Home
from ptstream.streams import GenerationRequest
from tests.faults.ground import Ground, ground
from tests.faults.runs import Run
from tests.faults.scenes import text_file
from tests.faults.tally import Tally
from tests.faults.verdict import Told, judge

STRANGER = 65534
"""The user and group `nobody`."""

KEY, PROMPT = "sk-of-the-harness", "a-prompt-of-the-harness"


LINES = (
    *(("daemon", "status"), ("models",), ("ls",), ("cat", "@last"), ("watch", "@last"), ("path",)),
    *(("drive", "--", "true"), ("create", "x"), ("daemon", "start")),
)
"""Commands that go into a home, to read or to write."""

FOREIGN = "belongs to another user"


def strangers(run: Run, tally: Tally, count: int) -> None:
    """All of it, once."""
    lines = LINES[:1] if run.quick else LINES
    cases = (_reach, _reach_opened, lambda here, tally: _planted(here, tally, lines), _left_open, _swapped, _seen)
    for number, case in enumerate(cases[run.quick :]):
        with run.case(tally, number) as chance, ground(chance) as here:
            os.chmod(here.folder, 0o755)  # nothing but the home itself keeps them out
            case(here, tally)


def _reach(here: Ground, tally: Tally) -> None:
    """A home as it is, while a stream runs."""
    with _running(here, tally):
        _probe(here, tally)


def _reach_opened(here: Ground, tally: Tally) -> None:
    """Its user has opened the home and its folders: the files are private by themselves; the next command mends it."""
    with _running(here, tally):
        for folder in (here.home.path, *(entry.path for entry in os.scandir(here.home.path) if entry.is_dir())):
            os.chmod(folder, 0o755)
        _probe(here, tally, folders=False)
        here.ask("create", "x")
        tally.check(os.stat(here.home.path).st_mode & 0o777 == 0o700, "the home stayed open")


@contextlib.contextmanager
def _running(here: Ground, tally: Tally) -> Iterator[None]:
    path, text = text_file(here, "private", 60_000)
    with here.store() as store:
        told = Told(
            store.create(GenerationRequest(prompt=PROMPT, model=f"replay:{path}?rate=2000")).id, text, whole=True
        )
    daemon = here.daemon()
    driver = here.ptstream("drive", told.id)
    here.ears.until(lambda: driver.out.data, "text")
    yield
    here.ended(driver)
    daemon.kill()
    judge(here, tally, [told])


def _probe(here: Ground, tally: Tally, *, folders: bool = True) -> None:
    found = [str(path) for path in Path(here.home.path).rglob("*") if folders or not path.is_dir()]
    kinds = ("daemon.sock", "ptstream.db", "-wal", "-shm", ".lock", ".1")
    missing = [kind for kind in kinds if not any(path.endswith(kind) for path in found)]
    tally.check(not missing, f"nothing to reach for: {missing}")
    tally.times += len(found)
    reached = _reached([here.home.path, *found] if folders else found)
    tally.check(not reached, f"a stranger reaches {reached}")


def _reached(paths: list[str]) -> list[str]:
    """What of these the stranger can open, list or connect to: another interpreter might be out of their reach."""
    reading, writing = os.pipe()
    if not (child := os.fork()):  # the harness has one thread
        _become_stranger()
        os.write(writing, json.dumps([path for path in paths if not _is_refused(path)]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        answer = told.read()
    os.waitpid(child, 0)
    reached: list[str] = json.loads(answer)
    return reached


def _is_refused(path: str) -> bool:
    try:
        if path.endswith(".sock"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        elif os.path.isdir(path):
            os.listdir(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return True
    except FileNotFoundError:  # a tail or a lock that went meanwhile
        return True
    return False


def _planted(here: Ground, tally: Tally, lines: Sequence[tuple[str, ...]]) -> None:
    """A home that a stranger made, and ones in which they left something: no command follows it."""
    plants: dict[str, Callable[[Home], None]] = {
        "home": lambda home: os.chown(home.path, STRANGER, STRANGER),
        "db": lambda home: _made(os.path.dirname(home.database)),
        "tails": lambda home: _made(home.tails),
        "owners": lambda home: _made(home.owners),
        "models": lambda home: _made(home.models),
        "lock": lambda home: _linked(home.lock("daemon"), here.folder),
        "log": lambda home: _linked(os.path.dirname(home.log), here.folder),
        "config": lambda home: _fifo(home.config),
        "token": lambda home: _fifo(home.token),
        "database": lambda home: _fifo(home.database),
    }
    for name, plant in plants.items():
        here.home = Home(os.path.join(here.folder, name))
        os.mkdir(here.home.path, 0o700)
        plant(here.home)
        _refused(here, tally, name, lines)
    here.home = Home(os.path.join(here.folder, "socket"))
    os.mkdir(here.home.path, 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(here.home.socket)
        listener.listen()
        listener.setblocking(False)
        os.chown(here.home.socket, STRANGER, STRANGER)
        _refused(here, tally, "socket", lines)
        with contextlib.suppress(BlockingIOError):
            listener.accept()
            tally.check(False, "somebody spoke to a stranger's socket")


def _left_open(here: Ground, tally: Tally) -> None:
    """A home that others could write for a while is not taken up again in silence, but when its user has closed it."""
    here.ask("create", "x")
    os.chmod(here.home.path, 0o777)
    for _ in range(2):
        _refused(here, tally, "left open", (("ls",), ("create", "x")), "can be written by others")
    os.chmod(here.home.path, 0o700)
    tally.check(here.ask("create", "x").process.returncode == 0, "a home that was closed again is refused")


def _swapped(here: Ground, tally: Tally) -> None:
    """Where anybody may write above it, a stranger puts another directory of the user's in the home's place."""
    shared = os.path.join(here.folder, "shared")
    here.home, other = Home(os.path.join(shared, "home")), os.path.join(shared, "other")
    here.home.make()
    os.mkdir(other, 0o755)
    Path(other, "config.toml").write_text("nonsense", encoding="utf-8")
    os.chmod(shared, 0o777)

    def swap() -> None:
        os.rename(here.home.path, here.home.path + ".away")
        os.rename(other, here.home.path)

    _as_stranger(swap)
    tally.check(os.path.exists(here.home.config), "nothing was swapped")
    _refused(here, tally, "swapped", LINES[:2], "others can write")
    tally.check(os.stat(here.home.path).st_mode & 0o777 == 0o755, "another directory was closed")


def _as_stranger(work: Callable[[], object]) -> None:
    if not (child := os.fork()):  # the harness has one thread
        _become_stranger()
        work()
        os._exit(0)
    os.waitpid(child, 0)


def _become_stranger() -> None:
    os.setgroups([])
    os.setresgid(STRANGER, STRANGER, STRANGER)
    os.setresuid(STRANGER, STRANGER, STRANGER)


def _fifo(path: str) -> None:
    """One of the stranger's, for which a reader would wait."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    os.mkfifo(path, 0o666)
    os.chown(path, STRANGER, STRANGER)


def _made(path: str) -> None:
    os.mkdir(path, 0o777)
    os.chown(path, STRANGER, STRANGER)


def _linked(path: str, folder: str) -> None:
    """A link of the stranger's to a file or folder of the user's."""
    os.symlink(folder, path)
    os.lchown(path, STRANGER, STRANGER)


def _refused(here: Ground, tally: Tally, name: str, lines: Sequence[tuple[str, ...]], why: str = FOREIGN) -> None:
    for words in lines:
        asked = here.ask(*words)
        tally.times += 1
        said = why in asked.said and "Traceback" not in asked.said
        tally.check(asked.process.returncode == 4 and said, f"{name}: {words}: {asked.process.returncode} {asked.said}")


def _seen(here: Ground, tally: Tally) -> None:
    """No key and no prompt in the arguments of what we start, and no key in anything that is kept."""
    here.more |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    daemon = here.daemon()
    path = os.path.join(here.folder, "mine.py")
    Path(path).write_text(
        "async def wait(stream, append):\n    await append('begun')\n    import anyio\n    await anyio.sleep(1000)\n",
        encoding="utf-8",
    )
    waiting = here.ptstream("drive", "--generator", f"{path}:wait", stdin=_pipe(PROMPT))
    command = here.ptstream("drive", "--", "sh", "-c", "echo begun; sleep 1000", stdin=_pipe(PROMPT))
    refused = here.ptstream("drive", "-m", "some-model", stdin=_pipe(PROMPT))
    here.ended(refused)
    here.ears.until(lambda: waiting.out.data and command.out.data, "text")
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            tally.times += 1
            told = KEY.encode() in arguments or PROMPT.encode() in arguments
            tally.check(not told, f"arguments: {arguments!r}")
    kept = b"".join(each.read_bytes() for each in Path(here.home.path).rglob("*") if each.is_file())
    tally.check(KEY.encode() not in kept, "the key lies in the home")
    log = Path(here.home.log)
    tally.check(not log.exists() or PROMPT not in log.read_text(encoding="utf-8"), "the prompt is in the log")
    tally.check(KEY not in daemon.said and PROMPT not in daemon.said, "the daemon says key or prompt")
    daemon.signal(signal.SIGTERM)  # its commands end with it
    here.ended(daemon)


def _pipe(text: str) -> int:
    """The end of a pipe that gives the text."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return reading
