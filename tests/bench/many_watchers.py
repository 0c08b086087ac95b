"""`python -m tests.bench.many_watchers HOME ID COUNT`: so many watchers of one stream, each a process.

They are forked from this one, which has their imports: a hundred starts from nothing would be what is measured. Prints
their process ids as JSON when all of them watch; they end with this process.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import anyio

from ptstream.engine.sqlite.engine import attached
from ptstream.engine.sqlite.store import Store
from ptstream.follow import Follow
from ptstream.settings import Home
from tests.bench.surroundings import die_with_parent


async def watch(home: Home, id: str, ready: int) -> None:
    """As `ptstream watch` does."""
    with Store(home) as store:
        async with attached(store) as engine:
            os.write(ready, b".")
            async for _ in Follow(engine.cursor(id, live=False)):
                pass


def main() -> None:
    """Fork them, and wait to be killed."""
    home, id, count = sys.argv[1:]
    reading, writing = os.pipe()
    pids = []
    for _ in range(int(count)):
        if (pid := os.fork()) == 0:
            die_with_parent()
            anyio.run(watch, Home(home), id, writing)
            os._exit(0)
        pids.append(pid)
    for _ in pids:
        os.read(reading, 1)
    sys.stdout.write(json.dumps(pids) + "\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
