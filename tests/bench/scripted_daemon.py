"""`python -m tests.bench.scripted_daemon HOME TURNS`: the real daemon; its model says the time."""

from __future__ import annotations

import sys
from unittest import mock

from ptstream.daemon import process
from ptstream.generators import Source
from ptstream.settings import Home
from ptstream.streams import Flush
from tests.bench.schedule import stamps


def main() -> None:
    """Be the daemon until killed."""
    path, turns = sys.argv[1:]
    source = Source(model="clock", place="here", flush=Flush.SENTENCES, generate=lambda: stamps(0, int(turns)))

    async def resolve(*_: object) -> Source:
        return source

    with mock.patch("ptstream.daemon.daemon.resolve", resolve):
        process.run(Home(path), _ready)


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
