"""What the page's tests share: a daemon on TCP, the way into it, a stream that a test writes, a network that fails."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import visiting, watched
from tests.conftest import Cli, kept, listening, told, until

ROOM = re.compile(r"/[0-9a-f]{32}/$")
"""The end of the page's address, for who was let in."""

CONFIG = """\
model = "slow"
[endpoints.slow]
base_url = "{endpoint}"
model = "slow"
[endpoints.stalling]
base_url = "{endpoint}"
model = "stall"
continues = true
[endpoints.thinking]
base_url = "{endpoint}"
model = "reasoning"
"""


@dataclass
class Site:
    """A daemon that listens, and its home."""

    cli: Cli
    url: str
    room: str = ""
    """Where the page is, to who was let in last."""
    rooms: dict[BrowserContext, str] = field(default_factory=dict)
    """Where it is to each user of the browser who was let in by the daemon's own address."""

    def link(self) -> str:
        """A link for one use."""
        said: str = self.cli.out("web", "--no-browser")
        return said.strip()

    def enter(self, page: Page, place: str = "", *, at: str | None = None) -> None:
        """Let a tab in, by another address if `at` is one, and go to a place there. A user is let in once.

        A tab that has the page already goes there without loading it anew.
        """
        if at is None and (known := self.rooms.get(page.context)):
            goes_on = place or page.url.startswith(f"{known}/")
            page.goto(f"{known}/#{place}" if goes_on else f"{known}/")
            self.room = known
            return
        page.goto(self.link().replace(self.url, at or self.url))
        page.wait_for_url(ROOM)
        room = page.url.rstrip("/")
        self.room = room.replace(at or self.url, self.url)
        if at is None:
            self.rooms[page.context] = room
        if place:
            page.goto(f"{room}/#{place}")

    def text(self, id: str) -> str:
        """What is kept of a stream."""
        return kept(self.cli, id)

    def told(self, id: str) -> dict[str, Any]:
        """What is known of a stream."""
        return told(self.cli, id)

    def replayed(self, text: str, *, rate: float = 0, prompt: str = "x") -> str:
        """A text as a model's answer; its id. Without a rate it is all there."""
        path = Path(self.cli.home.path) / f"replay-{abs(hash(text))}"
        path.write_text(text)
        drive = ("drive", "--detach", "-m", f"replay:{path}?rate={rate}", "-p", prompt)
        id: str = self.cli.out(*drive).strip()
        if not rate:
            until(lambda: self.told(id)["status"] == "done")
        return id

    def passed(self, text: str) -> str:
        """A text that passed through a pipe; its id."""
        return str(self.cli.run("tee", input=text).stderr.split()[-1].decode())

    @contextlib.contextmanager
    def written(self, *words: str) -> Iterator[Written]:
        """A stream that the test writes; ended when the block is left."""
        with self.cli.started("tee", "--flush", "sentences", *words, stdin=subprocess.PIPE) as process:
            assert process.stderr is not None
            id = process.stderr.readline().decode().split()[-1]
            yield Written(self, id, process)


@dataclass
class Written:
    """A running stream, and what a test has written into it."""

    site: Site
    id: str
    process: subprocess.Popen[bytes]
    text: str = field(default="")

    def send(self, text: str) -> None:
        """Write more, and wait for nothing."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        self.text += text

    def write(self, text: str) -> None:
        """Write more; back when every reader could have it."""
        self.send(text)
        until(lambda: self.site.text(self.id) == self.text)

    def end(self) -> None:
        """No more."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait() == 0


@pytest.fixture(scope="module")
def site(endpoint: str) -> Iterator[Site]:
    """The daemon that a module's tests share; it asks the scripted endpoint."""
    with listening(CONFIG.format(endpoint=endpoint)) as face:
        yield Site(face.cli, face.url)


@pytest.fixture(scope="module")
def user(browser: Browser) -> Iterator[BrowserContext]:
    """One user of the browser for all of a module's tests: the page's files are loaded once."""
    with visiting(browser) as made:
        yield made


@pytest.fixture
def context(user: BrowserContext) -> Iterator[BrowserContext]:
    """That user, for one test: no tab of it is left open."""
    close_tabs(user)
    yield user
    close_tabs(user)


def close_tabs(user: BrowserContext, kept: int = 0) -> None:
    """All but the first ones."""
    for tab in user.pages[kept:]:
        tab.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, user: BrowserContext) -> Iterator[Page]:
    """A tab in which the page may be open since an earlier test, which must have left no more behind than the place,
    a model that was chosen, and the focus.

    Who asks for the `context` gets one of its own. Behind a failure another one is opened.
    """
    if "context" in request.fixturenames:
        request.getfixturevalue("context")
    failed = request.session.testsfailed
    with watched(user.pages[0] if user.pages else user.new_page()) as tab:
        tab.evaluate("() => { document.activeElement?.blur(); document.querySelector('#composer')?.reset() }")
        yield tab
        close_tabs(user, kept=int(request.session.testsfailed == failed))


ALONE = pytest.mark.usefixtures("context")
"""In a tab of its own: for what changes a tab, hears of its requests, or is about how it is loaded."""


class Network:
    """A port before another one, whose connections can all be cut, and none be made."""

    def __init__(self, url: str) -> None:
        self.lead_to(int(url.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.down = False
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def lead_to(self, port: int) -> None:
        """From now on, to that port of this machine."""
        self._target = "127.0.0.1", port

    def cut(self, *, down: bool = False) -> None:
        """End every connection; as `down`, let no other come up."""
        self.down = down
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """For good."""
        self.cut(down=True)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _ = self._listener.accept()
                if self.down:
                    outer.close()
                    continue
                inner = socket.create_connection(self._target)
                self._open += [outer, inner]
                for pair in ((outer, inner), (inner, outer)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError), source:
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(site: Site) -> Iterator[Network]:
    """A network between the browser and the daemon."""
    made = Network(site.url)
    yield made
    made.close()
