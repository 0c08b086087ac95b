"""Streams of a daemon that is reached over HTTPS (PTSTREAM_HOST=https://…): the command itself, and real TLS."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.from_thread
import pytest

from ptstream.settings import Home
from tests.conftest import Cli, Face, listening, needs
from tests.endpoint import TEXT
from tests.test_ways import authority, secured

__all__ = ["authority"]

pytestmark = needs("openssl")


class Box(NamedTuple):
    """A daemon behind TLS, and the command of somebody elsewhere."""

    face: Face
    cli: Cli


@pytest.fixture
def box(endpoint: str, authority: Path, tmp_path: Path) -> Iterator[Box]:
    with listening(f'[endpoints.mine]\nbase_url = "{endpoint}"\n') as face, ExitStack() as stack:
        portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
        url = stack.enter_context(portal.wrap_async_context_manager(secured(face, authority)))  # type: ignore[arg-type]
        cli = Cli(Home(str(tmp_path / "near")))
        cli.environment |= {
            "PTSTREAM_HOST": url.removesuffix("/v1"),
            "PTSTREAM_TOKEN": face.token,
            "SSL_CERT_FILE": str(authority / "ca.pem"),
        }
        yield Box(face, cli)


def test_a_model_is_asked_there_and_its_answer_read_from_here(box: Box) -> None:
    done = box.cli.run("drive", "-p", "Why?", "-m", "mine/ok", "--name", "why")
    assert done.stdout.decode() == TEXT
    assert b"model ok at" in done.stderr
    assert box.cli.out("cat", "why") == TEXT
    assert box.cli.out("watch", "@last") == TEXT
    assert box.cli.out("watch", "--live", "@last") == TEXT
    assert json.loads(box.cli.out("show", "--json", "why"))["status"] == "done"
    assert box.cli.out("ls", "-q").split() == box.face.cli.out("ls", "-q").split()
    assert "night" in box.cli.out("search", "dark night")
    pending = box.cli.out("create", "x").strip()
    assert box.cli.out("drive", "-m", "mine/ok", pending) == TEXT
    box.cli.run("rm", pending)
    box.cli.run("show", pending, code=3)
    assert not Path(box.cli.home.path).exists(), "nothing of this is kept here"


def test_its_streams_are_completed(box: Box) -> None:
    box.cli.run("create", "--name", "why", "-m", "mine/ok", "x")
    assert "why\tpending x" in box.cli.out("__complete", "cat", "")
    assert box.cli.out("__complete", "drive", "-m", "").splitlines() == ["mine/ok"]
    assert box.cli.out("__complete", "cat", "", env={"PTSTREAM_HOST": "https://127.0.0.1:9"}) == ""
    assert box.cli.out("__complete", "cat", "", env={"PTSTREAM_HOST": "ssh://nobody@127.0.0.1:9"}) == ""


def test_nothing_but_models_runs_there(box: Box) -> None:
    said = box.cli.run("drive", "--", "touch", "/tmp/x", code=4).stderr.decode()
    assert "over the network only models are asked" in said
    assert box.face.cli.out("ls", "-q") == ""


def test_a_mistyped_model_leaves_no_stream_behind(box: Box) -> None:
    assert b"nosuch" in box.cli.run("drive", "-p", "x", "-m", "nosuch/model", code=4).stderr
    assert box.face.cli.out("ls", "-q") == ""


@pytest.mark.parametrize("token", ["", "x" * 43, "two\nlines", "\u00e9" * 43])
def test_who_has_no_token_is_told_where_to_get_it(box: Box, token: str) -> None:
    said = box.cli.run("ls", env={"PTSTREAM_TOKEN": token}, code=4).stderr.decode()
    assert "ptstream daemon token" in said
    assert said.count("\n") == 1
    assert ("wants a token" in said) == (not token)
    if token:
        assert token not in said


def test_a_certificate_that_nobody_vouches_for_is_refused(box: Box) -> None:
    said = box.cli.run("ls", env={"SSL_CERT_FILE": ""}, code=69).stderr.decode()
    assert "certificate" in said
    assert box.face.token not in said


# --- what is no daemon


class Elsewhere(BaseHTTPRequestHandler):
    """Answers every request with `answer`."""

    answer = (200, {"content-type": "text/html"}, b"<html>Welcome</html>")
    seen: list[str]

    def do_GET(self) -> None:
        """The answer."""
        self.seen.append(self.headers.get("authorization", ""))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, type[Elsewhere]]]:
    handler = type("Handler", (Elsewhere,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((200, {"content-type": "text/html"}, b"<html>Welcome</html>"), 1, "no JSON"),
        ((200, {"content-encoding": "gzip"}, b"x"), 4, "compressed"),
        ((404, {}, b"not here"), 1, "not here"),
        ((502, {}, b"<html>Bad Gateway</html>"), 69, "Bad Gateway"),
    ],
    ids=["a page", "compressed", "nothing", "a gateway"],
)
def test_what_is_no_daemon_is_said_to_be_none(
    cli: Cli, elsewhere: tuple[str, type[Elsewhere]], answer: Any, code: int, said: str
) -> None:
    url, handler = elsewhere
    handler.answer = answer
    shown = cli.run("ls", env={"PTSTREAM_HOST": url, "PTSTREAM_TOKEN": "t" * 43}, code=code).stderr.decode()
    assert said in shown
    assert "t" * 43 not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "form", ["{}", '{{"error": {{"code": "x", "message": "odd: {}"}}}}'], ids=["as it is", "as ours"]
)
def test_a_token_that_is_repeated_is_not_shown(cli: Cli, elsewhere: tuple[str, type[Elsewhere]], form: str) -> None:
    url, handler = elsewhere
    handler.answer = (400, {}, form.format("authorization: Bearer " + "t" * 43).encode())
    for line in (("ls",), ("cat", "x"), ("watch", "x")):
        shown = cli.run(*line, env={"PTSTREAM_HOST": url, "PTSTREAM_TOKEN": "t" * 43}, code=1).stderr.decode()
        assert "Bearer" in shown
        assert "ttt" not in shown


def test_a_redirect_is_not_followed_with_the_token(cli: Cli, elsewhere: tuple[str, type[Elsewhere]]) -> None:
    url, handler = elsewhere
    handler.answer = (302, {"location": f"{url}/other"}, b"")
    said = cli.run("ls", env={"PTSTREAM_HOST": url, "PTSTREAM_TOKEN": "t" * 43}, code=4).stderr.decode()
    assert "redirect" in said
    assert len(handler.seen) == 1


def test_the_token_goes_over_no_network_in_the_clear(cli: Cli) -> None:
    said = cli.run("ls", env={"PTSTREAM_HOST": "http://192.0.2.1:7878", "PTSTREAM_TOKEN": "t" * 43}, code=4).stderr
    assert b"reads the token" in said
