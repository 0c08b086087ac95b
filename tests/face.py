"""The daemon on TCP, as its clients there have it: one for all tests of a module, its endpoint the test's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
import pytest

from ptstream.settings import Home
from tests import endpoint
from tests.conftest import Cli, daemon_status, stop_daemon, told, until

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

KEY = "sk-of-the-daemon"
PASSWORD = "opensesame"


@dataclass
class Face:
    """A daemon on TCP."""

    cli: Cli
    url: str
    token: str
    pid: int

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def configure(self, base_url: str) -> None:
        """Where its endpoint is; counts from the next request on."""
        text = f'model = "mine"\n[endpoints.mine]\nbase_url = "{base_url}"\nmodel = "ok"\nkey_file = "key"\n'
        text += f'[endpoints.once]\nbase_url = "{base_url}"\ntries = 1\n'
        Path(self.cli.home.config).write_text(text)

    def client(self, **more: Any) -> openai.OpenAI:
        import openai  # takes a second: not for those who collect the tests alone

        return openai.OpenAI(base_url=self.base_url, api_key=self.token, **more)

    def ended(self, id: str) -> dict[str, Any]:
        """What is known of the stream, once it has ended."""
        fields: dict[str, Any] = until(lambda: (got := told(self.cli, id))["ended_at"] and got)
        return fields

    def newest(self) -> str:
        """The id of the newest stream."""
        return str(told(self.cli, "@last")["id"])


@contextmanager
def running(cli: Cli, **environment: str) -> Iterator[Face]:
    """A daemon of its own, with more in its environment. Its log has nothing to complain of, and tells nothing."""
    token = cli.out("daemon", "token").strip()
    key = Path(cli.home.path, "key")
    key.write_text(KEY)
    key.chmod(0o600)
    with tempfile.TemporaryFile() as log:
        with cli.started("daemon", "run", "--listen", "127.0.0.1:0", stderr=log, env=environment):
            until(lambda: os.path.exists(cli.home.socket))
            status = daemon_status(cli.home)
            yield Face(cli, status["listen"], token, status["pid"])
            stop_daemon(cli.home)
        log.seek(0)
        said = log.read().decode()
        assert "Traceback" not in said, said
        for secret in (KEY, PASSWORD, token, "night"):
            assert secret not in said, said


@pytest.fixture(scope="module")
def daemon() -> Iterator[Face]:
    """One that all tests share: each names its endpoint anew."""
    with tempfile.TemporaryDirectory(prefix="pts-") as path, running(Cli(Home(f"{path}/home"))) as face:
        yield face


@pytest.fixture
def face(daemon: Face, server: endpoint.Server) -> Face:
    """The daemon, its endpoint the test's own."""
    daemon.configure(server.base_url)
    return daemon


async def asking(work: Callable[[], T]) -> T:
    """What a client that blocks does, while the endpoint is played beside it."""
    return await anyio.to_thread.run_sync(work)
