"""The programs in `ptstream/examples` run. The apps have tests of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, Cli, listening, on_path, started
from tests.endpoint import TEXT

EXAMPLES = ROOT / "ptstream" / "examples"

CHAT = (EXAMPLES / "chat.py").read_text("utf-8")

TRIED_ELSEWHERE = {"__init__", "chat", "workers"}


def run(name: str, environment: dict[str, str], *words: str, fresh: bool) -> str:
    """What the example prints, started from nothing or not."""
    module = f"ptstream.examples.{name}"
    with started(words, environment, fresh=fresh, module=module, stdout=subprocess.PIPE) as process:
        printed: bytes = process.communicate()[0]
    assert process.returncode == 0
    return printed.decode()


def test_library(cli: Cli) -> None:
    for fresh in (True, False):
        printed = run("library", cli.environment, fresh=fresh)
        assert printed.startswith("Hi there! You said: hello. You said: hello. Hi there! I began at byte 10. ")
        assert printed.endswith("A loop that you have already.")
    assert [json.loads(line)["status"] for line in cli.out("ls", "--json").splitlines()] == ["done"] * 4


def test_openai_client(endpoint: str, folder: Path) -> None:
    config = f'model = "mine/ok"\n[endpoints.mine]\nbase_url = "{endpoint}"'
    with listening(config) as face, on_path(folder) as forked:
        for path, fresh in ((Path(sys.executable).parent, True), (forked, False)):
            more = {"PATH": f"{path}:{face.cli.environment['PATH']}", "PTSTREAM_URL": face.url}
            printed = run("openai_client", face.cli.environment | more, "Why?", fresh=fresh)
            found = re.fullmatch(r"kept as (\w+)\n(.*)", printed, re.S)
            assert found
            assert (found[2], face.cli.out("cat", found[1])) == (TEXT, TEXT)


def test_the_chat_can_be_named_to_uvicorn() -> None:
    from ptstream.examples.chat import app

    assert "/chat-stream/{id}" in {getattr(route, "path", None) for route in app.routes}


def test_each_example_is_tried() -> None:
    tried = set(re.findall(r"^def test_(\w+)", Path(__file__).read_text("utf-8"), re.M))
    assert {path.stem for path in EXAMPLES.glob("*.py")} - TRIED_ELSEWHERE <= tried
