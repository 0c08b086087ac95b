"""Every program, configuration and shell script that the README and the manual show runs, twice in a row.

A display of a page is marked for this in its source; see `tests/docs.py`. What only shows how a terminal looks is the
README's tour, which test_readme types.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ptstream.config import KEYS, Endpoint
from ptstream.settings import Home
from tests import web
from tests.conftest import LIMIT, Cli, Face, listening, needs, on_path, started
from tests.docs import PAGES, Snippet, blocks, snippets
from tests.endpoint import TEXT
from tests.preloaded import CODE

SHOWN = ("py", "toml", "sh")


def of_the_readme() -> Iterator[Snippet]:
    """The README's blocks, under names like those of the pages'."""
    names = {"py": ("program.py", "persist.py", "app.py"), "toml": ("config.toml",), "sh": ("curl.sh",)}
    for suffix, language in zip(SHOWN, ("python", "toml", "sh"), strict=True):
        for name, text in zip(names[suffix], blocks(language), strict=True):
            yield Snippet("README.md", name, text)


ALL = [*of_the_readme(), *(snippet for page in PAGES for snippet in snippets(page))]


def each(*wanted: str) -> pytest.MarkDecorator:
    """For each distinct text under one of these names."""
    found = {snippet.text: snippet for snippet in ALL if snippet.name in wanted}
    names = [f"{snippet.page}:{snippet.name}" for snippet in found.values()]
    return pytest.mark.parametrize("snippet", found.values(), ids=names)


PRINTED = {
    "program.py": "Hi there! You said: hello. You said: hello. ",
    "persist.py": "A loop that you have already.",
}


@each(*PRINTED)
def test_a_program(cli: Cli, snippet: Snippet) -> None:
    for fresh in (True, False):
        with started([snippet.text], cli.environment, fresh=fresh, module=CODE, stdout=subprocess.PIPE) as process:
            assert process.communicate()[0].decode() == PRINTED[snippet.name]
        assert process.returncode == 0
    assert [json.loads(line)["status"] for line in cli.out("ls", "--json").splitlines()] == ["done", "done"]


@each("app.py")
def test_an_app(tmp_path: Path, snippet: Snippet) -> None:
    for _ in range(2):
        with web.app(snippet.text, tmp_path) as url, httpx.Client(base_url=url, timeout=LIMIT) as http:
            id = http.post("/ask", params={"prompt": "Why?"}).json()
            assert http.post(f"/answer/{id}").text == "You said: Why?. That is all."
            assert '"status":"done"' in http.get(f"/answer/{id}", params={"offset": 5}).text.replace(" ", "")


@each("config.toml")
def test_a_configuration(home: Home, cli: Cli, snippet: Snippet) -> None:
    home.make()
    Path(home.config).write_text(snippet.text)
    for _ in range(2):
        cli.run("models")
    if snippet.page != "README.md":
        assert set(KEYS) <= set(re.findall(r"^(\w+) =", snippet.text, re.M))
        assert all(field in snippet.text for field in Endpoint._fields if field != "name")


@pytest.fixture(scope="module")
def face(endpoint: str) -> Iterator[Face]:
    """A daemon that listens and has a model."""
    with listening(f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{endpoint}"') as made:
        yield made


@needs("curl")
@each("curl.sh", "socket.sh")
def test_a_script(face: Face, folder: Path, snippet: Snippet) -> None:
    face.cli.run("drive", "-p", "There is a stream")
    script = snippet.text.replace("http://127.0.0.1:7878", face.url)
    script = script.replace("~/.local/share/ptstream", face.cli.home.path)
    with on_path(folder) as forked:
        for path in (Path(sys.executable).parent, forked):
            environment = face.cli.environment | {"PATH": f"{path}:{face.cli.environment['PATH']}"}
            done = subprocess.run(["sh", "-e", "-c", script], capture_output=True, env=environment, text=True)
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith(TEXT if snippet.name == "socket.sh" else TEXT + TEXT.encode()[10:].decode())


def test_what_the_readme_and_a_page_show_is_the_same() -> None:
    for name in ("persist.py", "app.py", "curl.sh"):
        assert len({snippet.text for snippet in ALL if snippet.name == name}) == 1, name


def test_every_display_of_a_program_is_marked() -> None:
    """In the pages about programs, where a literal display is not just a line of words."""
    for page in PAGES:
        if page.suffix != ".1":
            source = page.read_text("ascii")
            shown = re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", source, re.M)
            assert len([text for text in shown if text.count("\n") > 1]) == len(list(snippets(page))), page.name
